"""A ring of variable-length records in shared memory: one writer, reliable readers, any number of observers.

    | header page: words | record | record | ... free ... |

Positions are byte counts that only grow; a record starts at `position & (capacity - 1)`, aligned to 8 bytes, and never
wraps: where it would, the rest of the lap is padded. A record is `u32 length, u32 sequence, payload`.

The writer stores the payload first, then the ledger (which record ends where), and publishes `head` last, with one
sequentially consistent store. Killed before that store it has written nothing that anybody will look at; its successor
starts from the same `head`.

A *reliable* reader owns a `tail` word. The writer never overwrites what a reliable reader has not released, so such a
reader may look at a record where it stands. Read and released are two steps: what was read but not released is read
again by the reader's successor. An *observer* owns nothing and is never waited for: it copies, then checks against
`reserve` (stored before the writer touches old bytes) that the copy is whole, and counts what it missed.

`reserve` never goes back, not even when a writer died with more reserved than its successor needs: the dead one may
have scribbled over every byte that it had reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from time import sleep

from edge_agent.clock import MS, now_ns
from edge_agent.errors import RingError
from edge_agent.ring.bell import Bell
from edge_agent.ring.memory import PAGE, SharedMemory

MAGIC = 0x45_41_52_49_4E_47_00_01  # "EARING", layout 1
LINE = 8  # words in a cache line: writer's and readers' words never share one
W_MAGIC, W_CAPACITY, W_HEAD, W_RESERVE, W_LEDGER, W_REFUSED = (LINE * i for i in range(6))
W_TAIL = LINE * 8  # first reader's tail; one line each
READERS_MAX = 16
HEADER = Struct("=II")  # as `Words.append` and `Words.record` have it
HEADER_BYTES = HEADER.size
PADDING = 0xFFFF_FFFF  # a length that says: the lap ends here
JOIN_TRIES = 64  # an observer looks this often for a moment between two records
FULL_POLL_S = 0.001  # a writer that waits for a reader looks again this often
CAPACITY_MAX = 1 << 31  # lengths are 32 bits, and the ledger holds the low 32 bits of a position
UNOBSERVED = 0xFFFF_FFFF_FFFF_FFFF  # a reservation of everything: no observer may trust any byte
LOW = 0xFFFF_FFFF


def create(name: str, capacity: int) -> SharedMemory:
    """Memory for a ring.

    Args:
        name: for /proc only.
        capacity: bytes for records, a power of two from one page to 2 GiB.

    Raises:
        RingError: `ring.capacity` for a size that is not; `ring.memory` when there is none.
    """
    if not PAGE <= capacity <= CAPACITY_MAX or capacity & (capacity - 1):
        message = f"Ring {name}: {capacity} bytes is not a power of two from {PAGE} to {CAPACITY_MAX}."
        raise RingError("capacity", message)
    memory = SharedMemory.create(name, PAGE + capacity)
    memory.words.store(W_CAPACITY, capacity)
    memory.words.publish(W_MAGIC, MAGIC)
    return memory


def _capacity(memory: SharedMemory) -> int:
    if memory.size <= PAGE or memory.words.load(W_MAGIC) != MAGIC:
        raise RingError("attach", "The shared memory holds no ring of this version; restart the whole house.")
    return memory.words.load(W_CAPACITY)


class Writer:
    """The one writer of a ring.

    Args:
        memory: from `create`, or attached.
        readers: how many reliable readers there are; they are waited for whether they run or not.
        bells: to ring after each record, and once now: a predecessor may have died after it published, before it rang.
        observed: False skips the store that only observers need; an observer then gets nothing and counts all as lost.
    """

    def __init__(
        self, memory: SharedMemory, *, readers: int, bells: Sequence[Bell] = (), observed: bool = True
    ) -> None:
        if not 0 <= readers <= READERS_MAX:
            raise RingError("readers", f"A ring has 0 to {READERS_MAX} reliable readers, not {readers}.")
        self._capacity = _capacity(memory)
        self._mask = self._capacity - 1
        self._words = memory.words
        self._data = memoryview(memory.map)[PAGE:]
        self._bells = tuple(bells)
        self._tails = tuple(W_TAIL + LINE * i for i in range(readers))
        self.payload_max = self._capacity // 2 - HEADER_BYTES
        self._limit = 0  # how far `head` may go before the tails must be looked at again
        self._resume()
        self._ahead = self._capacity >> 5  # reserved at a time, so that most records need not
        self._reserved = self._reservation(observed)
        for bell in self._bells:
            bell.ring()

    def _resume(self) -> None:
        """Go on from what is published; the last to write may have stopped between its ledger and its `head`."""
        self.head = self._words.load(W_HEAD)
        ledger = self._words.load(W_LEDGER)
        self._count = (ledger >> 32) - (0 if (ledger & LOW) == (self.head & LOW) else 1) & LOW

    def _reservation(self, observed: bool) -> int:
        reserved = self._words.load(W_RESERVE)
        if not observed:
            reserved = UNOBSERVED
        elif reserved == UNOBSERVED:
            reserved = self.head + self._capacity  # what an unobserved writer left is not to be trusted
        self._words.store(W_RESERVE, reserved)
        self._words.fence()
        return reserved

    def _room(self, end: int) -> bool:
        tails = [self._words.load(tail) for tail in self._tails]
        self._limit = min(tails, default=self.head) + self._capacity
        return end <= self._limit

    def try_write(self, payload: bytes | bytearray | memoryview) -> bool:
        """Append one record, or return False at once (and count it) when a reliable reader is too far behind.

        Raises:
            RingError: `ring.record`, for a payload longer than half the ring.
        """
        if self._put(payload):
            return True
        self._words.store(W_REFUSED, self._words.load(W_REFUSED) + 1)
        return False

    def write(
        self,
        payload: bytes | bytearray | memoryview,
        *,
        deadline_ns: int,
        waiting: Callable[[], object] | None = None,
    ) -> None:
        """Append one record, waiting for slow readers until `deadline_ns`; `waiting` is called while it waits.

        Raises:
            RingError: `ring.full` when the deadline passed; `ring.record` for too long a payload.
        """
        while not self._put(payload):
            if now_ns() >= deadline_ns:
                self._words.store(W_REFUSED, self._words.load(W_REFUSED) + 1)
                raise RingError("full", f"A reader is {self._capacity} bytes behind and its time is up.")
            if waiting is not None:
                waiting()
            sleep(FULL_POLL_S)

    def _put(self, payload: bytes | bytearray | memoryview) -> bool:
        length = len(payload)
        if length > self.payload_max:
            raise RingError("record", f"A record of {length} bytes exceeds the ring's {self.payload_max}.")
        head = self.head
        at = head & self._mask
        span = (HEADER_BYTES + length + 7) & ~7
        lap_left = self._capacity - at
        padded = span > lap_left
        end = head + span + (lap_left if padded else 0)
        if end > self._limit and not self._room(end):
            return False
        words = self._words
        if end > self._reserved:
            self._reserved = end + self._ahead
            words.store(W_RESERVE, self._reserved)
            words.fence()  # no byte below may become visible before the reservation
        if padded:
            HEADER.pack_into(self._data, at, PADDING, 0)
            at = 0
        count = (self._count + 1) & LOW
        try:
            words.append(PAGE + at, count, payload, length, W_LEDGER, W_HEAD, end)
            self._count = count
            self.head = end
        except BaseException:  # a payload of the wrong kind, or a signal handler that raised: published or not?
            self._resume()
            raise
        for bell in self._bells:
            bell.ring()
        return True

    @property
    def capacity(self) -> int:
        """Bytes for records."""
        return self._capacity

    @property
    def used(self) -> int:
        """Bytes that the slowest reliable reader has not released yet."""
        return self.head - min((self._words.load(tail) for tail in self._tails), default=self.head)

    @property
    def refused(self) -> int:
        """Records that found the ring full and were not written, over all writers so far."""
        return self._words.load(W_REFUSED)

    def close(self) -> None:
        """Let go of the memory (which its owner closes)."""
        self._data.release()


class Reader:
    """One reliable reader. `index` is its place among the ring's readers, declared in the plan."""

    def __init__(self, memory: SharedMemory, index: int) -> None:
        if not 0 <= index < READERS_MAX:
            raise RingError("readers", f"A ring has reliable readers 0 to {READERS_MAX - 1}, not {index}.")
        self._capacity = _capacity(memory)
        self._mask = self._capacity - 1
        self._words = memory.words
        self._data = memoryview(memory.map)[PAGE:].toreadonly()
        self._tail = W_TAIL + LINE * index
        self.released = self._words.load(self._tail)
        self.position = self.released  # just after the last record that `read` gave
        self._head = self.position

    def ready(self) -> bool:
        """Whether `read` would give a record."""
        if self.position != self._head:
            return True
        self._head = self._words.load(W_HEAD)
        return self.position != self._head

    def read(self) -> bytes | None:
        """The next record, copied; None when there is none. It stays in the ring until `release`."""
        position = self.position
        if position == self._head:
            self._head = self._words.load(W_HEAD)
            if position == self._head:
                return None
        record = self._words.record(PAGE + (position & self._mask))
        if record is None:  # the lap ends here
            position = (position | self._mask) + 1
            record = self._words.record(PAGE)
            assert record is not None
        self.position = position + ((HEADER_BYTES + len(record) + 7) & ~7)
        return record

    def view(self) -> memoryview | None:
        """The next record where it stands; valid until it is released."""
        position = self.position
        if position == self._head:
            self._head = self._words.load(W_HEAD)
            if position == self._head:
                return None
        at = position & self._mask
        length, _ = HEADER.unpack_from(self._data, at)
        if length == PADDING:
            position += self._capacity - at
            at = 0
            length, _ = HEADER.unpack_from(self._data, at)
        start = at + HEADER_BYTES
        self.position = position + ((HEADER_BYTES + length + 7) & ~7)
        return self._data[start : start + length]

    def release(self, position: int | None = None) -> None:
        """Let the writer overwrite everything before `position` (default: all that was read)."""
        if position is None:
            position = self.position
        if position > self.position:
            raise RingError("release", f"Position {position} was not read yet (read up to {self.position}).")
        if position > self.released:
            self.released = position
            self._words.store(self._tail, position)

    def newest(self) -> int:
        """The position after the last record that is published now."""
        return self._words.load(W_HEAD)

    def skip_to_head(self) -> int:
        """Release everything unread; returns the bytes skipped."""
        head = self._words.load(W_HEAD)
        skipped = head - self.released
        self.position = self._head = head
        self.release()
        return skipped

    def close(self) -> None:
        """Let go of the memory (which its owner closes)."""
        self._data.release()


class Observer:
    """Sees what passes from now on, holds nobody up. `lost` counts the records that were overwritten unseen."""

    def __init__(self, memory: SharedMemory) -> None:
        self._capacity = _capacity(memory)
        self._mask = self._capacity - 1
        self._words = memory.words
        self._data = memoryview(memory.map)[PAGE:].toreadonly()
        self._position = 0
        self._expected: int | None = None  # sequence of the next record; None when it cannot be known yet
        self.lost = 0
        self._join()

    def _join(self) -> None:
        """Go to the newest record's end and count what lies between."""
        for _ in range(JOIN_TRIES):
            head = self._words.load(W_HEAD)
            ledger = self._words.load(W_LEDGER)
            if self._words.load(W_HEAD) == head:
                # The ledger belongs to `head`, or to the one record after it that is not published yet.
                ahead = 0 if (ledger & LOW) == (head & LOW) else 1
                following = (ledger >> 32) + 1 - ahead & LOW
                if self._expected is not None:
                    self.lost += (following - self._expected) & LOW
                self._expected = following
                break
        self._position = head  # not settled: the next record's sequence tells how many were missed

    def _whole(self, start: int) -> bool:
        self._words.fence()  # the bytes were copied before this looks whether they were still ours
        return self._words.load(W_RESERVE) - start <= self._capacity

    def ready(self) -> bool:
        """Whether `read` has something to look at."""
        return self._words.load(W_HEAD) != self._position

    def read(self) -> bytes | None:
        """A copy of the next record that is whole; None when there is none."""
        while True:
            head = self._words.load(W_HEAD)
            start = self._position
            if start == head:
                return None
            at = start & self._mask
            length, count = HEADER.unpack_from(self._data, at)
            if length == PADDING and self._whole(start):
                self._position = start + self._capacity - at
                continue
            begin = at + HEADER_BYTES
            payload = bytes(self._data[begin : begin + min(length, self._capacity - begin)])
            if not self._whole(start):
                self._join()
                continue
            if self._expected is not None:
                self.lost += (count - self._expected) & LOW
            self._expected = (count + 1) & LOW
            self._position = start + ((HEADER_BYTES + length + 7) & ~7)
            return payload

    def close(self) -> None:
        """Let go of the memory (which its owner closes)."""
        self._data.release()


def deadline_in(milliseconds: float) -> int:
    """The monotonic time `milliseconds` from now, in nanoseconds, for `Writer.write`."""
    return now_ns() + int(milliseconds * MS)
