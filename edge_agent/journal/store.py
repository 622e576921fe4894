"""The journal's writing side: what each record means to the tables.

Rings are read in any order relative to each other, and a record may come again, alone or with everything after it. So
a record never counts on another ring's being ahead, and every row says by its key and revision what may replace it:

- A turn belongs to a conversation by its number. Turn numbers of a slot only rise, so a conversation owns those above
  the highest that the ring had shown when it was opened, for each ring by itself (`places`).
- A higher revision replaces a lower one and what belonged to it, whichever is read first.
- A turn of which nothing could be written down is a trace with words = 0; as long as its revision is not exceeded, no
  row of that turn enters `turns` or `clauses`.
- A `Drop` makes a trace for the time being; the frontend's own `Trace` replaces it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import MS
from edge_agent.journal.life import Life
from edge_agent.journal.schema import STAGE_COLUMNS, connect
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Clause, Close, Commit, Drop, Heard, Open, Record, Trace, Transcript

TRANSCRIPTS = "transcripts"  # the ring in which conversations are opened and closed
_BEFORE_FIRST = -1

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
INSERT INTO traces (conversation, turn, revision, said_ms, final, words, budget_ms, breach, cancelled, rungs,
    {", ".join(STAGE_COLUMNS)}) VALUES ({", ".join("?" * (10 + len(STAGE_COLUMNS)))})
ON CONFLICT (conversation, turn) DO UPDATE SET
    revision = excluded.revision, said_ms = excluded.said_ms, final = excluded.final, words = excluded.words,
    budget_ms = excluded.budget_ms, breach = excluded.breach, cancelled = excluded.cancelled, rungs = excluded.rungs,
    {", ".join(f"{column} = excluded.{column}" for column in STAGE_COLUMNS)}
WHERE (excluded.final, excluded.revision) > (final, revision)
"""  # noqa: S608 - names of our own columns


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it was read.

    Attributes:
        ring: where.
        record: what.
        wall_ms: when, in milliseconds since 1970 UTC.
        at_ns: the same moment on the monotonic clock, by which the record's stamps are turned into wall-clock times.
    """

    ring: str
    record: Record
    wall_ms: int
    at_ns: int

    def wall_ms_of(self, stamp_ns: int) -> int:
        """The wall-clock time of a monotonic stamp; of this entry's reading, when there is no stamp."""
        return self.wall_ms - (self.at_ns - stamp_ns) // MS if stamp_ns else self.wall_ms


class Store:
    """An open journal, written by one life of the house.

    Args:
        path: the file.
        life: the life that writes.
        wall_ms: the time now, for conversations whose house is gone.

    Raises:
        JournalError, OSError, sqlite3.Error: see `schema.connect`.
    """

    def __init__(self, path: Path, life: Life, wall_ms: int) -> None:
        self._path = path
        self._life = str(life)
        self._connection = connect(path)
        try:
            self._inode = path.stat().st_ino
            with self._transaction():
                self._end_older_lives(life, wall_ms)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # some errors end it by themselves
                self._connection.execute("ROLLBACK")
            raise

    def _all(self, query: str, *values: object) -> Sequence[tuple[object, ...]]:
        return self._connection.execute(query, values).fetchall()

    def _number(self, query: str, *values: object) -> int | None:
        found = self._connection.execute(query, values).fetchone()
        return None if found is None or found[0] is None else int(found[0])

    def _end_older_lives(self, life: Life, wall_ms: int) -> None:
        """A conversation that no living house holds ended with its house, when its last sign of life was seen."""
        lives = "SELECT life FROM conversations WHERE ended_ms IS NULL UNION SELECT life FROM places"
        for (text,) in self._all(lives):
            known = Life.parse(str(text))
            if known is not None and not known.ended_before(life):
                continue
            last = "(SELECT max(said_ms) FROM turns WHERE conversation = conversations.id)"
            self._connection.execute(
                f"UPDATE conversations SET ended_by = 'house', ended_ms = min(?, max(opened_ms, coalesce({last}, 0)))"  # noqa: S608
                " WHERE life = ? AND ended_ms IS NULL",
                (wall_ms, text),
            )
            self._connection.execute("DELETE FROM places WHERE life = ?", (text,))

    # Records

    def write(self, entry: Entry) -> bool:
        """Take one record into the tables; when this returns it is committed.

        Returns:
            False when it belongs to a slot in which no conversation was ever opened: there is nowhere to put it.

        Raises:
            sqlite3.Error: it could not be written.
            OverflowError: it holds a number beyond 64 bits.
        """
        with self._transaction():
            return self._take(entry)

    def _take(self, entry: Entry) -> bool:
        record = entry.record
        if isinstance(record, Open):
            self._open(entry, record)
        elif isinstance(record, Close):
            self._close(entry, record)
        elif isinstance(record, Trace):
            conversation = self._conversation(record.conversation, record.session, entry.wall_ms)
            self._trace(conversation, entry, record)
        elif isinstance(record, Transcript | Commit | Heard | Clause | Drop):
            owner = self._owner(entry.ring, record.session, record.turn)
            if owner is None:
                return False
            self._turn(owner, entry, record)
        return True

    def _conversation(self, name: str, slot: int, wall_ms: int) -> int:
        """The row of a conversation, made when it was not known yet."""
        self._connection.execute(
            "INSERT INTO conversations (name, life, slot, opened_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, self._life, slot, wall_ms),
        )
        found = self._number("SELECT id FROM conversations WHERE name = ?", name)
        if found is None:
            raise sqlite3.DatabaseError("a conversation that was just written cannot be found")
        return found

    def _open(self, entry: Entry, record: Open) -> None:
        conversation = self._conversation(record.conversation, record.session, entry.wall_ms)
        place = (self._life, entry.ring, record.session)
        if entry.ring == TRANSCRIPTS:
            self._connection.execute(
                "UPDATE conversations SET ended_ms = ?, ended_by = 'replaced' WHERE ended_ms IS NULL AND id <> ? AND id IN"
                " (SELECT conversation FROM places WHERE (life, ring, slot, current) = (?, ?, ?, 1))",
                (entry.wall_ms, conversation, *place),
            )
            self._connection.execute(
                "UPDATE conversations SET slot = ?, language = ?, instructions = ?, opened_ms = min(opened_ms, ?),"
                " ended_ms = NULL, ended_by = NULL WHERE id = ?",
                (record.session, record.language, record.instructions, entry.wall_ms, conversation),
            )
        highest = self._number("SELECT max(last_turn) FROM places WHERE (life, ring, slot) = (?, ?, ?)", *place)
        self._connection.execute("UPDATE places SET current = 0 WHERE (life, ring, slot) = (?, ?, ?)", place)
        after = _BEFORE_FIRST if highest is None else highest
        self._connection.execute(
            "INSERT INTO places (life, ring, slot, conversation, after_turn, last_turn, current)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (life, ring, slot, conversation) DO UPDATE SET current = 1",
            (*place, conversation, after, after),
        )

    def _close(self, entry: Entry, record: Close) -> None:
        if entry.ring == TRANSCRIPTS:
            self._connection.execute(
                "UPDATE conversations SET ended_ms = ?, ended_by = 'closed' WHERE ended_ms IS NULL AND id IN"
                " (SELECT conversation FROM places WHERE (life, ring, slot, current) = (?, ?, ?, 1))",
                (entry.wall_ms, self._life, entry.ring, record.session),
            )

    def _owner(self, ring: str, slot: int, turn: int) -> int | None:
        """The conversation that a turn of a slot belongs to, as far as one ring has shown."""
        place = (self._life, ring, slot)
        found = self._connection.execute(
            "SELECT id, conversation, last_turn FROM places WHERE (life, ring, slot) = (?, ?, ?)"
            " ORDER BY after_turn < ? DESC, iif(after_turn < ?, after_turn, -after_turn) DESC, id DESC LIMIT 1",
            (*place, turn, turn),
        ).fetchone()
        if found is None:
            return None
        row, conversation, last_turn = found
        if turn > last_turn:
            self._connection.execute("UPDATE places SET last_turn = ? WHERE id = ?", (turn, row))
        return int(conversation)

    def _turn(self, owner: int, entry: Entry, record: Transcript | Commit | Heard | Clause | Drop) -> None:
        key = (owner, record.turn)
        if isinstance(record, Drop):
            self._drop(owner, entry, record)
        elif isinstance(record, Heard):
            if not self._void(key, 0):
                self._connection.execute(_HEARD, (*key, entry.wall_ms, record.text, record.complete))
        elif self._void(key, record.revision):
            return
        elif isinstance(record, Transcript):
            self._transcript(owner, entry, record)
        else:
            said_ms = entry.wall_ms_of(_stamp(record.watch.stamps, Stamp.SPEECH_END))
            if isinstance(record, Commit):
                self._connection.execute(_COMMIT, (*key, record.revision, said_ms, record.revision))
            else:
                self._clause(key, said_ms, record)

    def _void(self, key: tuple[int, int], revision: int) -> bool:
        """Whether it is known that nothing could be written down of a turn, up to this revision of it."""
        query = "SELECT 1 FROM traces WHERE (conversation, turn, words) = (?, ?, 0) AND revision >= ?"
        return self._number(query, *key, revision) is not None

    def _transcript(self, owner: int, entry: Entry, record: Transcript) -> None:
        key = (owner, record.turn)
        said_ms = entry.wall_ms_of(_stamp(record.watch.stamps, Stamp.SPEECH_END))
        if not record.text:
            newer = "SELECT 1 FROM turns WHERE (conversation, turn) = (?, ?) AND revision > ?"
            if self._number(newer, *key, record.revision) is None:
                self._drop(
                    owner,
                    entry,
                    Drop(record.session, record.turn, record.revision, "asr: no words", False, record.watch),
                )
            return
        texts = (record.text, record.language, record.confidence)
        self._connection.execute(_TRANSCRIPT, (*key, record.revision, said_ms, *texts))
        self._connection.execute(
            "DELETE FROM clauses WHERE (conversation, turn) = (?, ?) AND revision < ?", (*key, record.revision)
        )
        self._connection.execute(
            "DELETE FROM traces WHERE (conversation, turn, final, words) = (?, ?, 0, 0) AND revision < ?",
            (*key, record.revision),
        )

    def _clause(self, key: tuple[int, int], said_ms: int, record: Clause) -> None:
        newer = (
            "SELECT max(revision) FROM (SELECT revision FROM turns WHERE (conversation, turn) = (?1, ?2)"
            " UNION ALL SELECT revision FROM clauses WHERE (conversation, turn) = (?1, ?2))"
        )
        highest = self._number(newer, *key)
        if highest is not None and highest > record.revision:
            return
        self._connection.execute(
            "DELETE FROM clauses WHERE (conversation, turn) = (?, ?) AND revision < ?", (*key, record.revision)
        )
        self._connection.execute(_CLAUSE, (*key, record.index, record.revision, said_ms, record.text, record.answer))
        if record.last:  # what a language model that was killed had written beyond it
            self._connection.execute(
                "DELETE FROM clauses WHERE (conversation, turn) = (?, ?) AND position > ?", (*key, record.index)
            )

    def _drop(self, owner: int, entry: Entry, record: Drop) -> None:
        watch: Stopwatch = record.watch
        start_ns = _stamp(watch.stamps, Stamp.SPEECH_END)
        values = {
            "said_ms": entry.wall_ms_of(start_ns),
            "final": False,
            "words": record.words,
            "budget_ms": (watch.deadline_ns - start_ns) // MS if start_ns else 0,
            "breach": None,
            "cancelled": record.where,
            "rungs": watch.rungs,
        }
        self._put_trace((owner, record.turn), record.revision, values, watch.stamps)

    def _trace(self, owner: int, entry: Entry, record: Trace) -> None:
        values = {
            "said_ms": entry.wall_ms_of(_stamp(record.stamps, Stamp.SPEECH_END)),
            "final": True,
            "words": record.words,
            "budget_ms": record.budget_ms,
            "breach": record.breach,
            "cancelled": record.cancelled,
            "rungs": record.rungs,
        }
        self._put_trace((owner, record.turn), record.revision, values, record.stamps)

    def _put_trace(
        self, key: tuple[int, int], revision: int, values: Mapping[str, object], stamps: Sequence[int]
    ) -> None:
        rungs = json.dumps(values["rungs"], ensure_ascii=False)
        row = {**values, "rungs": rungs}
        self._connection.execute(_TRACE, (*key, revision, *row.values(), *_durations_ms(stamps)))
        for table in ("turns", "clauses"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE (conversation, turn) = (?1, ?2) AND revision <="  # noqa: S608
                " (SELECT revision FROM traces WHERE (conversation, turn, words) = (?1, ?2, 0))",
                key,
            )

    # Upkeep

    def opened(self) -> Iterable[tuple[str, Open]]:
        """For each ring and slot of this life, the conversation that it is in, or was in last and is not closed."""
        rows = self._connection.execute(
            "SELECT ring, places.slot, name, language, instructions FROM places"
            " JOIN conversations ON conversations.id = conversation"
            " WHERE places.life = ? AND current = 1 AND ended_ms IS NULL ORDER BY places.id",
            (self._life,),
        )
        return [(ring, Open(slot, name, language, instructions)) for ring, slot, name, language, instructions in rows]

    def close_all_but(self, names: Sequence[str], wall_ms: int) -> None:
        """End the conversations of this life that are over without our having been able to note it."""
        with self._transaction():
            self._connection.execute(
                "UPDATE conversations SET ended_ms = ?, ended_by = 'closed' WHERE life = ? AND ended_ms IS NULL"
                " AND name NOT IN (SELECT value FROM json_each(?))",
                (wall_ms, self._life, json.dumps(names)),
            )

    def note_outage(self, since_ms: int, until_ms: int, reason: str, lost: int) -> None:
        """Remember that records were lost."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO outages (since_ms, until_ms, reason, lost) VALUES (?, ?, ?, ?)",
                (since_ms, until_ms, reason, lost),
            )

    def expire(self, before_ms: int, limit: int) -> bool:
        """Delete up to `limit` rows of each table that are older than `before_ms`; False when none was left."""
        with self._transaction():
            deleted = 0
            for table in ("turns", "clauses", "traces"):
                rows = f"SELECT id FROM {table} WHERE said_ms < ? ORDER BY said_ms LIMIT ?"  # noqa: S608
                deleted += self._delete(table, rows, before_ms, limit)
            left = " OR ".join(
                f"EXISTS (SELECT 1 FROM {table} WHERE conversation = conversations.id)"  # noqa: S608
                for table in ("turns", "clauses", "traces")
            )
            empty = f"SELECT id FROM conversations WHERE ended_ms < ? AND NOT ({left}) LIMIT ?"  # noqa: S608
            deleted += self._delete("conversations", empty, before_ms, limit)
            deleted += self._delete("outages", "SELECT id FROM outages WHERE until_ms < ? LIMIT ?", before_ms, limit)
        return deleted > 0

    def _delete(self, table: str, rows: str, *values: int) -> int:
        return self._connection.execute(f"DELETE FROM {table} WHERE id IN ({rows})", values).rowcount  # noqa: S608

    def checkpoint(self, *, shrink: bool = False) -> None:
        """Bring what was committed onto the disk itself; `shrink` gives freed room back and empties the log."""
        if shrink:
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        self._connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if shrink else 'PASSIVE'})").fetchall()

    def vanished(self) -> bool:
        """Whether somebody has taken the file away: what is written to it now, nobody will find."""
        try:
            return os.stat(self._path).st_ino != self._inode  # noqa: PTH116 - for every record
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _stamp(stamps: Sequence[int], which: Stamp) -> int:
    return stamps[which] if which < len(stamps) else 0


def _durations_ms(stamps: Sequence[int]) -> list[float | None]:
    """Milliseconds from the end of speech to every other stamp; None for what has not happened."""
    start_ns = _stamp(stamps, Stamp.SPEECH_END)
    at_ns = [_stamp(stamps, stamp) for stamp in Stamp if stamp is not Stamp.SPEECH_END]
    return [(one - start_ns) / MS if one and start_ns else None for one in at_ns]
