"""The other end of each transport that `bench ring` compares: a fresh interpreter that receives and keeps time.

Every transport is an iterator of records as the transport's users would write it, each record copied out into bytes.
A record begins with the nanosecond at which it was sent.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from struct import Struct
from threading import Thread
from typing import Any, Protocol

from edge_agent.clock import now_ns
from edge_agent.errors import BenchError
from edge_agent.ring.control import ControlPage
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader

SENT = Struct("<q")
READY = b"ready"
WAIT_MS = 10_000  # longer than any pause of a healthy sender
IOX_BUFFER = 1024  # samples that iceoryx2 may hold for the subscriber


class Descriptor(Protocol):
    """A descriptor as multiprocessing hands it to a spawned process."""

    def detach(self) -> int:
        """The number that it has here."""
        ...


def ring_records(ring: Descriptor, page: Descriptor, bell: Descriptor) -> Iterator[bytes]:
    """Records of a ring; the arguments are duplicated descriptors."""
    memory = SharedMemory.attach(ring.detach())
    control = ControlPage(SharedMemory.attach(page.detach()), sessions=0, processes=1)
    reader = Reader(memory, 0)
    sleeper = control.processes[0].sleeper(bell.detach())
    batch = memory.size // 8  # release in portions: less traffic between the caches
    yield b""
    while True:
        record = reader.read()
        if record is not None:
            yield record
            if reader.position - reader.released > batch:
                reader.release()
            continue
        reader.release()
        sleeper.prepare()
        if reader.ready():
            sleeper.stay_awake()
        elif not sleeper.sleep(WAIT_MS):
            raise BenchError("ring", "The sender fell silent.")


def pipe_records(connection: Connection) -> Iterator[bytes]:
    """Records of a `multiprocessing.Pipe`."""
    yield b""
    while True:
        yield connection.recv_bytes()


def queue_records(queue: Queue[bytes]) -> Iterator[bytes]:
    """Records of a `multiprocessing.Queue`."""
    yield b""
    while True:
        yield queue.get()


class Iceoryx:
    """One side of an iceoryx2 service: publish-subscribe of byte slices, and an event to wake the other side."""

    def __init__(self, name: str) -> None:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        self._iox: Any = iceoryx2
        self._node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        self._records = (
            self._node.service_builder(iceoryx2.ServiceName.new(f"{name}/records"))
            .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(IOX_BUFFER)
            .open_or_create()
        )
        self._wake = self._node.service_builder(iceoryx2.ServiceName.new(f"{name}/wake")).event().open_or_create()

    def sender(self, size: int) -> Callable[[bytes], None]:
        """What publishes a record of at most `size` bytes and wakes the subscriber."""
        strategy = self._iox.BackpressureStrategy.RetryUntilDelivered
        publisher = (
            self._records.publisher_builder().initial_max_slice_len(size).backpressure_strategy(strategy).create()
        )
        notifier = self._wake.notifier_builder().create()

        def send(payload: bytes) -> None:
            sample = publisher.loan_slice_uninit(len(payload))
            ctypes.memmove(sample.payload_ptr, payload, len(payload))
            sample.assume_init().send()
            notifier.notify()

        return send

    def records(self) -> Iterator[bytes]:
        """Records as the subscriber gets them."""
        subscriber = self._records.subscriber_builder().buffer_size(IOX_BUFFER).create()
        listener = self._wake.listener_builder().create()
        yield b""
        while True:
            sample = subscriber.receive()
            if sample is None:
                listener.blocking_wait()
                continue
            payload = sample.payload()
            record = ctypes.string_at(payload.data_ptr, payload.number_of_elements)
            sample.delete()
            yield record


def iceoryx_records(name: str) -> Iterator[bytes]:
    """Records of an iceoryx2 service."""
    return Iceoryx(name).records()


RECORDS: dict[str, Callable[..., Iterator[bytes]]] = {
    "ring": ring_records,
    "pipe": pipe_records,
    "queue": queue_records,
    "iceoryx2": iceoryx_records,
}


def _end_with_parent() -> None:
    """Not every transport notices that the sender was killed: then this process must not wait for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


def latencies(transport: str, ends: tuple[Any, ...], results: Connection, count: int) -> None:
    """Receive `count` records and send back how many nanoseconds each was under way."""
    _end_with_parent()
    records = RECORDS[transport](*ends)
    next(records)
    results.send_bytes(READY)
    taken = []
    for record in islice(records, count):
        arrived = now_ns()
        taken.append(arrived - SENT.unpack_from(record)[0])
    results.send(taken)


def throughput(transport: str, ends: tuple[Any, ...], results: Connection, count: int) -> None:
    """Receive `count` records and send back the nanoseconds from the first's sending to the last's arrival."""
    _end_with_parent()
    records = RECORDS[transport](*ends)
    next(records)
    results.send_bytes(READY)
    (began,) = SENT.unpack_from(next(records))
    for _ in islice(records, count - 1):
        pass
    results.send(now_ns() - began)
