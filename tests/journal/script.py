"""Conversations as the rings carry them, and what a journal holds of them, comparable between files."""

import sqlite3
from contextlib import closing

from edge_agent.clock import MS
from edge_agent.journal.keeper import Clock, Keeper
from edge_agent.journal.life import Life
from edge_agent.journal.schema import STAGE_COLUMNS
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Clause, Close, Commit, Drop, Heard, Open, Trace, Transcript

LIFE = Life("boot", 1, 2, 3)
WALL_MS = 1_790_000_000_000
NOW_NS = 5_000_000 * MS
BUDGET_MS = 800
TRANSCRIPTS, CLAUSES = "transcripts", "clauses"


class Hands:
    """A clock that a test sets."""

    def __init__(self, wall_ms=WALL_MS, monotonic_ns=NOW_NS):
        self.wall_ms = wall_ms
        self.monotonic_ns = monotonic_ns
        self.clock = Clock(lambda: self.wall_ms, lambda: self.monotonic_ns)

    def pass_s(self, seconds):
        self.wall_ms += int(seconds * 1000)
        self.monotonic_ns += int(seconds * 1000) * MS


def keeper(path, hands=None, *, life=LIFE, keep_days=0, **more):
    return Keeper(path, life, keep_days=keep_days, clock=(hands or Hands()).clock, **more)


def watch(turn, revision=0, *stamps):
    """A stopwatch whose speech ended `turn` seconds after 1000 s; stamps follow each other by 100 ms."""
    made = Stopwatch.start((1_000 + turn) * 1_000 * MS + revision * MS, BUDGET_MS)
    for number, stamp in enumerate(stamps, 1):
        made.stamp(stamp, made.stamps[Stamp.SPEECH_END] + number * 100 * MS)
    return made


def said(turn, text, revision=0, slot=0):
    return Transcript(slot, turn, revision, text, "en", 0.5, watch(turn, revision, Stamp.PAUSE))


def commit(turn, revision=0, slot=0):
    return Commit(slot, turn, revision, turn, watch(turn, revision, Stamp.PAUSE, Stamp.COMMITTED))


def clause(turn, index, text, revision=0, slot=0, *, last=False, answer=True):
    return Clause(slot, turn, revision, turn, index, text, last, answer, "en", watch(turn, revision, Stamp.LLM_START))


def drop(turn, where, revision=0, slot=0, *, words=True):
    return Drop(slot, turn, revision, where, words, watch(turn, revision, Stamp.PAUSE))


def trace(turn, name, revision=0, slot=0, *, cancelled=None, words=True, rungs=(), breach=None):
    stamps = watch(turn, revision, *([Stamp.FIRST_AUDIO, Stamp.FIRST_ANSWER] if cancelled is None else [])).stamps
    return Trace(slot, name, turn, revision, stamps, BUDGET_MS, list(rungs), breach, cancelled, words)


def answered(turn, name="name", slot=0):
    """(ring, record) of one plain turn, in the order in which they are made."""
    return [
        (TRANSCRIPTS, said(turn, f"question {turn}", slot=slot)),
        (TRANSCRIPTS, commit(turn, slot=slot)),
        (CLAUSES, clause(turn, 0, f"Answer {turn}, ", slot=slot)),
        (CLAUSES, clause(turn, 1, "and more.", slot=slot, last=True)),
        (f"traces[{slot}]", trace(turn, name, slot=slot)),
        (TRANSCRIPTS, Heard(slot, turn, f"Answer {turn}, and", False)),
    ]


def opened(name="name", slot=0):
    return [(ring, Open(slot, name, "en", "Be brief.")) for ring in (TRANSCRIPTS, CLAUSES)]


def closed(slot=0):
    return [(ring, Close(slot)) for ring in (TRANSCRIPTS, CLAUSES)]


def write(path, records, hands=None, **more):
    one = keeper(path, hands, **more)
    for ring, record in records:
        one.take(ring, record)
    assert not one.trouble
    one.close()


def query(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def content(path):
    """All that a journal says, without the numbers of its rows."""
    of = "JOIN conversations ON conversations.id = conversation ORDER BY name, turn"
    turns = "name, turn, revision, said_ms, transcript, turns.language, confidence, committed_revision, heard"
    traces = "name, turn, revision, said_ms, rank, words, budget_ms, breach, cancelled, rungs, " + ", ".join(
        STAGE_COLUMNS
    )
    conversations = "name, conversations.slot, language, instructions, opened_ms, ended_ms, ended_by"
    return {
        "conversations": query(path, f"SELECT {conversations} FROM conversations ORDER BY name"),
        "turns": query(path, f"SELECT {turns}, heard_complete FROM turns {of}"),
        "clauses": query(
            path, f"SELECT name, turn, position, revision, said_ms, text, answer FROM clauses {of}, position"
        ),
        "traces": query(path, f"SELECT {traces} FROM traces {of}"),
        "outages": query(path, "SELECT reason, lost FROM outages ORDER BY id"),
    }
