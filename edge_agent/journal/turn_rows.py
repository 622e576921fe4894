"""What the records of a turn mean to the tables `turns`, `clauses` and `traces`.

Records of different rings come in any order, and each may come again. So every row says by its revision, and a trace by
its rank as well, what may replace it:

- A higher revision replaces a lower one and the clauses that answered it, whichever is read first.
- A trace has rank 2 when the frontend wrote it, 1 when it is made from a `Drop` for the time being, 0 when all that is
  known is an empty transcript. The higher rank stays, of the same rank the higher revision.
- A turn of which nothing could be written down is a trace with words = 0. As long as its revision is not exceeded, no
  row of that turn stands in `turns` or `clauses`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TypeAlias

from edge_agent.clock import MS
from edge_agent.journal.entry import Entry
from edge_agent.journal.schema import STAGE_COLUMNS
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Clause, Commit, Drop, Heard, Trace, Transcript

TurnRecord: TypeAlias = Transcript | Commit | Heard | Clause | Drop

_TRANSCRIPT = """
INSERT INTO turns (conversation, turn, revision, said_ms, transcript, language, confidence) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (conversation, turn) DO UPDATE SET
    said_ms = iif(excluded.revision > revision OR transcript IS NULL, excluded.said_ms, said_ms),
    revision = excluded.revision, transcript = excluded.transcript,
    language = excluded.language, confidence = excluded.confidence
WHERE excluded.revision >= revision
"""
_COMMIT = """
INSERT INTO turns (conversation, turn, revision, said_ms, committed_revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (conversation, turn) DO UPDATE SET
    committed_revision = max(coalesce(committed_revision, excluded.committed_revision), excluded.committed_revision)
"""
_HEARD = """
INSERT INTO turns (conversation, turn, revision, said_ms, heard, heard_complete) VALUES (?, ?, 0, ?, ?, ?)
ON CONFLICT (conversation, turn) DO UPDATE SET heard = excluded.heard, heard_complete = excluded.heard_complete
"""
_CLAUSE = """
INSERT INTO clauses (conversation, turn, position, revision, said_ms, text, answer) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (conversation, turn, position) DO UPDATE SET
    revision = excluded.revision, text = excluded.text, answer = excluded.answer
"""
_TRACE = f"""
INSERT INTO traces (conversation, turn, revision, said_ms, rank, words, budget_ms, breach, cancelled, rungs,
    {", ".join(STAGE_COLUMNS)}) VALUES ({", ".join("?" * (10 + len(STAGE_COLUMNS)))})
ON CONFLICT (conversation, turn) DO UPDATE SET
    revision = excluded.revision, said_ms = excluded.said_ms, rank = excluded.rank, words = excluded.words,
    budget_ms = excluded.budget_ms, breach = excluded.breach, cancelled = excluded.cancelled, rungs = excluded.rungs,
    {", ".join(f"{column} = excluded.{column}" for column in STAGE_COLUMNS)}
WHERE (excluded.rank, excluded.revision) > (rank, revision)
"""  # noqa: S608 - names of our own columns

_EMPTY, _DROPPED, _TRACED = range(3)  # ranks of a trace
_NO_WORDS = "asr: no words"


class TurnRows:
    """Writes the rows of turns.

    Args:
        connection: in a transaction, whenever a method is called.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, owner: int, entry: Entry, record: TurnRecord) -> None:
        """Take one record of a turn of conversation `owner`."""
        key = (owner, record.turn)
        if isinstance(record, Drop):
            self._make_trace(key, entry, record.revision, _DROPPED, record.where, record.words, record.watch)
        elif isinstance(record, Transcript):
            self._transcript(key, entry, record)
        elif isinstance(record, Heard):
            if not self._void(key, 0):
                self._connection.execute(_HEARD, (*key, entry.wall_ms, record.text, record.complete))
        elif not self._void(key, record.revision):
            said_ms = entry.wall_ms_of(_stamp(record.watch.stamps, Stamp.SPEECH_END))
            if isinstance(record, Commit):
                self._connection.execute(_COMMIT, (*key, record.revision, said_ms, record.revision))
            else:
                self._clause(key, said_ms, record)

    def _first(self, query: str, *values: int) -> int | None:
        found = self._connection.execute(query, values).fetchone()
        return None if found is None or found[0] is None else int(found[0])

    def _void(self, key: tuple[int, int], revision: int) -> bool:
        """Whether it is known that nothing could be written down of a turn, up to this revision of it."""
        query = "SELECT 1 FROM traces WHERE (conversation, turn, words) = (?, ?, 0) AND rank > ? AND revision >= ?"
        return self._first(query, *key, _EMPTY, revision) is not None

    def _transcript(self, key: tuple[int, int], entry: Entry, record: Transcript) -> None:
        if self._void(key, record.revision):
            return
        if not record.text:
            newer = "SELECT 1 FROM turns WHERE (conversation, turn) = (?, ?) AND revision > ?"
            if self._first(newer, *key, record.revision) is None:
                self._make_trace(key, entry, record.revision, _EMPTY, _NO_WORDS, False, record.watch)
            return
        said_ms = entry.wall_ms_of(_stamp(record.watch.stamps, Stamp.SPEECH_END))
        row = (*key, record.revision, said_ms, record.text, record.language, record.confidence)
        self._connection.execute(_TRANSCRIPT, row)
        self._forget_clauses(key, record.revision)
        self._connection.execute(
            "DELETE FROM traces WHERE (conversation, turn, rank) = (?, ?, ?) AND revision <= ?",
            (*key, _EMPTY, record.revision),
        )

    def _forget_clauses(self, key: tuple[int, int], revision: int) -> None:
        self._connection.execute(
            "DELETE FROM clauses WHERE (conversation, turn) = (?, ?) AND revision < ?", (*key, revision)
        )

    def _clause(self, key: tuple[int, int], said_ms: int, record: Clause) -> None:
        highest = self._first(
            "SELECT max(revision) FROM (SELECT revision FROM turns WHERE (conversation, turn) = (?1, ?2)"
            " UNION ALL SELECT revision FROM clauses WHERE (conversation, turn) = (?1, ?2)"
            " UNION ALL SELECT revision FROM traces WHERE (conversation, turn, words) = (?1, ?2, 0))",
            *key,
        )
        if highest is not None and highest > record.revision:
            return
        self._forget_clauses(key, record.revision)
        self._connection.execute(_CLAUSE, (*key, record.index, record.revision, said_ms, record.text, record.answer))
        if record.last:  # what a language model that was killed had written beyond it
            self._connection.execute(
                "DELETE FROM clauses WHERE (conversation, turn) = (?, ?) AND position > ?", (*key, record.index)
            )

    def _make_trace(
        self, key: tuple[int, int], entry: Entry, revision: int, rank: int, where: str, words: bool, watch: Stopwatch
    ) -> None:
        """A trace for the time being."""
        start_ns = _stamp(watch.stamps, Stamp.SPEECH_END)
        committed = "SELECT 1 FROM turns WHERE (conversation, turn) = (?, ?) AND committed_revision >= ?"
        if not words and self._first(committed, *key, revision) is not None:
            return  # a recognizer that was killed has heard it again, and less of it
        budget_ms = (watch.deadline_ns - start_ns) // MS if start_ns else 0
        trace = Trace(0, "", key[1], revision, watch.stamps, budget_ms, watch.rungs, None, where, words)
        self._put_trace(key, entry, trace, rank)

    def put_trace(self, owner: int, entry: Entry, trace: Trace) -> None:
        """Take a trace of a turn of conversation `owner`."""
        self._put_trace((owner, trace.turn), entry, trace, _TRACED)

    def _put_trace(self, key: tuple[int, int], entry: Entry, trace: Trace, rank: int) -> None:
        said_ms = entry.wall_ms_of(_stamp(trace.stamps, Stamp.SPEECH_END))
        rungs = json.dumps(trace.rungs, ensure_ascii=False)
        what = (rank, trace.words, trace.budget_ms, trace.breach, trace.cancelled, rungs)
        self._connection.execute(_TRACE, (*key, trace.revision, said_ms, *what, *_durations_ms(trace.stamps)))
        void = self._first("SELECT revision FROM traces WHERE (conversation, turn, words) = (?, ?, 0)", *key)
        if void is not None:
            self._connection.execute(
                "DELETE FROM turns WHERE (conversation, turn) = (?, ?) AND revision <= ?", (*key, void)
            )
            self._forget_clauses(key, void + (rank > _EMPTY))


def _stamp(stamps: Sequence[int], which: Stamp) -> int:
    return stamps[which] if which < len(stamps) else 0


def _durations_ms(stamps: Sequence[int]) -> list[float | None]:
    """Milliseconds from the end of speech to every other stamp; None for what has not happened."""
    start_ns = _stamp(stamps, Stamp.SPEECH_END)
    at_ns = [_stamp(stamps, stamp) for stamp in Stamp if stamp is not Stamp.SPEECH_END]
    return [(one - start_ns) / MS if one and start_ns else None for one in at_ns]
