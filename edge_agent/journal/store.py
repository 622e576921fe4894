"""The journal's writing side: one open file, one transaction a record, and its upkeep."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_agent.journal.entry import Entry
from edge_agent.journal.life import Life
from edge_agent.journal.places import Places
from edge_agent.journal.schema import connect
from edge_agent.journal.turn_rows import TurnRows
from edge_agent.records import Clause, Close, Commit, Drop, Heard, Open, Trace, Transcript

SHRINK_PAGES = 4096  # given back to the disk at a time; what is left is used again
_BY_TURN = ("turns", "clauses", "traces")


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
        self._connection = connect(path)
        self._places = Places(self._connection, life)
        self._rows = TurnRows(self._connection)
        try:
            self._inode = path.stat().st_ino
            with self._transaction():
                self._places.end_older_lives(wall_ms)
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

    def write(self, entry: Entry) -> bool:
        """Take one record into the tables; when this returns it is committed. A record that comes again is harmless.

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
            self._places.open(entry, record)
        elif isinstance(record, Close):
            self._places.close(entry, record)
        elif isinstance(record, Trace):
            owner = self._places.conversation(record.conversation, record.session, entry.wall_ms)
            self._rows.put_trace(owner, entry, record)
        elif isinstance(record, Transcript | Commit | Heard | Clause | Drop):
            found = self._places.owner(entry.ring, record.session, record.turn)
            if found is None:
                return False
            self._rows.put(found, entry, record)
        return True

    def opened(self) -> list[tuple[str, Open]]:
        """The conversation that each ring of this life is in, by ring."""
        return self._places.opened()

    def close_all_but(self, names: Sequence[str], wall_ms: int) -> None:
        """End the conversations of this life that are over without our having been able to note it."""
        with self._transaction():
            self._places.close_all_but(names, wall_ms)

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
            for table in _BY_TURN:
                rows = f"SELECT id FROM {table} WHERE said_ms < ? ORDER BY said_ms LIMIT ?"  # noqa: S608
                deleted += self._delete(table, rows, before_ms, limit)
            left = " OR ".join(
                f"EXISTS (SELECT 1 FROM {table} WHERE conversation = conversations.id)"  # noqa: S608
                for table in _BY_TURN
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
            # A script, because a row without columns, which this gives for each page, ends a single statement.
            self._connection.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
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
