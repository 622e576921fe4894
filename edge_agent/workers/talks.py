"""The conversations that llm holds, and what it must still know of them after it was killed.

Noted are, for each conversation, its opening, and for each turn what was said (`Transcript`), that it was dealt with (a
last `Clause`) and what was heard of the reply (`Heard`): enough to rebuild the history, and small.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edge_agent.catalog.entries import Chat
from edge_agent.dialogue.clauses import ClauseSplitter
from edge_agent.dialogue.history import History
from edge_agent.engines.llama import Reply, Sampling
from edge_agent.latency.stopwatch import Stopwatch
from edge_agent.records import Clause, Close, Heard, Open, Record, Transcript, decode, encode
from edge_agent.workers.loop import Desk

NOTES_A_TURN = 3

log = logging.getLogger("edge_agent.llm")


@dataclass(slots=True)
class Answer:
    """A reply in the making."""

    transcript: Transcript
    epoch: int
    watch: Stopwatch
    splitter: ClauseSplitter
    max_tokens: int
    sampling: Sampling
    reply: Reply | None = None  # None until the prompt is evaluated
    one_sentence: bool = False
    clauses: int = 0
    began_ns: int = 0
    rest_until_ns: int = 0  # leave the cores to the voice until then
    voice_began: bool = False


@dataclass(slots=True)
class Talk:
    """One session's conversation."""

    history: History
    transcript: Transcript | None = None
    answer: Answer | None = None
    done: int = 0  # last turn whose reply was complete or cut
    done_revision: int = 0
    cold: bool = True  # the history is not in the KV cache as it stands
    notes: list[bytes] = field(default_factory=list)


class Talks:
    """All conversations, by session slot.

    Args:
        desk: the worker's; its notebook is used.
        chat: how the model is prompted.
        count: tokens in a text.
    """

    def __init__(self, desk: Desk, chat: Chat, count: Callable[[str], int]) -> None:
        self._desk = desk
        self._chat = chat
        self._count = count
        self._talks: dict[int, Talk] = {}
        self._notebook = desk.station.notebook(self._to_keep)
        for note in self._notebook.notes():
            self._recall(note)

    def get(self, slot: int) -> Talk | None:
        """The conversation in a slot, if one is open."""
        return self._talks.get(slot)

    def items(self) -> Iterator[tuple[int, Talk]]:
        """Slots and conversations that are open."""
        return iter(self._talks.items())

    def values(self) -> Iterator[Talk]:
        """Conversations that are open."""
        return iter(self._talks.values())

    def open(self, settings: Open) -> None:
        """A conversation begins; one that was open in the slot is forgotten."""
        talk = self._talks[settings.session] = Talk(self.history(settings))
        talk.done = self._desk.session(settings.session).committed.turn
        self.note(talk, settings)

    def close(self, record: Close) -> None:
        """A conversation is over."""
        self._talks.pop(record.session, None)
        self._notebook.add(encode(record))

    def heard(self, talk: Talk, record: Heard) -> None:
        """What was audible of a reply is what the history holds of it."""
        self._take(talk, record)
        self.note(talk, record)

    def note(self, talk: Talk, record: Record) -> None:
        """Remember a record beyond this process's life."""
        note = encode(record)
        self._notebook.add(note)
        talk.notes.append(note)
        # The first note is the conversation's opening, which stays.
        kept = NOTES_A_TURN * (self._chat.history_exchanges + 2)
        del talk.notes[1 : max(1, len(talk.notes) - kept)]

    def history(self, settings: Open) -> History:
        """An empty history that begins as the settings want it."""
        chat = self._chat
        system = settings.instructions or self._desk.config.persona.instructions or chat.system
        try:
            return self._with(system)
        except ValueError as error:
            log.error("instructions of %d characters are too long (%s): the own ones are used", len(system), error)
            return self._with(chat.system)

    def _with(self, system: str) -> History:
        chat = self._chat
        return History(
            system,
            max_exchanges=chat.history_exchanges,
            max_tokens=chat.history_tokens,
            count=self._count,
            examples=chat.examples if system == chat.system else (),
        )

    def _to_keep(self, _: Sequence[bytes]) -> Sequence[bytes]:
        return [note for talk in self._talks.values() for note in talk.notes]

    def _take(self, talk: Talk, record: Heard) -> None:
        if any(exchange.turn == record.turn for exchange in talk.history.records()[-1:]):
            talk.history.heard(record.text, record.complete)
        talk.cold = True

    def _recall(self, note: bytes) -> None:
        """Take up one note of a predecessor."""
        record = decode(note)
        if isinstance(record, Open):
            self._talks[record.session] = Talk(self.history(record))
        elif isinstance(record, Close):
            self._talks.pop(record.session, None)
            return
        talk = self._talks.get(record.session)
        if talk is None:
            return
        talk.notes.append(note)
        if isinstance(record, Transcript) and record.turn > talk.done:
            talk.history.begin(record.text, turn=record.turn)
        elif isinstance(record, Clause):
            talk.done, talk.done_revision = record.turn, record.revision
        elif isinstance(record, Heard):
            self._take(talk, record)
