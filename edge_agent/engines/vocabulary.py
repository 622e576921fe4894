"""From messages and text to the tokens of a llama.cpp model, and back.

The chat template is the one in the GGUF file. It is rendered with marks in place of the contents: only the
template's own text may become control tokens, the contents are put in afterwards as plain text. So nothing that a
user says or types can open a turn of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, TypeAlias

import jinja2

from edge_agent.dialogue.history import Message
from edge_agent.engines.device import load_library
from edge_agent.errors import EngineError

llama: Any = load_library("llama_cpp.llama_cpp")
Pointer: TypeAlias = Any
"""A C pointer of llama.cpp: the package has no type for them at run time."""

chat_format: Any = load_library("llama_cpp.llama_chat_format")


class Vocabulary:
    """Tokens and chat template of one loaded model.

    Args:
        model: a `llama_model` pointer; it has to outlive this object.
        name: the model's name in messages to people.

    Raises:
        EngineError: `llama.load` when the model is no chat model: no template, or one that cannot be compiled.
    """

    def __init__(self, model: Pointer, name: str) -> None:
        self._vocab = llama.llama_model_get_vocab(model)
        self.size = int(llama.llama_vocab_n_tokens(self._vocab))
        template = llama.llama_model_chat_template(model, None)
        if not template or not llama.llama_model_has_decoder(model):
            raise EngineError("llama.load", f"{name} has no chat template; expected an instruction-tuned chat model")
        self._bos = int(llama.llama_vocab_bos(self._vocab))
        bos, eos = (self._control_text(token) for token in (self._bos, llama.llama_vocab_eos(self._vocab)))
        try:
            self._template = chat_format.Jinja2ChatFormatter(template.decode(), eos_token=eos, bos_token=bos)
        except jinja2.TemplateError as error:
            raise EngineError("llama.load", f"{name} has a broken chat template ({error}); use another file") from error

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a text; without `special`, no text whatsoever becomes a control token."""
        data = text.encode()
        room = (llama.llama_token * (len(data) + 8))()
        count = llama.llama_tokenize(self._vocab, data, len(data), room, len(room), False, special)
        if count < 0:
            raise EngineError("llama.tokenize", f"a text of {len(data)} bytes became {-count} tokens; shorten it")
        found = list(room[:count])
        if special:
            return found
        # Byte-pair vocabularies never merge text into a control token; others could.
        return [token for token in found if not self._is_control(token)]

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool, unfinished: bool) -> list[int]:
        """Prompt tokens of a conversation; see `LlamaEngine.render`."""
        marks = [f"\ue000{number}\ue001" for number in range(len(messages))]
        self._template.add_generation_prompt = add_generation_prompt and not unfinished
        shown = [{"role": said.role, "content": mark} for said, mark in zip(messages, marks, strict=True)]
        try:
            text: str = self._template(messages=shown).prompt
        except (ValueError, jinja2.TemplateError) as error:
            raise EngineError("llama.template", f"the model's chat template refuses the messages: {error}") from error
        found: list[int] = []
        for message, mark in zip(messages, marks, strict=True):
            before, there, text = text.partition(mark)
            if not there:
                raise EngineError("llama.template", f"the model's chat template drops a {message.role} message")
            found += self.tokens(before, special=True) + self.tokens(message.content.strip())
        if not unfinished:
            found += self.tokens(text, special=True)
        if llama.llama_vocab_get_add_bos(self._vocab) and found[:1] != [self._bos]:
            found.insert(0, self._bos)
        return found

    def ends_turn(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        return bool(llama.llama_vocab_is_eog(self._vocab, token))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token, perhaps a part of a character; a control token has none without `special`."""
        room = ctypes.create_string_buffer(64)
        size = llama.llama_token_to_piece(self._vocab, token, room, len(room), 0, special)
        if size < 0:
            room = ctypes.create_string_buffer(-size)
            size = llama.llama_token_to_piece(self._vocab, token, room, len(room), 0, special)
        return room.raw[:size]

    def _control_text(self, token: int) -> str:
        return self.piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    def _is_control(self, token: int) -> bool:
        return self.ends_turn(token) or bool(llama.llama_vocab_is_control(self._vocab, token))
