"""Does every record arrive, once, in order and whole, while readers are killed? Real processes, and figures to say so.

One writer, two reliable readers that are killed with SIGKILL and restarted again and again, one observer. A record's
size and content follow from its number, and it carries a checksum over both.

What a killed reader had not released is delivered again to its successor. So a run of a reader answers for the records
from the position where it began up to the position that it had released when it died; its successor must begin at that
very position, with that very record. Each run checks its own records one by one; the counts stand in shared words, so
that a killed run's findings are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from struct import Struct
from time import sleep
from zlib import crc32

from edge_agent.clock import SECOND, now_ns
from edge_agent.errors import BenchError
from edge_agent.ring.control import LINE, ControlPage, ProcessControl, page_bytes
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import HEADER_BYTES, W_HEAD, W_TAIL, Observer, Reader, Writer, create, deadline_in

CAPACITY = 1 << 18
READERS = 2
PROCESSES = READERS + 1  # those with a bell: the readers, then the observer
HEAD = Struct("<QI")  # number of the record, checksum
VARIETY = 1024  # different bodies
RELEASE_BYTES = CAPACITY // 16  # a reader lets go this often
LOOK_S = 0.002  # how often the one who kills looks how far the readers are
STUCK_MS = 30_000  # nothing moves for so long: give up
LOST, TWICE, BACK, TORN, GOT, MISSED, FIRST = range(7)  # words of a run, one cache line each
SCORE_WORDS = 8


def bodies() -> list[bytes]:
    """The bodies that records carry in turn; most are short, some are long, none and one byte occur too."""
    rng = Random(20)  # noqa: S311 (not a secret)
    sizes = [
        0,
        1,
        7,
        8,
        9,
        *(rng.randrange(200) for _ in range(VARIETY - 21)),
        *(rng.randrange(6000) for _ in range(16)),
    ]
    rng.shuffle(sizes)
    return [rng.randbytes(size) for size in sizes]


@dataclass(frozen=True)
class Integrity:
    """What came of one run.

    Attributes:
        records: written.
        kills: readers killed and restarted.
        losses, duplicates, reorderings, torn: among what reliable readers released and what the observer got.
        misplaced: successors that did not begin exactly where their predecessor had released.
        observed: records that the observer got whole.
        overrun: records that the observer says it missed.
        seconds: from the first record to the last reader's end.
    """

    records: int
    kills: int
    losses: int
    duplicates: int
    reorderings: int
    torn: int
    misplaced: int
    observed: int
    overrun: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Nothing lost, doubled, reordered, torn or misplaced, and the observer can account for every record."""
        wrong = self.losses + self.duplicates + self.reorderings + self.torn + self.misplaced
        return wrong == 0 and self.observed + self.overrun == self.records


class Score:
    """Findings of one run of one reader, in shared words that only it writes."""

    def __init__(self, memory: SharedMemory, run: int) -> None:
        self._words = memory.words
        self._base = run * SCORE_WORDS * LINE

    def __getitem__(self, word: int) -> int:
        return self._words.load(self._base + word * LINE)

    def __setitem__(self, word: int, value: int) -> None:
        self._words.store(self._base + word * LINE, value)


class Checker:
    """Looks at the records of one run, one by one."""

    def __init__(self, score: Score, expected: int | None) -> None:
        self._score = score
        self._bodies = bodies()
        self.expected = expected  # None: whatever comes first

    def check(self, record: bytes, missed: int = 0) -> None:
        """Check one record; `missed` says how many the ring owned up to have skipped just before."""
        score = self._score
        number, checksum = HEAD.unpack_from(record)
        body = record[HEAD.size :]
        if body != self._bodies[number % VARIETY] or crc32(body, number & 0xFFFF_FFFF) != checksum:
            score[TORN] += 1
            return
        if self.expected is None:
            score[FIRST] = number + 1  # 0 says: none yet
            self.expected = number
        expected = self.expected + missed
        if number > expected:
            score[LOST] += number - expected
        elif number == expected - 1:
            score[TWICE] += 1
        elif number < expected:
            score[BACK] += 1
        self.expected = number + 1


def _write(ring: SharedMemory, page: ControlPage, fds: list[int], records: int) -> None:
    bells = [process.bell(fd) for process, fd in zip(page.processes, fds, strict=True)]
    writer = Writer(ring, readers=READERS, bells=bells)
    content = bodies()
    for number in range(records):
        body = content[number % VARIETY]
        record = HEAD.pack(number, crc32(body, number & 0xFFFF_FFFF)) + body
        if not writer.try_write(record):
            writer.write(record, deadline_ns=deadline_in(STUCK_MS))


def _read(ring: SharedMemory, process: ProcessControl, fd: int, index: int, score: Score, records: int) -> None:
    reader = Reader(ring, index)
    sleeper = process.sleeper(fd)
    checker = Checker(score, None)
    while checker.expected != records:
        record = reader.read()
        if record is not None:
            checker.check(record)
            if reader.position - reader.released > RELEASE_BYTES:
                reader.release()
            continue
        reader.release()
        sleeper.prepare()
        if reader.ready():
            sleeper.stay_awake()
        elif not sleeper.sleep(STUCK_MS):
            raise BenchError("ring", f"Reader {index} waited {STUCK_MS} ms for record {checker.expected}.")
    reader.release()


def _observe(ring: SharedMemory, process: ProcessControl, fd: int, score: Score, records: int) -> None:
    observer = Observer(ring)
    sleeper = process.sleeper(fd)
    checker = Checker(score, 0)
    print("ready", flush=True)
    got = lost = 0
    while got + observer.lost < records:
        record = observer.read()
        if record is not None:
            checker.check(record, observer.lost - lost)
            lost = observer.lost
            got += 1
            continue
        sleeper.prepare()
        if observer.ready() or got + observer.lost >= records:  # the last look may have found that the rest is lost
            sleeper.stay_awake()
        elif not sleeper.sleep(STUCK_MS):
            raise BenchError("ring", f"The observer waited {STUCK_MS} ms: {got} records and {observer.lost} missed.")
    score[GOT] = got
    score[MISSED] = observer.lost


def main(arguments: list[str]) -> None:
    """One process of the run: `write|read|observe RING PAGE SCORE RECORDS INDEX RUN BELL...`."""
    role = arguments[0]
    ring_fd, page_fd, score_fd, records, index, run, *bells = map(int, arguments[1:])
    ring = SharedMemory.attach(ring_fd)
    page = ControlPage(SharedMemory.attach(page_fd), sessions=0, processes=PROCESSES)
    score = Score(SharedMemory.attach(score_fd), run)
    if role == "write":
        _write(ring, page, bells, records)
    elif role == "read":
        _read(ring, page.processes[index], bells[index], index, score, records)
    else:
        _observe(ring, page.processes[READERS], bells[READERS], score, records)


class _House:
    """The processes of one run, their memory and descriptors."""

    def __init__(self, records: int, kills: int) -> None:
        self.records = records
        self.ring = create("integrity", CAPACITY)
        self.page = SharedMemory.create("integrity-page", page_bytes(0, PROCESSES))
        ControlPage(self.page, sessions=0, processes=PROCESSES)
        self.scores = SharedMemory.create("integrity-score", (kills + PROCESSES) * SCORE_WORDS * LINE * 8)
        self.bells = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(PROCESSES)]
        self.children: list[subprocess.Popen[bytes]] = []
        self.runs = 0

    def start(self, role: str, index: int = 0) -> tuple[subprocess.Popen[bytes], Score]:
        """A fresh interpreter in one role, and where it keeps its findings."""
        run, self.runs = self.runs, self.runs + (role != "write")
        fds = [self.ring.fd, self.page.fd, self.scores.fd]
        numbers = [*fds, self.records, index, run, *self.bells]
        command = [sys.executable, "-m", "edge_agent.bench.ring_integrity", role, *map(str, numbers)]
        child = subprocess.Popen(command, pass_fds=(*fds, *self.bells), stdout=subprocess.PIPE)
        self.children.append(child)
        return child, Score(self.scores, run)

    def head(self) -> int:
        """The position that the writer has published."""
        return self.ring.words.load(W_HEAD)

    def tail(self, index: int) -> int:
        """The position that a reader has released."""
        return self.ring.words.load(W_TAIL + LINE * index)

    def close(self) -> None:
        """End what still runs and let go of everything."""
        for child in self.children:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        for memory in (self.ring, self.page, self.scores):
            memory.close()
        for fd in self.bells:
            os.close(fd)


def _numbers_at(positions: set[int], records: int) -> dict[int, int]:
    """Which record begins (or is padded before) at each position: the layout, worked out apart from the ring's code."""
    spans = [(HEADER_BYTES + HEAD.size + len(body) + 7) // 8 * 8 for body in bodies()]
    found = {}
    at = 0
    for number in range(records):
        if at in positions:
            found[at] = number
        span = spans[number % VARIETY]
        left = CAPACITY - at % CAPACITY
        at += span if span <= left else span + left
    if at in positions:
        found[at] = records
    return found


def _expect(child: subprocess.Popen[bytes], status: int, what: str) -> None:
    code = child.wait(timeout=STUCK_MS / 1000)
    if code != status:
        raise BenchError("ring", f"{what} ended with status {code} instead of {status}; its message is above.")


def run(records: int, kills: int, advanced: Callable[[int], object] = lambda _: None) -> Integrity:
    """Write `records` while reliable readers are killed `kills` times; `advanced` is told how many bytes went by.

    Raises:
        BenchError: `bench.ring`, when a process fails or nothing moves any more.
    """
    house = _House(records, kills)
    try:
        return _run(house, kills, advanced)
    finally:
        house.close()


def total_bytes(records: int) -> int:
    """About how many bytes of ring `records` take, for a progress bar."""
    return records * sum(HEADER_BYTES + HEAD.size + len(body) + 4 for body in bodies()) // VARIETY


def _run(house: _House, kills: int, advanced: Callable[[int], object]) -> Integrity:
    watcher, seen = house.start("observe")
    assert watcher.stdout is not None
    watcher.stdout.readline()
    readers = [house.start("read", index) for index in range(READERS)]
    runs = [[(score, 0)] for _, score in readers]
    began = now_ns()
    writer, _ = house.start("write")
    every = total_bytes(house.records) // (kills + 1)
    killed, moved, position = 0, began, 0
    while writer.poll() is None or any(child.poll() is None for child, _ in readers):
        sleep(LOOK_S)
        head = house.head()
        if head != position:
            moved, position = now_ns(), head
            advanced(head)
        elif now_ns() - moved > STUCK_MS * SECOND // 1000:
            raise BenchError("ring", f"Nothing moved for {STUCK_MS} ms at byte {head}.")
        victim = killed % READERS
        if killed < kills and house.tail(victim) >= every * (killed + 1) and runs[victim][-1][0][FIRST]:
            child, _ = readers[victim]
            child.send_signal(signal.SIGKILL)
            _expect(child, -signal.SIGKILL, f"Reader {victim}")
            released = house.tail(victim)
            readers[victim] = house.start("read", victim)
            runs[victim].append((readers[victim][1], released))
            killed += 1
    seconds = (now_ns() - began) / SECOND
    for child, what in ((writer, "The writer"), (watcher, "The observer"), *((c, "A reader") for c, _ in readers)):
        _expect(child, 0, what)
    numbers = _numbers_at(
        {position for each in runs for _, position in each} | {house.tail(0), house.tail(1)}, house.records
    )
    misplaced = sum(numbers.get(at) != score[FIRST] - 1 for each in runs for score, at in each)
    misplaced += sum(numbers.get(house.tail(index)) != house.records for index in range(READERS))
    scores = [score for each in runs for score, _ in each] + [seen]
    lost, twice, back, torn = (sum(score[word] for score in scores) for word in (LOST, TWICE, BACK, TORN))
    return Integrity(house.records, killed, lost, twice, back, torn, misplaced, seen[GOT], seen[MISSED], seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
