"""A million records between real processes, while reliable readers are killed and restarted."""

from __future__ import annotations

from edge_agent.bench.ring_integrity import Checker, Score, bodies, run
from edge_agent.ring.memory import SharedMemory

RECORDS = 1_000_000
KILLS = 8


def test_a_million_records_and_killed_readers() -> None:
    positions: list[int] = []
    found = run(RECORDS, KILLS, positions.append)
    assert found.records == RECORDS
    assert found.kills == KILLS
    assert (found.losses, found.duplicates, found.reorderings, found.torn, found.misplaced) == (0, 0, 0, 0, 0)
    assert found.observed + found.overrun == RECORDS
    assert found.observed > 0
    assert found.sound
    assert positions == sorted(set(positions))


def test_the_check_finds_what_it_looks_for() -> None:
    """Losses, duplicates, reorderings and torn records are told apart: a check that finds nothing must be able to."""
    from zlib import crc32

    from edge_agent.bench.ring_integrity import BACK, FIRST, HEAD, LOST, TORN, TWICE

    content = bodies()

    def record(number: int) -> bytes:
        return HEAD.pack(number, crc32(content[number], number)) + content[number]

    long = next(number for number in range(20, 1000) if len(content[number]) > 100)
    stale = HEAD.pack(long, crc32(content[long], long + 1024)) + content[long]
    torn = record(long)[:-1] + bytes([record(long)[-1] ^ 1])
    memory = SharedMemory.create("score", 4096)
    score = Score(memory, 0)
    checker = Checker(score, None)
    for number in (10, 11, 12):
        checker.check(record(number))
    assert score[FIRST] == 11
    assert [score[word] for word in (LOST, TWICE, BACK, TORN)] == [0, 0, 0, 0]
    checker.check(record(15))
    checker.check(record(15))
    checker.check(record(13))
    checker.check(torn)
    checker.check(stale)
    assert [score[word] for word in (LOST, TWICE, BACK, TORN)] == [2, 1, 1, 2]
    checker.check(record(17), missed=3)
    assert score[LOST] == 2, "what the ring owned up to is not a silent loss"
    memory.close()
