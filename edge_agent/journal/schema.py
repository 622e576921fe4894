"""The journal's tables, how an older journal becomes one of today, and how its file is opened.

    conversations   who talked when: one row from Open to Close
    turns           what was said and what was heard, one row a turn of which something could be written down
    clauses         the reply as it was written, piece by piece, acknowledgements marked
    traces          where each turn's time went; false starts are here too (words = 0), and have no row in turns
    places          which conversation a turn of a session slot belongs to, for each ring by itself
    outages         when records could not be kept, and how many were lost

Wall-clock times are milliseconds since 1970 UTC (`..._ms` of a moment); the milliseconds of a trace are counted from
the end of the user's speech on the monotonic clock, so a clock that is set does not touch them.

The write-ahead log is synchronized at checkpoints only (`synchronous = NORMAL`). What is committed is in the kernel's
hands: it survives the death of every process. A power cut can cost what was committed since the last checkpoint and
never the file's integrity; the conversation itself lived in memory and is over then anyway, and one flush for every
record would wear out an SD card and hold up the disk that models are read from.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge_agent.errors import JournalError
from edge_agent.latency.stopwatch import Stamp

FILE_NAME = "journal.sqlite3"
BUSY_S = 0.5  # how long another process may keep us from writing
LOG_BYTES = 4 << 20  # what is left of the write-ahead log after a checkpoint
STAGE_COLUMNS = tuple(f"{stamp.name.lower()}_ms" for stamp in Stamp if stamp is not Stamp.SPEECH_END)

_FIRST = f"""
CREATE TABLE conversations (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    life         TEXT NOT NULL,
    slot         INTEGER NOT NULL,
    language     TEXT,
    instructions TEXT,
    opened_ms    INTEGER NOT NULL,
    ended_ms     INTEGER,
    ended_by     TEXT CHECK (ended_by IN ('closed', 'replaced', 'house')),
    CHECK ((ended_ms IS NULL) = (ended_by IS NULL))
);
CREATE INDEX conversations_by_time ON conversations (opened_ms);
CREATE INDEX conversations_open ON conversations (life) WHERE ended_ms IS NULL;

CREATE TABLE turns (
    id                 INTEGER PRIMARY KEY,
    conversation       INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    turn               INTEGER NOT NULL,
    revision           INTEGER NOT NULL,
    said_ms            INTEGER NOT NULL,
    transcript         TEXT,
    language           TEXT,
    confidence         REAL,
    committed_revision INTEGER,
    heard              TEXT,
    heard_complete     INTEGER CHECK (heard_complete IN (0, 1)),
    UNIQUE (conversation, turn)
);
CREATE INDEX turns_by_time ON turns (said_ms);

CREATE TABLE clauses (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    turn         INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    said_ms      INTEGER NOT NULL,
    text         TEXT NOT NULL,
    answer       INTEGER NOT NULL CHECK (answer IN (0, 1)),
    UNIQUE (conversation, turn, position)
);
CREATE INDEX clauses_by_time ON clauses (said_ms);

CREATE TABLE traces (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    turn         INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    said_ms      INTEGER NOT NULL,
    rank         INTEGER NOT NULL CHECK (rank IN (0, 1, 2)),
    words        INTEGER NOT NULL CHECK (words IN (0, 1)),
    budget_ms    INTEGER NOT NULL,
    breach       TEXT,
    cancelled    TEXT,
    rungs        TEXT NOT NULL,
    {"".join(f"{column} REAL, " for column in STAGE_COLUMNS)}
    UNIQUE (conversation, turn)
);
CREATE INDEX traces_by_time ON traces (said_ms);

CREATE TABLE places (
    id           INTEGER PRIMARY KEY,
    life         TEXT NOT NULL,
    ring         TEXT NOT NULL,
    slot         INTEGER NOT NULL,
    conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    after_turn   INTEGER NOT NULL,
    last_turn    INTEGER NOT NULL,
    current      INTEGER NOT NULL CHECK (current IN (0, 1)),
    UNIQUE (life, ring, slot, conversation)
);
CREATE INDEX places_by_conversation ON places (conversation);

CREATE TABLE outages (
    id        INTEGER PRIMARY KEY,
    since_ms  INTEGER NOT NULL,
    until_ms  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    lost      INTEGER NOT NULL
);
"""

# Script n brings a journal of version n to version n + 1. A script that was released is never changed.
MIGRATIONS = (_FIRST,)
VERSION = len(MIGRATIONS)


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal for writing; made if need be, readable by its owner alone, brought to today's version.

    Raises:
        JournalError: `journal.newer`, when a newer edge-agent wrote it.
        OSError: the folder or the file cannot be made.
        sqlite3.Error: anything else.
    """
    _make_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        version = version_of(connection)
        if version > VERSION:
            raise newer(path, version)
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only heeded before there is a table
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted was private
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """Conversations are nobody else's business; SQLite gives its side files the mode of the main one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of an open journal; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a journal to today's version, all at once or not at all.

    Raises:
        JournalError: `journal.newer`.
    """
    if version_of(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)  # another process may have been faster
        if version > VERSION:
            raise newer(path, version)
        for script in MIGRATIONS[version:]:
            for statement in script.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors end it by themselves
            connection.execute("ROLLBACK")
        raise


def newer(path: Path, version: int) -> JournalError:
    """What to say about a journal of a later version than ours."""
    return JournalError(
        "newer",
        f"{path} was written by a newer edge-agent (its version is {version}, this one knows up to {VERSION}). "
        "Update edge-agent, or move the file away and a new journal is begun.",
    )
