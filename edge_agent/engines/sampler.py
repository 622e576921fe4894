"""Drawing the next token of a reply from a model's logits, with llama.cpp's samplers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.engines.vocabulary import Pointer, llama

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data

WINDOW_TOKENS = 1024
"""How much of a reply the repeat penalty looks back on: more than a spoken reply has."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: 0 takes the likeliest token (greedy); the rest then has no effect, `repeat_penalty` apart.
        top_p: draw from the smallest set of tokens with this total probability; 1 for all.
        top_k: draw from this many likeliest tokens; 0 for all.
        repeat_penalty: divides the logits of tokens already in this reply; 1 for none. The prompt is not
            penalised: a short answer has to reuse the words of the question.
        seed: of the random draw; the same seed and prompt give the same reply.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repeat_penalty: float = 1.0
    seed: int = 0


class Sampler:
    """The draws of one reply; `close` frees the native chain.

    Args:
        sampling: how to draw.
        size: number of tokens in the vocabulary.
    """

    def __init__(self, sampling: Sampling, size: int) -> None:
        self._ids = np.arange(size, dtype=np.int32)
        self._candidates = np.zeros(size, _CANDIDATE)
        self._chain: Pointer = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for link in self._links(sampling, size):
            llama.llama_sampler_chain_add(self._chain, link)

    def draw(self, logits: NDArray[np.float32]) -> int:
        """The next token; `logits` has one value for each token of the vocabulary."""
        # Written anew each time: samplers sort and cut the candidates where they lie.
        self._candidates["id"] = self._ids
        self._candidates["logit"] = logits
        start = self._candidates.ctypes.data_as(llama.llama_token_data_p)
        array = llama.llama_token_data_array(data=start, size=len(self._ids), selected=-1, sorted=False)
        llama.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        llama.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Free the native chain; may be called again."""
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    @staticmethod
    def _links(sampling: Sampling, size: int) -> list[Pointer]:
        links = []
        if sampling.repeat_penalty != 1.0:
            links.append(llama.llama_sampler_init_penalties(size, WINDOW_TOKENS, sampling.repeat_penalty, 0.0, 0.0))
        if sampling.temperature <= 0.0:
            return [*links, llama.llama_sampler_init_greedy()]
        if sampling.top_k > 0:
            links.append(llama.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1.0:
            links.append(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        return [
            *links,
            llama.llama_sampler_init_temp(sampling.temperature),
            llama.llama_sampler_init_dist(sampling.seed),
        ]
