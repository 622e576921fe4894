"""Keeps the journal whatever the disk does: the store, and what happens when it cannot be written.

| trouble | what is done |
| --- | --- |
| the disk is full, read-only, failing; another process is writing | records wait in memory and are tried again |
| more of them than fit `BACKLOG_BYTES` | the newest are lost; how many is written down as soon as that can be done |
| the file is damaged, or no database | it is moved aside under a name with the time, and a new one is begun |
| the file was taken away | a new one is begun |
| one record cannot be stored | it is passed over, and counted |

The journal never makes another stage wait: that costs records of a journal that cannot be written anyway, and keeps the
conversation alive. What waits in memory is lost with the process.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

from edge_agent.clock import SECOND, now_ns
from edge_agent.errors import JournalError
from edge_agent.journal.backlog import Backlog
from edge_agent.journal.entry import Entry
from edge_agent.journal.life import Life
from edge_agent.journal.store import Store
from edge_agent.records import Close, Open, Record

BACKLOG_BYTES = 4 << 20
RETRY_S = 2.0
ASIDE_S = 60.0  # not more than one damaged file is moved aside in this time
CHECKPOINT_S = 10.0  # what a power cut costs of the journal, at most, while there is a moment to spare
SLICE = 64  # records or rows at a time
AGAIN_S = 60.0  # after deleting has failed
DAY_MS = 86_400_000

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNWRITABLE: dict[int | None, str] = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an error, or is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_AUTH: "access is denied",
    sqlite3.SQLITE_BUSY: "another process is writing it",
    sqlite3.SQLITE_LOCKED: "another process is writing it",
    sqlite3.SQLITE_PROTOCOL: "another process is writing it",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_CORRUPT: "a new file is damaged, too; check the disk",
    sqlite3.SQLITE_NOTADB: "a new file is damaged, too; check the disk",
}
_CLASS = 0xFF  # the part of SQLite's error codes that names the class

_Place: TypeAlias = tuple[str, int]  # ring, slot

log = logging.getLogger("edge_agent.journal")


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from.

    Attributes:
        wall_ms: milliseconds since 1970 UTC.
        monotonic_ns: the clock of the stamps.
    """

    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    monotonic_ns: Callable[[], int] = now_ns


class Keeper:
    """The journal of one house.

    Args:
        path: the file.
        life: of the house.
        keep_days: turns that are older are deleted; 0 for never.
        clock: for tests.
        backlog_bytes: see `BACKLOG_BYTES`.
    """

    def __init__(
        self,
        path: Path,
        life: Life,
        *,
        keep_days: int,
        clock: Clock | None = None,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self._path = path
        self._life = life
        self._keep_days = keep_days
        self._clock = clock or Clock()
        self._store: Store | None = None
        self._backlog_bytes = backlog_bytes
        self._backlog = Backlog(backlog_bytes)
        self._trouble = ""
        self._trouble_since_ms = 0
        self._homeless = 0  # records passed over since that was last written down
        # What each ring's slots are in: by what is written, for a file begun anew; by what was read, for after a loss.
        self._written: dict[_Place, Entry] = {}
        self._read: dict[_Place, Entry] = {}
        self._dirty = False
        self._retry_s = self._aside_s = self._checkpoint_s = self._expire_s = float("-inf")  # not before then
        self._attempt(self._ready)
        self._read = dict(self._written)

    @property
    def trouble(self) -> str:
        """Why nothing can be written now; empty when all is well."""
        return self._trouble

    def take(self, ring: str, record: Record) -> None:
        """Keep one record. When this returns it is committed, or waits in memory because it cannot be."""
        entry = self._entry(ring, record)
        _note(self._read, entry)
        if self._trouble:
            self._backlog.add(entry)
            self._retry()
        elif not self._attempt(partial(self._write, entry)):
            self._backlog.add(entry)

    def tend(self) -> bool:
        """One slice of what can wait; False when there is nothing more to do now."""
        if self._trouble:
            return self._retry()
        now = self._seconds()
        if self._keep_days and now >= self._expire_s:
            return self._attempt(self._expire) and self._seconds() >= self._expire_s
        if self._dirty and now >= self._checkpoint_s:
            self._attempt(self._checkpoint)
        return False

    def close(self) -> None:
        """Write what waits, if that can be done now, and close the file."""
        self._retry_s = float("-inf")
        while self._trouble and self._retry():
            continue
        if self._trouble:
            log.error("%d records never reached the journal", len(self._backlog) + self._backlog.lost)
        elif self._dirty:
            self._attempt(self._checkpoint)
        self._drop_store()

    def _entry(self, ring: str, record: Record) -> Entry:
        return Entry(ring, record, self._clock.wall_ms(), self._clock.monotonic_ns())

    def _seconds(self) -> float:
        return self._clock.monotonic_ns() / SECOND

    # What may fail

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Do something with the store; False when that cannot be done now, which is then the trouble."""
        try:
            try:
                work()
            except sqlite3.Error as error:
                if _code(error) not in _DAMAGED:
                    raise
                self._move_aside()
                work()
        except (sqlite3.Error, OSError, JournalError) as error:
            self._unwritable(error)
            return False
        return True

    def _ready(self) -> Store:
        """The store, opened when it is not; a new one when the file is no longer there."""
        if self._store is not None and self._store.vanished():
            log.error("the journal %s was taken away; a new one is begun", self._path)
            self._drop_store()
        if self._store is None:
            self._store = Store(self._path, self._life, self._clock.wall_ms())
            known = self._store.opened()
            for entry in self._written.values():
                if (entry.ring, entry.record) not in known:
                    self._store.write(entry)
            for ring, record in known:
                self._written.setdefault((ring, record.session), self._entry(ring, record))
        return self._store

    def _write(self, entry: Entry) -> None:
        name = type(entry.record).__name__
        store = self._ready()
        try:
            placed = store.write(entry)
            why = "no conversation was opened in its slot"
        except (sqlite3.Error, OverflowError) as error:
            code = _code(error)
            if code in _UNWRITABLE:
                raise
            placed, why = False, str(error)
        if not placed:
            self._homeless += 1
            log.error("a %s of session %d is not kept: %s", name, entry.record.session, why)
        _note(self._written, entry)
        self._dirty = True

    def _unwritable(self, error: Exception) -> None:
        self._drop_store()
        self._retry_s = self._seconds() + RETRY_S
        if self._trouble:
            return  # it was said
        reason, detail = _UNWRITABLE.get(_code(error)), str(error).rstrip(".")
        self._trouble = reason or detail
        self._trouble_since_ms = self._clock.wall_ms()
        log.error(
            "the journal %s cannot be written: %s. Conversations go on; up to %.3g MB of records wait in memory, "
            "more are lost. Make room or make it writable: it is tried again every %.0f s",
            self._path,
            f"{reason} ({detail})" if reason else detail,
            self._backlog_bytes / 1e6,
            RETRY_S,
        )

    def _drop_store(self) -> None:
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                self._store.close()
            self._store = None

    def _move_aside(self) -> None:
        """The file is damaged: it is kept for whoever can repair it."""
        self._drop_store()
        now = self._seconds()
        if now < self._aside_s:
            raise JournalError("damaged", f"{self._path} was damaged again within {ASIDE_S:.0f} s; check the disk.")
        self._aside_s = now + ASIDE_S
        stamp = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        log.critical("the journal %s is damaged; it is moved to %s and a new one is begun", self._path, aside)
        for suffix in ("-wal", "-shm", ""):  # the main file last: a death in between leaves it to be found again
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")

    # What can wait

    def _retry(self) -> bool:
        """Write a slice of what waits, if it is time to try; False when there is nothing to do now."""
        if self._seconds() < self._retry_s:
            return False
        for _ in range(SLICE):
            if not len(self._backlog):
                self._attempt(self._recover)
                return False
            if not self._attempt(partial(self._write, self._backlog.first())):
                return False
            self._backlog.remove_first()
        return True

    def _recover(self) -> None:
        """Everything that waited is written: say so, and take up what was lost sight of."""
        store = self._ready()
        lost, now_ms = self._backlog.lost, self._clock.wall_ms()
        store.note_outage(self._trouble_since_ms, now_ms, self._trouble, lost)
        if lost:
            for entry in self._read.values():
                store.write(entry)
            self._written = dict(self._read)
            names = [one.record.conversation for one in self._read.values() if isinstance(one.record, Open)]
            store.close_all_but(names, now_ms)
        log.warning("the journal %s is written again; %d records were lost", self._path, lost)
        self._trouble = ""
        self._backlog = Backlog(self._backlog_bytes)

    def _expire(self) -> None:
        now = self._seconds()
        self._expire_s = now + AGAIN_S  # should it fail
        store = self._ready()
        if store.expire(self._clock.wall_ms() - self._keep_days * DAY_MS, SLICE):
            self._expire_s = now
        else:
            store.checkpoint(shrink=True)
            self._expire_s = now + DAY_MS / 1000

    def _checkpoint(self) -> None:
        """Bring what was committed onto the disk itself."""
        self._checkpoint_s = self._seconds() + CHECKPOINT_S
        store = self._ready()
        if self._homeless:
            now_ms = self._clock.wall_ms()
            store.note_outage(now_ms, now_ms, "records that could not be placed", self._homeless)
            self._homeless = 0
        store.checkpoint()
        self._dirty = False


def _note(opens: dict[_Place, Entry], entry: Entry) -> None:
    record = entry.record
    if isinstance(record, Open):
        opens[entry.ring, record.session] = entry
    elif isinstance(record, Close):
        opens.pop((entry.ring, record.session), None)


def _code(error: Exception) -> int | None:
    """The class of SQLite's error codes that an error is of."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & _CLASS if isinstance(code, int) else None
