"""A language model in llama.cpp, one KV cache with a slot for each session.

Written on the low-level interface of llama-cpp-python because one worker serves all sessions: a slot is a llama.cpp
sequence, and `step` evaluates the next token of several replies in one `llama_decode`.

Each slot has a KV stream of its own (`kv_unified` off): a session's latency and its numbers do not depend on how
much the others have in their caches. What a slot holds is compared with the next prompt token by token, so only what
follows the longest common prefix is evaluated; a reply that was generated is still there when the conversation goes on.

Not thread-safe: one thread owns an engine.
"""

from __future__ import annotations

import codecs
import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from edge_agent.dialogue.history import Message
from edge_agent.engines.device import Device
from edge_agent.engines.sampler import Sampler, Sampling
from edge_agent.engines.vocabulary import Vocabulary, llama
from edge_agent.errors import EngineError

__all__ = ["Finish", "LlamaEngine", "Message", "Reply", "Sampling"]

CHUNK_TOKENS = 16
"""Prompt tokens between two looks at `stop`."""

Finish = Literal["", "end", "length", "stopped"]
"""Why a reply is over: not yet, the model ended its turn, a limit in tokens, or `stop` said so."""

_COMPLAINTS = (3, 4)  # GGML_LOG_LEVEL_WARN and _ERROR; 5 continues any line
_complaints: deque[str] = deque(maxlen=4)


def _keep_complaint(level: int, text: bytes, _data: int | None) -> None:
    if level in _COMPLAINTS and text.strip():
        _complaints.append(text.decode(errors="replace").strip())


# llama.cpp keeps the pointer for the life of the process, so the callback may not be collected.
_log_callback = llama.llama_log_callback(_keep_complaint)


@dataclass(slots=True)
class Reply:
    """A reply being generated in one slot; `LlamaEngine.step` moves it on.

    Attributes:
        slot: where its prompt is.
        left_tokens: how many tokens it may still have.
        delta: text that the last step added; empty in the middle of a character and at the end.
        finish: why it is over, empty while it is not.
    """

    slot: int
    left_tokens: int
    _sampler: Sampler
    delta: str = ""
    finish: Finish = ""
    _token: int | None = None
    _text: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def end(self, finish: Finish) -> None:
        """Close the reply; frees its sampler."""
        self._sampler.close()
        self.finish = finish


@dataclass(slots=True)
class _Slot:
    tokens: list[int] = field(default_factory=list)
    logits: NDArray[np.float32] | None = None  # after the last of `tokens`, None when they are not known


class LlamaEngine:
    """A GGUF chat model with `slots` independent conversations.

    Args:
        path: the GGUF file; its weights are memory-mapped.
        context_tokens: KV cells for each slot (llama.cpp rounds up to a multiple of 256).
        slots: conversations held at once.
        threads: CPU threads. They wait for each other after every operation, so with as many as there are cores one
            busy neighbour stalls them all (tens of tokens a second become a few); nothing else can set that right.
        device: "auto" takes a GPU that llama.cpp was built for and finds.

    Raises:
        EngineError: `llama.load` for a file that is missing, broken, of an unknown architecture or no chat model;
            `device.cuda` for a GPU that this build cannot use; `llama.context` when the cache cannot be made.
    """

    def __init__(
        self, path: Path, *, context_tokens: int, slots: int = 4, threads: int = 1, device: Device = "auto"
    ) -> None:
        has_gpu = llama.llama_supports_gpu_offload()
        if device == "cuda" and not has_gpu:
            raise EngineError(
                "device.cuda",
                'device = "cuda" was asked for, but llama.cpp sees no GPU or was built without CUDA; '
                'set device = "auto" or "cpu", or set up the GPU profile',
            )
        self._owned = ExitStack()
        llama.llama_log_set(_log_callback, ctypes.c_void_p(0))
        llama.llama_backend_init()
        try:
            self._load(path, use_gpu=device != "cpu" and has_gpu)
            self._open_context(context_tokens, slots, threads)
        except BaseException:
            self._owned.close()
            raise
        self._slots = [_Slot() for _ in range(slots)]
        self.threads = threads

    def _load(self, path: Path, *, use_gpu: bool) -> None:
        if not path.is_file():
            raise EngineError("llama.load", f"{path} is missing; run `edge-agent models pull`")
        params = llama.llama_model_default_params()
        params.n_gpu_layers = -1 if use_gpu else 0
        if not use_gpu:
            # An empty, NULL-terminated device list: a CUDA build would otherwise still claim GPU memory.
            self._no_devices = (ctypes.c_void_p * 1)(None)
            params.devices = ctypes.cast(self._no_devices, ctypes.c_void_p)
        _complaints.clear()
        self._model = llama.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            reason = _complaints[0] if _complaints else "not a GGUF file"
            raise EngineError("llama.load", f"{path} cannot be loaded ({reason}); run `edge-agent models verify`")
        self._owned.callback(llama.llama_model_free, self._model)
        self._vocabulary = Vocabulary(self._model, str(path))

    def _open_context(self, context_tokens: int, slots: int, threads: int) -> None:
        trained_tokens = int(llama.llama_model_n_ctx_train(self._model))
        if context_tokens > trained_tokens:
            raise EngineError(
                "llama.context",
                f"context_tokens is {context_tokens}, the model was trained for {trained_tokens}; use that or less",
            )
        params = llama.llama_context_default_params()
        params.n_ctx = slots * (-(-context_tokens // 256) * 256)
        params.n_batch = params.n_ubatch = max(CHUNK_TOKENS, slots)
        params.n_seq_max = slots
        params.kv_unified = False
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        _complaints.clear()
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            reason = "; ".join(_complaints) or "out of memory"
            raise EngineError(
                "llama.context",
                f"no KV cache for {slots} slots of {context_tokens} tokens ({reason}); use fewer or smaller",
            )
        self._owned.callback(llama.llama_free, self._context)
        self._memory = llama.llama_get_memory(self._context)
        self.context_tokens: int = llama.llama_n_ctx_seq(self._context)
        self._batch = llama.llama_batch_init(params.n_batch, 0, 1)
        self._owned.callback(llama.llama_batch_free, self._batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and its caches; the engine cannot be used afterwards."""
        self._owned.close()

    def count(self, text: str) -> int:
        """Number of tokens in a text, as `History` needs it."""
        return len(self._vocabulary.tokens(text))

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, unfinished: bool = False
    ) -> list[int]:
        """Prompt tokens, by the chat template in the GGUF file.

        No content can become a control token, whatever it says.

        Args:
            messages: the conversation, oldest first.
            add_generation_prompt: end with the opening of the assistant's turn.
            unfinished: the last message is still being spoken: stop right after its text.

        Raises:
            EngineError: `llama.template` when the model's template refuses these messages.
        """
        return self._vocabulary.render(messages, add_generation_prompt=add_generation_prompt, unfinished=unfinished)

    def prefill(self, slot: int, tokens: Sequence[int], *, stop: Callable[[], bool] = lambda: False) -> int:
        """Make the slot hold exactly `tokens`; what it holds of their beginning stays as it is.

        Args:
            slot: 0 to `slots` - 1.
            tokens: the prompt.
            stop: asked before every chunk of `CHUNK_TOKENS`; when true the slot is left with a part of the prompt.

        Returns:
            Number of tokens evaluated now; `tokens_in` says whether the prompt is complete.

        Raises:
            EngineError: `llama.context` when the prompt does not fit the slot.
        """
        held = self._slots[slot]
        if not tokens or len(tokens) > self.context_tokens:
            raise EngineError(
                "llama.context",
                f"a prompt has {len(tokens)} tokens, expected 1 to {self.context_tokens}; "
                "shorten the history or raise context_tokens",
            )
        same = 0
        while same < min(len(tokens), len(held.tokens)) and tokens[same] == held.tokens[same]:
            same += 1
        if same == len(tokens) == len(held.tokens) and held.logits is not None:
            return 0
        # The last token is always evaluated: its logits start the reply.
        self._cut(slot, min(same, len(tokens) - 1))
        evaluated = 0
        while len(held.tokens) < len(tokens) and not stop():
            chunk = list(tokens[len(held.tokens) : len(held.tokens) + CHUNK_TOKENS])
            last = len(held.tokens) + len(chunk) == len(tokens)
            self._decode([(slot, token, last and at == len(chunk) - 1) for at, token in enumerate(chunk)])
            evaluated += len(chunk)
        return evaluated

    def begin(self, slot: int, sampling: Sampling, *, max_tokens: int) -> Reply:
        """A reply to the prompt in the slot, for `step`; evaluates nothing yet. Give it up early with `Reply.end`.

        Raises:
            EngineError: `llama.order` when the slot's prompt is not evaluated to its end.
        """
        if self._slots[slot].logits is None:
            raise EngineError("llama.order", f"slot {slot} holds no complete prompt; prefill it before generating")
        return Reply(slot, max_tokens, Sampler(sampling, self._vocabulary.size))

    def step(self, replies: Sequence[Reply]) -> None:
        """One token for each reply, in one evaluation for all; replies that are over are left alone.

        Sets each reply's `delta` and `finish`.
        """
        going = []
        for reply in replies:
            reply.delta = ""
            if reply.finish:
                continue
            if reply.left_tokens <= 0 or (reply._token is not None and self._is_full(reply.slot)):
                reply.delta = reply._text.decode(b"", final=True)
                reply.end("length")
            else:
                going.append(reply)
        behind = [reply for reply in going if reply._token is not None]
        if behind:
            self._decode([(reply.slot, reply._token or 0, True) for reply in behind])
        for reply in going:
            self._sample(reply)

    def generate(
        self, slot: int, sampling: Sampling, *, max_tokens: int, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Text of the reply as it comes, whole characters only; each `next` is one token as a rule.

        Ends at the end of the model's turn, after `max_tokens`, when the slot is full, or as soon as `stop` is
        true, which is asked before every token. The slot then holds the prompt and the reply (without a last
        token that nothing followed), so that the next prompt of this conversation finds its beginning there.
        """
        reply = self.begin(slot, sampling, max_tokens=max_tokens)
        try:
            while not reply.finish and not stop():
                self.step([reply])
                if reply.delta:
                    yield reply.delta
        finally:
            reply.end(reply.finish or "stopped")

    def use_threads(self, threads: int) -> None:
        """CPU threads of the evaluations that follow; takes no time of its own."""
        if threads != self.threads:
            self.threads = threads
            llama.llama_set_n_threads(self._context, threads, threads)

    def forget(self, slot: int) -> None:
        """Empty a slot, for the next session."""
        self._cut(slot, 0)

    def tokens_in(self, slot: int) -> int:
        """Number of tokens that the slot holds."""
        return len(self._slots[slot].tokens)

    def warm_up(self) -> None:
        """Read the weights into memory and run the kernels once, so that the first turn costs what the others do."""
        prompt = self.render([Message("user", "Hello.")])
        self.prefill(0, prompt)
        for _ in self.generate(0, Sampling(), max_tokens=4):
            pass
        self.forget(0)

    def _is_full(self, slot: int) -> bool:
        return len(self._slots[slot].tokens) >= self.context_tokens

    def _cut(self, slot: int, kept: int) -> None:
        held = self._slots[slot]
        held.logits = None
        if not llama.llama_memory_seq_rm(self._memory, slot, kept, -1):
            # Recurrent models cannot go back a part of the way.
            llama.llama_memory_seq_rm(self._memory, slot, -1, -1)
            kept = 0
        del held.tokens[kept:]

    def _decode(self, entries: Sequence[tuple[int, int, bool]]) -> None:
        """Evaluate (slot, token, wants logits) entries in one call and note them in their slots."""
        batch = self._batch
        ahead = [len(slot.tokens) for slot in self._slots]
        for at, (slot, token, wanted) in enumerate(entries):
            batch.token[at] = token
            batch.pos[at] = ahead[slot]
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = slot
            batch.logits[at] = wanted
            ahead[slot] += 1
        batch.n_tokens = len(entries)
        _complaints.clear()
        status = llama.llama_decode(self._context, batch)
        if status != 0:
            for slot in {slot for slot, _, _ in entries}:
                self._cut(slot, len(self._slots[slot].tokens))
            reason = "; ".join(_complaints) or f"status {status}"
            raise EngineError(
                "llama.context" if status == 1 else "llama.decode", f"the model could not go on: {reason}"
            )
        for at, (slot, token, wanted) in enumerate(entries):
            held = self._slots[slot]
            held.tokens.append(token)
            held.logits = None
            if wanted:
                row = llama.llama_get_logits_ith(self._context, at)
                held.logits = np.ctypeslib.as_array(row, (self._vocabulary.size,)).copy()

    def _sample(self, reply: Reply) -> None:
        logits = self._slots[reply.slot].logits
        assert logits is not None
        token = reply._sampler.draw(logits)
        reply._token = token
        reply.left_tokens -= 1
        if self._vocabulary.ends_turn(token):
            reply.delta = reply._text.decode(b"", final=True)
            reply.end("end")
        else:
            reply.delta = reply._text.decode(self._vocabulary.piece(token))
