from __future__ import annotations

import os
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ring.bell import Bell
from edge_agent.ring.control import LINE, ControlPage, ProcessWord, SessionWord, Turn, page_bytes
from edge_agent.ring.memory import SharedMemory


@pytest.fixture
def page():
    memory = SharedMemory.create("control", page_bytes(3, 4))
    yield ControlPage(memory, sessions=3, processes=4)
    memory.close()


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1))
def test_a_turn_fits_one_word(turn: int, revision: int) -> None:
    packed = Turn(turn, revision).pack()
    assert 0 <= packed < 2**64
    assert Turn.unpack(packed) == (turn, revision)


@given(
    st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1)),
    st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1)),
)
def test_later_turns_are_greater_words(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (one < other) == (Turn(*one).pack() < Turn(*other).pack())


def test_every_word_has_a_cache_line_of_its_own(page: ControlPage) -> None:
    value = 1
    for holder, words in [
        *((session, SessionWord) for session in page.sessions),
        *((process, ProcessWord) for process in page.processes),
    ]:
        for word in words:
            holder.store(word, value)
            value += 1
    stored = [index for index in range(page.memory.size // 8) if page.memory.words.load(index)]
    assert len(stored) == value - 1, "no two words share a place"
    assert all(index % LINE == 0 for index in stored)
    assert max(stored) * 8 < page_bytes(3, 4)
    assert page.sessions[2].load(SessionWord.EPOCH) == 2 * len(SessionWord) + SessionWord.EPOCH + 1


def test_what_a_session_says(page: ControlPage) -> None:
    session = page.sessions[1]
    assert session.turn == session.committed == Turn(0, 0)
    assert session.epoch == 0
    assert not session.playing
    session.store(SessionWord.TURN, Turn(7, 2).pack())
    session.store(SessionWord.COMMITTED, Turn(7, 1).pack())
    session.store(SessionWord.EPOCH, 3)
    session.store(SessionWord.PLAYING, 1)
    assert (session.turn, session.committed, session.epoch, session.playing) == (Turn(7, 2), Turn(7, 1), 3, True)
    assert page.sessions[0].epoch == page.sessions[2].epoch == 0


def test_a_step_is_announced_and_taken_back(page: ControlPage) -> None:
    process = page.processes[0]
    process.beat()
    first = process.load(ProcessWord.HEARTBEAT_NS)
    assert first > 0
    process.begin(patience_ns=5_000_000_000)
    since = process.load(ProcessWord.BUSY_SINCE_NS)
    assert first <= since
    assert process.load(ProcessWord.PATIENCE_NS) == since + 5_000_000_000
    took = process.end()
    assert process.load(ProcessWord.HEARTBEAT_NS) == since + took
    assert process.load(ProcessWord.PATIENCE_NS) == process.load(ProcessWord.BUSY_SINCE_NS) == 0


def test_a_process_bell_wakes_that_process(page: ControlPage) -> None:
    fd = Bell.make_fd()
    sleeper = page.processes[2].sleeper(fd)
    sleeper.prepare()
    assert [process.load(ProcessWord.ASLEEP) % 2 for process in page.processes] == [0, 0, 1, 0]
    page.processes[2].bell(fd).ring()
    assert sleeper.sleep(60_000)
    assert page.processes[2].load(ProcessWord.ASLEEP) % 2 == 0
    os.close(fd)


def test_another_process_sees_the_same_page(page: ControlPage) -> None:
    with closing(SharedMemory.attach(os.dup(page.memory.fd))) as twin:
        ControlPage(twin, sessions=3, processes=4).sessions[0].store(SessionWord.EPOCH, 9)
        assert page.sessions[0].epoch == 9
