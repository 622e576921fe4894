from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from threading import Event, Thread

import pytest

from edge_agent.clock import now_ns
from edge_agent.ring.bell import Bell, Sleeper
from edge_agent.ring.control import ControlPage, page_bytes
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader, Writer, create

MINUTE_MS = 60_000


@pytest.fixture
def page():
    memory = SharedMemory.create("page", 4096)
    fd = Bell.make_fd()
    yield memory, fd
    os.close(fd)
    memory.close()


def unread(fd: int) -> int:
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def test_an_awake_owner_is_not_rung(page) -> None:
    memory, fd = page
    Sleeper(memory.words, 0, fd)
    Bell(memory.words, 0, fd).ring()
    assert unread(fd) == 0


def test_a_ring_between_the_second_look_and_the_sleep_is_not_lost(page) -> None:
    memory, fd = page
    sleeper = Sleeper(memory.words, 0, fd)
    sleeper.prepare()
    Bell(memory.words, 0, fd).ring()
    assert sleeper.sleep(MINUTE_MS) == [fd]
    assert memory.words.load(0) % 2 == 0, "awake again"


def test_one_wake_up_serves_all_rings_before_it(page) -> None:
    memory, fd = page
    sleeper, bell = Sleeper(memory.words, 0, fd), Bell(memory.words, 0, fd)
    sleeper.prepare()
    for _ in range(5):
        bell.ring()
    assert sleeper.sleep(MINUTE_MS) == [fd]
    sleeper.prepare()
    assert sleeper.sleep(0) == [], "silenced: nothing rang since"


def test_one_bell_rings_once_for_one_sleep(page) -> None:
    memory, fd = page
    sleeper, bell, other = Sleeper(memory.words, 0, fd), Bell(memory.words, 0, fd), Bell(memory.words, 0, fd)
    for _ in range(3):
        sleeper.prepare()
        for _ in range(5):
            bell.ring()
        assert unread(fd) == 1, "the system is called once, however many records follow"
        other.ring()
        assert sleeper.sleep(MINUTE_MS) == [fd], "another writer does not rely on the first"


def test_no_sleep_looks_like_an_earlier_one_not_even_a_predecessors(page) -> None:
    memory, fd = page
    seen = set()
    bell = Bell(memory.words, 0, fd)
    for _ in range(3):
        sleeper = Sleeper(memory.words, 0, fd)
        assert memory.words.load(0) % 2 == 0, "a successor starts awake"
        for end in (sleeper.stay_awake, lambda sleeper=sleeper: sleeper.sleep(0)):
            sleeper.prepare()
            seen.add(memory.words.load(0))
            end()
        sleeper.prepare()  # and killed here
        unread(fd)
        bell.ring()
        assert unread(fd) == 1
        seen.add(memory.words.load(0))
    assert len(seen) == 9
    assert all(value % 2 for value in seen)


def test_a_late_ring_costs_one_short_sleep_and_no_more(page) -> None:
    memory, fd = page
    sleeper, bell = Sleeper(memory.words, 0, fd), Bell(memory.words, 0, fd)
    sleeper.prepare()
    bell.ring()
    sleeper.stay_awake()  # the second look found the record
    sleeper.prepare()
    assert sleeper.sleep(MINUTE_MS) == [fd]
    sleeper.prepare()
    assert sleeper.sleep(0) == []


@pytest.mark.parametrize("timeout_ms", [0, -1, -1e9, 0.01])
def test_a_time_that_is_over_does_not_block(page, timeout_ms: float) -> None:
    memory, fd = page
    sleeper = Sleeper(memory.words, 0, fd)
    sleeper.prepare()
    began = now_ns()
    assert sleeper.sleep(timeout_ms) == []
    assert now_ns() - began < 30e9


def test_a_full_counter_is_as_good_as_a_ring(page) -> None:
    memory, fd = page
    sleeper = Sleeper(memory.words, 0, fd)
    sleeper.prepare()
    os.eventfd_write(fd, 2**64 - 2)
    Bell(memory.words, 0, fd).ring()
    assert sleeper.sleep(MINUTE_MS) == [fd]


def test_a_watched_descriptor_wakes_and_is_named(page) -> None:
    memory, fd = page
    sleeper = Sleeper(memory.words, 0, fd)
    reading, writing = os.pipe()
    sleeper.watch(reading)
    os.close(writing)  # hung up, as when a parent dies
    sleeper.prepare()
    assert sleeper.sleep(MINUTE_MS) == [reading]
    os.close(reading)


def test_the_successor_of_a_sleeper_killed_in_its_sleep_starts_awake(page) -> None:
    memory, fd = page
    Sleeper(memory.words, 0, fd).prepare()  # and killed here
    bell = Bell(memory.words, 0, fd)
    bell.ring()
    successor = Sleeper(memory.words, 0, fd)
    bell.ring()
    successor.prepare()
    assert successor.sleep(MINUTE_MS) == [fd], "one spurious wake-up from before its time"
    successor.prepare()
    assert successor.sleep(0) == []


def test_a_new_writer_rings_for_what_its_predecessor_published(page) -> None:
    memory, fd = page
    with closing(create("test", 4096)) as ring:
        sleeper = Sleeper(memory.words, 0, fd)
        sleeper.prepare()
        Writer(ring, readers=1).close()
        with closing(Writer(ring, readers=1, bells=[Bell(memory.words, 0, fd)])):
            assert sleeper.sleep(MINUTE_MS) == [fd]


def test_no_wake_up_is_lost_in_a_long_exchange(page) -> None:
    """Both sides sleep after every record; one lost wake-up would stop them for good."""
    memory, _ = page
    rounds = 3000
    with closing(create("there", 4096)) as there, closing(create("back", 4096)) as back:
        fds = [Bell.make_fd(), Bell.make_fd()]
        sleepers = [Sleeper(memory.words, 8 * i, fd) for i, fd in enumerate(fds)]
        bells = [Bell(memory.words, 8 * i, fd) for i, fd in enumerate(fds)]
        stuck = Event()

        def take(reader: Reader, sleeper: Sleeper) -> bytes | None:
            while (record := reader.read()) is None:
                sleeper.prepare()
                if reader.ready():
                    sleeper.stay_awake()
                elif not sleeper.sleep(MINUTE_MS):
                    stuck.set()
                    return None
            reader.release()
            return record

        def echo() -> None:
            with closing(Reader(there, 0)) as reader, closing(Writer(back, readers=1, bells=bells[:1])) as writer:
                for _ in range(rounds):
                    record = take(reader, sleepers[1])
                    if record is None:
                        return
                    writer.try_write(record)

        other = Thread(target=echo)
        other.start()
        with closing(Writer(there, readers=1, bells=bells[1:])) as writer, closing(Reader(back, 0)) as reader:
            for number in range(rounds):
                writer.try_write(number.to_bytes(4, "little"))
                assert take(reader, sleepers[0]) == number.to_bytes(4, "little")
        other.join()
        assert not stuck.is_set()
        for fd in fds:
            os.close(fd)


ECHO = """
import sys
from edge_agent.ring.control import ControlPage
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader, Writer
there, back, page, mine, other = map(int, sys.argv[1:])
control = ControlPage(SharedMemory.attach(page), sessions=0, processes=2)
reader = Reader(SharedMemory.attach(there), 0)
writer = Writer(SharedMemory.attach(back), readers=1, bells=[control.processes[0].bell(other)])
sleeper = control.processes[1].sleeper(mine)
while True:
    record = reader.read()
    if record is not None:
        reader.release()
        writer.try_write(record)
        if record == b"end":
            break
        continue
    sleeper.prepare()
    if reader.ready():
        sleeper.stay_awake()
    elif not sleeper.sleep(60_000):
        sys.exit("a wake-up was lost")
"""


def test_no_wake_up_is_lost_between_processes() -> None:
    there, back = create("there", 4096), create("back", 4096)
    page = SharedMemory.create("page", page_bytes(0, 2))
    control = ControlPage(page, sessions=0, processes=2)
    fds = [Bell.make_fd(), Bell.make_fd()]
    numbers = [there.fd, back.fd, page.fd, fds[1], fds[0]]
    sleeper = control.processes[0].sleeper(fds[0])
    child = subprocess.Popen([sys.executable, "-W", "error", "-c", ECHO, *map(str, numbers)], pass_fds=numbers)
    writer = Writer(there, readers=1, bells=[control.processes[1].bell(fds[1])])
    with closing(Reader(back, 0)) as reader, closing(writer):
        for record in [*(number.to_bytes(4, "little") for number in range(3000)), b"end"]:
            writer.try_write(record)
            while (answer := reader.read()) is None:
                sleeper.prepare()
                if reader.ready():
                    sleeper.stay_awake()
                else:
                    assert sleeper.sleep(MINUTE_MS), "a wake-up was lost"
            reader.release()
            assert answer == record
    assert child.wait(timeout=60) == 0
    for memory in (there, back, page):
        memory.close()
    for fd in fds:
        os.close(fd)
