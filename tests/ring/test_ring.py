from __future__ import annotations

import sys
from collections import deque
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.clock import now_ns
from edge_agent.errors import RingError
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import (
    CAPACITY_MAX,
    HEADER_BYTES,
    LOW,
    PAGE,
    READERS_MAX,
    W_HEAD,
    W_LEDGER,
    W_MAGIC,
    W_TAIL,
    Observer,
    Reader,
    Writer,
    create,
    deadline_in,
)

CAPACITY = 4096
LONGEST = CAPACITY // 2 - HEADER_BYTES
sizes = st.one_of(
    st.integers(0, 40), st.integers(0, LONGEST), st.sampled_from([LONGEST, LONGEST - 1, CAPACITY // 4 - 8])
)


@pytest.fixture
def memory():
    ring = create("test", CAPACITY)
    yield ring
    ring.close()


def body(number: int, size: int) -> bytes:
    return bytes((number * 37 + i) % 251 for i in range(size))


def span(size: int) -> int:
    return (HEADER_BYTES + size + 7) // 8 * 8


class House(RuleBasedStateMachine):
    """One writer, two reliable readers, two observers, all of which may die and be succeeded, beside a plain model."""

    @initialize()
    def open(self) -> None:
        self.memory = create("model", CAPACITY)
        self.records: list[bytes] = []
        self.writer = Writer(self.memory, readers=2)
        self.readers = [Reader(self.memory, index) for index in range(2)]
        self.read = [0, 0]  # records read and released by each reader
        self.released = [0, 0]
        self.offsets: list[list[tuple[int, int]]] = [[], []]  # position after each unreleased record
        self.observers = [Observer(self.memory), Observer(self.memory)]
        self.joined = [0, 0]
        self.got = [0, 0]
        self.refused = 0

    @rule(size=sizes)
    def write(self, size: int) -> None:
        record = body(len(self.records), size)
        head = self.writer.head
        left = CAPACITY - head % CAPACITY
        end = head + span(size) + (left if span(size) > left else 0)
        room = end - min(reader.released for reader in self.readers) <= CAPACITY
        assert self.writer.try_write(record) is room
        if room:
            self.records.append(record)
            assert self.writer.head == end
        else:
            self.refused += 1

    @rule(index=st.integers(0, 1), count=st.integers(1, 5), view=st.booleans())
    def look(self, index: int, count: int, view: bool) -> None:
        reader = self.readers[index]
        for _ in range(count):
            there = self.read[index] < len(self.records)
            assert reader.ready() is there
            got = reader.view() if view else reader.read()
            assert (got is not None) is there
            if got is None:
                return
            assert bytes(got) == self.records[self.read[index]]
            self.read[index] += 1
            self.offsets[index].append((reader.position, self.read[index]))

    @precondition(lambda self: any(self.offsets))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from([i for i in (0, 1) if self.offsets[i]]))
        which = data.draw(st.integers(0, len(self.offsets[index]) - 1))
        position, count = self.offsets[index][which]
        last = which == len(self.offsets[index]) - 1
        self.readers[index].release(None if last else position)
        self.released[index] = count
        del self.offsets[index][: which + 1]

    @rule(index=st.integers(0, 1))
    def skip(self, index: int) -> None:
        reader = self.readers[index]
        assert reader.newest() == self.writer.head
        behind = self.writer.head - reader.released
        assert reader.skip_to_head() == behind
        self.read[index] = self.released[index] = len(self.records)
        self.offsets[index].clear()

    @rule(index=st.integers(0, 1))
    def restart_reader(self, index: int) -> None:
        self.readers[index].close()
        self.readers[index] = Reader(self.memory, index)
        self.read[index] = self.released[index]
        self.offsets[index].clear()

    @rule(observed=st.just(True))
    def restart_writer(self, observed: bool) -> None:
        head = self.writer.head
        self.writer.close()
        self.writer = Writer(self.memory, readers=2, observed=observed)
        assert self.writer.head == head

    @rule(index=st.integers(0, 1), count=st.integers(1, 20))
    def observe(self, index: int, count: int) -> None:
        observer = self.observers[index]
        for _ in range(count):
            got = observer.read()
            if got is None:
                return
            assert got == self.records[self.joined[index] + self.got[index] + observer.lost]
            self.got[index] += 1

    @rule(index=st.integers(0, 1))
    def restart_observer(self, index: int) -> None:
        self.observers[index].close()
        self.observers[index] = Observer(self.memory)
        self.joined[index] = len(self.records)
        self.got[index] = 0

    @invariant()
    def bookkeeping(self) -> None:
        if not hasattr(self, "writer"):
            return
        assert self.writer.refused == self.refused
        assert self.writer.used == self.writer.head - min(reader.released for reader in self.readers)
        for index, observer in enumerate(self.observers):
            if not observer.ready():
                assert self.joined[index] + self.got[index] + observer.lost == len(self.records)

    def teardown(self) -> None:
        if not hasattr(self, "writer"):
            return
        for end in (self.writer, *self.readers, *self.observers):
            end.close()
        self.memory.close()


House.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestHouse = House.TestCase


@given(st.lists(sizes, max_size=60))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_once_and_in_order(lengths: list[int]) -> None:
    memory = create("test", CAPACITY)
    with closing(memory), closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        pending: deque[bytes] = deque()
        for number, length in enumerate(lengths):
            record = body(number, length)
            while not writer.try_write(record):
                assert reader.read() == pending.popleft()
                reader.release()
            pending.append(record)
        while pending:
            assert reader.read() == pending.popleft()
        assert reader.read() is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind(memory: SharedMemory, kind: type) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        writer.try_write(kind(b"abc"))
        assert reader.read() == b"abc"


def test_a_payload_whose_items_are_not_bytes_is_refused_and_costs_nothing(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Observer(memory)) as observer:
        assert writer.try_write(b"before")
        with pytest.raises(ValueError, match="not bytes"):
            writer.try_write(memoryview(bytearray(80)).cast("d"))
        assert writer.try_write(b"after")
        assert [observer.read(), observer.read(), observer.read()] == [b"before", b"after", None]
        assert observer.lost == 0


def test_a_record_may_take_half_the_ring_wherever_it_begins(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        assert writer.payload_max == LONGEST
        for start in range(0, 600, 8):
            assert writer.try_write(body(start, start % 504))
            reader.read()
            reader.release()
            assert writer.try_write(body(start, LONGEST)), "an empty ring has room for the longest record"
            assert reader.read() == body(start, LONGEST)
            reader.release()


def test_too_long_a_record_is_an_error(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=0)) as writer:
        with pytest.raises(RingError) as error:
            writer.try_write(bytes(LONGEST + 1))
        assert error.value.code == "ring.record"


def test_a_full_ring_refuses_counts_and_recovers(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        for _ in range(4):
            assert writer.try_write(bytes(1016))
        assert writer.used == writer.capacity == CAPACITY
        assert not writer.try_write(b"")
        with pytest.raises(RingError) as error:
            writer.write(b"", deadline_ns=now_ns())
        assert error.value.code == "ring.full"
        assert writer.refused == 2
        reader.read()
        reader.release()
        assert writer.try_write(bytes(1016))
        assert not writer.try_write(b"")


def test_write_waits_for_the_slowest_reader(memory: SharedMemory) -> None:
    with (
        closing(Writer(memory, readers=2)) as writer,
        closing(Reader(memory, 0)) as fast,
        closing(Reader(memory, 1)) as slow,
    ):
        while writer.try_write(bytes(500)):
            pass
        fast.skip_to_head()
        waits = []

        def waiting() -> None:
            waits.append(writer.head)
            if len(waits) == 3:
                slow.read()
                slow.release()

        writer.write(b"at last", deadline_ns=deadline_in(60_000), waiting=waiting)
        assert len(waits) == 3
        assert fast.read() == b"at last"


def test_a_view_stands_in_the_ring_and_cannot_be_written(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        writer.try_write(b"here")
        view = reader.view()
        assert view is not None
        assert view.readonly
        assert bytes(memory.map[PAGE + HEADER_BYTES : PAGE + HEADER_BYTES + 4]) == bytes(view)
        view.release()


def test_release_of_what_was_not_read_is_an_error(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        writer.try_write(b"unread")
        with pytest.raises(RingError) as error:
            reader.release(writer.head)
        assert error.value.code == "ring.release"
        assert memory.words.load(W_TAIL) == 0


def test_release_never_goes_back(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=1)) as writer, closing(Reader(memory, 0)) as reader:
        writer.try_write(b"one")
        writer.try_write(b"two")
        reader.read()
        first = reader.position
        reader.read()
        reader.release()
        reader.release(first)
        assert memory.words.load(W_TAIL) == reader.released == writer.head


def test_an_observer_sees_what_comes_after_it(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=0)) as writer:
        writer.try_write(b"before")
        with closing(Observer(memory)) as observer:
            assert not observer.ready()
            assert observer.read() is None
            writer.try_write(b"after")
            assert observer.ready()
            assert observer.read() == b"after"
            assert observer.lost == 0


def test_an_overrun_observer_knows_at_once_how_many_it_missed(memory: SharedMemory) -> None:
    with closing(Writer(memory, readers=0)) as writer, closing(Observer(memory)) as observer:
        for number in range(1000):
            writer.try_write(body(number, 100))
        got = 0
        while observer.read() is not None:
            got += 1
        assert got + observer.lost == 1000
        writer.try_write(b"next")
        assert observer.read() == b"next"
        assert got + observer.lost == 1000


@pytest.mark.parametrize("size", [0, 9, 40, 200, 700])
def test_an_observer_left_behind_by_any_distance_gets_nothing_torn(size: int) -> None:
    """It stands still while one record after another is written, up to more than a lap, then looks."""
    for count in range(1, CAPACITY * 9 // 8 // span(size), max(1, 64 // span(size))):
        with (
            closing(create("test", CAPACITY)) as memory,
            closing(Writer(memory, readers=0)) as writer,
            closing(Observer(memory)) as observer,
        ):
            records = [body(number, size) for number in range(count)]
            for record in records:
                writer.try_write(record)
            got = observer.read()
            assert got == (records[0] if observer.lost == 0 else None)
            assert observer.lost in (0, count)
            assert observer.lost == 0 or count * span(size) > CAPACITY // 32 * 31 - span(size), "still all there"


def test_an_observer_never_trusts_an_unobserved_writer(memory: SharedMemory) -> None:
    with closing(Observer(memory)) as observer:
        with closing(Writer(memory, readers=0, observed=False)) as writer:
            for number in range(100):
                writer.try_write(body(number, 100))
            assert observer.read() is None
            assert observer.lost == 100
        with closing(Writer(memory, readers=0)) as writer:
            assert observer.read() is None
            writer.try_write(b"observed again")
            assert observer.read() == b"observed again"
            assert observer.lost == 100


def test_the_sequence_goes_round(memory: SharedMemory) -> None:
    memory.words.store(W_LEDGER, LOW << 32)
    with closing(Writer(memory, readers=0)) as writer, closing(Observer(memory)) as observer:
        for record in (b"a", b"b"):
            writer.try_write(record)
            assert observer.read() == record
        assert observer.lost == 0


def test_positions_beyond_32_bits(memory: SharedMemory) -> None:
    start = (5 << 32) - 4096  # the ledger's low half is about to go round
    for word in (W_HEAD, W_TAIL):
        memory.words.store(word, start)
    memory.words.store(W_LEDGER, 77 << 32 | start & LOW)
    reader = Reader(memory, 0)
    observer = Observer(memory)
    for number in range(40):  # every writer finds its predecessor's place
        with closing(Writer(memory, readers=1)) as writer:
            writer.try_write(body(number, 300))
        assert reader.read() == observer.read() == body(number, 300)
        reader.release()
    assert reader.position > 5 << 32
    assert observer.lost == 0
    reader.close()
    observer.close()


def test_a_signal_handler_that_raises_anywhere_leaves_the_writer_usable(memory: SharedMemory) -> None:
    """An exception between any two bytecodes of a write: the record is published whole or not at all, the next one
    neither overwrites it nor leaves a gap."""
    put = Writer._put.__code__
    left = 0

    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code is not put:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
        return trace

    outcomes = []
    with (
        closing(Reader(memory, 0)) as reader,
        closing(Observer(memory)) as observer,
        closing(Writer(memory, readers=1)) as writer,
    ):
        while True:
            number = len(outcomes)
            left = number
            outer = sys.gettrace()
            try:
                sys.settrace(trace)
                writer.try_write(body(number, 300))
                interrupted = False
            except KeyboardInterrupt:
                interrupted = True
            finally:
                sys.settrace(outer)
            assert writer.try_write(b"next")
            seen = [reader.read(), reader.read()]
            assert seen in ([b"next", None], [body(number, 300), b"next"])
            assert [observer.read() for _ in seen] == seen
            reader.release()
            outcomes.append(seen[0] != b"next")
            if not interrupted:
                break
        assert observer.lost == 0
    assert len(outcomes) > 80
    assert outcomes[0] is False
    assert outcomes[-1] is True


@pytest.mark.parametrize("capacity", [0, 1, PAGE // 2, PAGE + 8, 3 * PAGE, CAPACITY_MAX * 2])
def test_capacity_is_a_power_of_two_within_bounds(capacity: int) -> None:
    with pytest.raises(RingError) as error:
        create("test", capacity)
    assert error.value.code == "ring.capacity"


def test_memory_that_holds_no_ring_is_refused() -> None:
    with closing(SharedMemory.create("not a ring", 2 * PAGE)) as memory:
        for kind in (lambda: Writer(memory, readers=0), lambda: Reader(memory, 0), lambda: Observer(memory)):
            with pytest.raises(RingError) as error:
                kind()
            assert error.value.code == "ring.attach"
        memory.words.store(W_MAGIC, 1)
        with pytest.raises(RingError):
            Reader(memory, 0)


@pytest.mark.parametrize("count", [-1, READERS_MAX + 1])
def test_readers_are_limited(memory: SharedMemory, count: int) -> None:
    with pytest.raises(RingError) as error:
        Writer(memory, readers=count)
    assert error.value.code == "ring.readers"
    with pytest.raises(RingError):
        Reader(memory, count if count < 0 else READERS_MAX)
