"""The journal's reading side: for the command line and the owner's page, in any process, while the house writes."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from edge_agent.errors import JournalError
from edge_agent.journal.schema import BUSY_S, STAGE_COLUMNS, VERSION, newer, version_of

_CONVERSATIONS = """
SELECT name, slot, language, opened_ms, ended_ms, ended_by,
    (SELECT count(*) FROM turns WHERE conversation = conversations.id),
    (SELECT count(*) FROM traces WHERE conversation = conversations.id AND words = 0
        AND NOT EXISTS (SELECT 1 FROM turns WHERE (conversation, turn) = (traces.conversation, traces.turn)))
FROM conversations ORDER BY opened_ms DESC, id DESC LIMIT ?
"""
_TURNS = f"""
SELECT turns.turn, turns.revision, turns.said_ms, transcript, turns.language, confidence,
    coalesce(committed_revision >= turns.revision, 0), heard, heard_complete,
    budget_ms, breach, cancelled, rungs, {", ".join(STAGE_COLUMNS)}
FROM turns JOIN conversations ON conversations.id = turns.conversation
    LEFT JOIN traces ON (traces.conversation, traces.turn) = (turns.conversation, turns.turn)
WHERE name = ? ORDER BY turns.turn
"""  # noqa: S608 - names of our own columns
_CLAUSES = """
SELECT turn, text FROM clauses JOIN conversations ON conversations.id = conversation
WHERE name = ? AND answer = 1 ORDER BY turn, position
"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Who talked when.

    Attributes:
        name: identifier, as in `records.Open`.
        slot: session slot.
        language: ISO 639-1 code that was asked for; None when it was detected.
        opened: UTC.
        ended: UTC; None while it goes on.
        ended_by: "closed", "replaced" (by the next one in its slot) or "house"; None while it goes on.
        turns: of which something could be written down.
        false_starts: sounds taken for speech of which nothing could.
    """

    name: str
    slot: int
    language: str | None
    opened: datetime
    ended: datetime | None
    ended_by: str | None
    turns: int
    false_starts: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said, what was answered, and how long that took.

    Attributes:
        turn: number; rises through all conversations of a slot.
        revision: which version of it the texts belong to.
        said: when the user stopped speaking, UTC.
        transcript: what the user said; empty when that was lost.
        language: ISO 639-1 code, as spoken.
        confidence: of the recognizer, 0 to 1.
        committed: whether the user was taken to be done.
        reply: as the language model wrote it, acknowledgements left out.
        heard: what of it was audible; None when nobody has said so yet.
        complete: whether all of it was played.
        stages_ms: milliseconds from the end of speech, by lower-case name of the stamps that happened.
        budget_ms: what was allowed; None while there is no trace.
        breach: the stage that overspent when the budget was missed.
        cancelled: "stage: reason" when nobody heard an answer.
        rungs: what stages left out to be in time, as "stage: what".
    """

    turn: int
    revision: int
    said: datetime
    transcript: str
    language: str | None
    confidence: float | None
    committed: bool
    reply: str
    heard: str | None
    complete: bool
    stages_ms: dict[str, float] = field(default_factory=dict)
    budget_ms: int | None = None
    breach: str | None = None
    cancelled: str | None = None
    rungs: tuple[str, ...] = ()

    @property
    def first_audio_ms(self) -> float | None:
        """From the end of speech to the first audible sample of anything."""
        return self.stages_ms.get("first_audio")

    @property
    def first_answer_ms(self) -> float | None:
        """From the end of speech to the first audible sample of the answer itself."""
        return self.stages_ms.get("first_answer")


class Journal:
    """A journal opened for reading. Made with `open_read_only`; close it, or use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open_read_only(cls, path: Path) -> Journal:
        """Open the journal at `path`; the house may be writing it.

        Raises:
            JournalError: `journal.missing`, `journal.newer`, `journal.older` (no house of this version has opened it
                yet), `journal.unreadable`.
        """
        if not path.is_file():
            raise JournalError("missing", f"There is no journal at {path}; one is begun with the first conversation.")
        try:
            uri = f"file:{quote(str(path.absolute()))}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            version = version_of(connection)
            if version > VERSION:
                raise newer(path, version)
            if version < VERSION:
                message = (
                    f"{path} was written by an older edge-agent; start the house once, which brings it up to date."
                )
                raise JournalError("older", message)
        except sqlite3.Error as error:
            connection.close()
            raise _unreadable(path, error) from error
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from error

    def conversations(self, limit: int = 100) -> list[Conversation]:
        """The newest conversations, newest first.

        Raises:
            JournalError: `journal.unreadable`.
        """
        return [_conversation(row) for row in self._rows(_CONVERSATIONS, limit)]

    def turns(self, conversation: str) -> list[Turn]:
        """The turns of one conversation, in order; none when it is not known.

        Raises:
            JournalError: `journal.unreadable`.
        """
        replies: dict[int, list[str]] = {}
        for turn, text in self._rows(_CLAUSES, conversation):
            replies.setdefault(turn, []).append(text)
        return [_turn(row, "".join(replies.get(row[0], ())).strip()) for row in self._rows(_TURNS, conversation)]


def _unreadable(path: Path, error: sqlite3.Error) -> JournalError:
    message = f"{path} cannot be read ({error}). A house that is started moves a damaged one aside and begins anew."
    return JournalError("unreadable", message)


def _moment(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC)


def _conversation(row: tuple[Any, ...]) -> Conversation:
    name, slot, language, opened_ms, ended_ms, ended_by, turns, false_starts = row
    ended = None if ended_ms is None else _moment(ended_ms)
    return Conversation(name, slot, language, _moment(opened_ms), ended, ended_by, turns, false_starts)


def _turn(row: tuple[Any, ...], reply: str) -> Turn:
    turn, revision, said_ms, transcript, language, confidence, committed, heard, complete, *trace = row
    budget_ms, breach, cancelled, rungs, *stages_ms = trace
    named = zip(STAGE_COLUMNS, stages_ms, strict=True)
    return Turn(
        turn=turn,
        revision=revision,
        said=_moment(said_ms),
        transcript=transcript or "",
        language=language,
        confidence=confidence,
        committed=bool(committed),
        reply=reply,
        heard=heard,
        complete=bool(complete),
        stages_ms={name.removesuffix("_ms"): at_ms for name, at_ms in named if at_ms is not None},
        budget_ms=budget_ms,
        breach=breach,
        cancelled=cancelled,
        rungs=tuple(json.loads(rungs)) if rungs else (),
    )
