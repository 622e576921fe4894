"""How fast and how sound the rings are, beside what else a Python program could use between two processes.

Latency: a record is sent about every millisecond, so the receiver is asleep each time; the time from just before the
send to the moment when the receiver has the bytes. Throughput: as many records as fit, from the first's sending to the
last's arrival. Every transport carries the same bytes from this process to a fresh interpreter, is used as its
documentation shows, and may hold about as many records at once. Rounds of the transports take turns, so that whatever
else the machine does meets all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from statistics import median, quantiles
from time import sleep
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge_agent.bench import ring_integrity, ring_peer
from edge_agent.bench.ring_integrity import Integrity
from edge_agent.clock import now_ns
from edge_agent.errors import BenchError
from edge_agent.ring.bell import Bell
from edge_agent.ring.control import ControlPage, page_bytes
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Writer, create, deadline_in

SIZES = (64, 4096)  # bytes of a record
HELD = 1024  # records that a transport may hold
RING_BYTES = 1 << 22  # holds that many of the larger size
PACE_S = 0.001
ROUNDS = 5
WARM_UP = 50  # first samples of each round, left out
PATIENCE_S = 30.0
SPAWN = get_context("spawn")

NOTES = {
    "ring": "Writer.try_write, eventfd bell; Reader.read, released in portions",
    "pipe": "multiprocessing.Pipe(duplex=False), send_bytes and recv_bytes; holds 64 KiB, the kernel's default",
    "queue": f"multiprocessing.Queue({HELD}), put and get",
    "iceoryx2": "publish-subscribe of byte slices, RetryUntilDelivered; an event per record (notify, blocking_wait)",
}

Send = Callable[[bytes], object]
Transport = Callable[[int], AbstractContextManager[tuple[Send, tuple[Any, ...]]]]


@dataclass(frozen=True)
class Figures:
    """One transport at one record size; times in microseconds, throughput the median of the rounds."""

    transport: str
    record_bytes: int
    p50_us: float
    p99_us: float
    records_per_s: float
    samples: int
    rounds_per_s: list[float]


@dataclass(frozen=True)
class RingReport:
    """Everything that one run found. `notes` says how each transport was used, or why it is missing."""

    figures: list[Figures]
    notes: dict[str, str]
    integrity: Integrity

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self) | {"sound": self.integrity.sound}, indent=2)

    def of(self, transport: str, record_bytes: int) -> Figures:
        """The figures of one transport at one size."""
        return next(f for f in self.figures if f.transport == transport and f.record_bytes == record_bytes)


@contextmanager
def _ring(_: int) -> Iterator[tuple[Send, tuple[Any, ...]]]:
    memory = create("bench", RING_BYTES)
    page = SharedMemory.create("bench-page", page_bytes(0, 1))
    bell = Bell.make_fd()
    control = ControlPage(page, sessions=0, processes=1)
    writer = Writer(memory, readers=1, bells=[control.processes[0].bell(bell)])

    def send(payload: bytes) -> None:
        if not writer.try_write(payload):
            writer.write(payload, deadline_ns=deadline_in(PATIENCE_S * 1000))

    try:
        yield send, (_Descriptor(memory.fd), _Descriptor(page.fd), _Descriptor(bell))
    finally:
        writer.close()
        memory.close()
        page.close()
        os.close(bell)


class _Descriptor:
    """A descriptor that the spawned process inherits: duplicated when it is pickled for it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _same, (DupFd(self._fd),)


def _same(descriptor: Any) -> Any:  # noqa: ANN401 (multiprocessing names no type for it)
    return descriptor


@contextmanager
def _pipe(_: int) -> Iterator[tuple[Send, tuple[Any, ...]]]:
    receiving, sending = SPAWN.Pipe(duplex=False)
    with receiving, sending:
        yield sending.send_bytes, (receiving,)


@contextmanager
def _queue(_: int) -> Iterator[tuple[Send, tuple[Any, ...]]]:
    queue = SPAWN.Queue(HELD)
    try:
        yield queue.put, (queue,)
    finally:
        queue.close()
        queue.join_thread()


@contextmanager
def _iceoryx2(size: int) -> Iterator[tuple[Send, tuple[Any, ...]]]:
    name = f"edge-agent-bench/{os.getpid()}/{now_ns()}"
    service = ring_peer.Iceoryx(name)
    yield service.sender(size), (name,)


TRANSPORTS: dict[str, Transport] = {"ring": _ring, "pipe": _pipe, "queue": _queue, "iceoryx2": _iceoryx2}


def _received(transport: str, size: int, work: Callable[..., None], count: int, drive: Callable[[Send], None]) -> Any:  # noqa: ANN401
    """Start the peer, send what `drive` sends, and return what the peer measured."""
    results, peer_end = SPAWN.Pipe(duplex=False)
    with TRANSPORTS[transport](size) as (send, ends), results:
        peer = SPAWN.Process(target=work, args=(transport, ends, peer_end, count), daemon=True)
        peer.start()
        peer_end.close()
        try:
            if not results.poll(PATIENCE_S) or results.recv_bytes() != ring_peer.READY:
                raise BenchError("ring", f"The receiver of {transport} did not get ready.")
            drive(send)
            if not results.poll(PATIENCE_S):
                raise BenchError("ring", f"The receiver of {transport} did not get all {count} records.")
            return results.recv()
        except EOFError as error:
            raise BenchError("ring", f"The receiver of {transport} failed; its message is above.") from error
        finally:
            peer.kill()
            peer.join()
            peer.close()


def _latencies(transport: str, size: int, count: int) -> list[int]:
    body = bytes(size - ring_peer.SENT.size)

    def drive(send: Send) -> None:
        for _ in range(count):
            sleep(PACE_S)
            send(ring_peer.SENT.pack(now_ns()) + body)

    taken: list[int] = _received(transport, size, ring_peer.latencies, count, drive)
    return taken[WARM_UP:]


def _throughput(transport: str, size: int, count: int) -> float:
    body = bytes(size - ring_peer.SENT.size)

    def drive(send: Send) -> None:
        send(ring_peer.SENT.pack(now_ns()) + body)
        payload = bytes(size)
        for _ in range(count - 1):
            send(payload)

    took_ns: int = _received(transport, size, ring_peer.throughput, count, drive)
    return count * 1e9 / took_ns


def _figures(names: list[str], rounds: int, paced: int, streamed: int, advanced: Callable[[], object]) -> list[Figures]:
    pairs = [(name, size) for size in SIZES for name in names]
    taken: dict[tuple[str, int], list[int]] = {pair: [] for pair in pairs}
    rates: dict[tuple[str, int], list[float]] = {pair: [] for pair in pairs}
    for _ in range(rounds):
        for pair in pairs:
            taken[pair] += _latencies(*pair, paced)
            rates[pair].append(_throughput(*pair, streamed))
            advanced()
    return [
        Figures(
            transport=pair[0],
            record_bytes=pair[1],
            p50_us=median(taken[pair]) / 1000,
            p99_us=quantiles(taken[pair], n=100)[98] / 1000,
            records_per_s=median(rates[pair]),
            samples=len(taken[pair]),
            rounds_per_s=rates[pair],
        )
        for pair in pairs
    ]


def run(
    records: int = 10_000_000, *, kills: int = 40, quick: bool = False, console: Console | None = None
) -> RingReport:
    """Compare the transports, then write `records` through a ring whose readers are killed `kills` times.

    Args:
        records: of the integrity run; at least 1000 for every kill.
        kills: readers killed with SIGKILL and restarted in the integrity run.
        quick: a tenth of everything, for a first look.
        console: where a progress bar is drawn; None for none.

    Raises:
        BenchError: `bench.ring`, when a process fails or hangs.
    """
    records, kills = (records // 10, kills // 10) if quick else (records, kills)
    notes = dict(NOTES)
    names = list(TRANSPORTS)
    if find_spec("iceoryx2") is None:
        names.remove("iceoryx2")
        notes["iceoryx2"] = "not installed: pip install 'edge-agent[bench]'"
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    rounds, paced, streamed = (2, 250, 20_000) if quick else (ROUNDS, 1000, 100_000)
    size = ring_integrity.total_bytes(records)
    # No thread that redraws: it would take the interpreter from the sender whose time is measured.
    with Progress(*columns, console=console, disable=console is None, auto_refresh=False) as progress:
        compared = progress.add_task("transports", total=rounds * len(SIZES) * len(names))
        checked = progress.add_task(f"{records:,} records, readers killed", total=size)

        def one_pair() -> None:
            progress.update(compared, advance=1, refresh=True)

        def position(head: int) -> None:
            shown = progress.tasks[checked].completed
            if head - shown > size // 200:
                progress.update(checked, completed=head, refresh=True)

        figures = _figures(names, rounds, paced, streamed, one_pair)
        integrity = ring_integrity.run(records, kills, position)
        progress.update(checked, completed=size, refresh=True)
    return RingReport(figures, notes, integrity)


def print_report(report: RingReport, console: Console) -> None:
    """The report for people."""
    table = Table("transport", title="Between two processes, one way")
    for heading in ("record", "p50", "p99", "records/s", "MB/s"):
        table.add_column(heading, justify="right")
    for figure in report.figures:
        table.add_row(
            figure.transport,
            f"{figure.record_bytes} B",
            f"{figure.p50_us:.1f} µs",
            f"{figure.p99_us:.1f} µs",
            f"{figure.records_per_s:,.0f}",
            f"{figure.records_per_s * figure.record_bytes / 1e6:,.1f}",
            end_section=figure.transport == report.figures[-1].transport,
        )
    console.print(table)
    for transport, note in report.notes.items():
        console.print(f"[bold]{transport}[/]: {note}", highlight=False)
    for size in SIZES:
        ring, pipe, queue = (report.of(name, size) for name in ("ring", "pipe", "queue"))
        console.print(
            f"{size} B: the ring's p50 is {ring.p50_us / pipe.p50_us:.2f} of Pipe's, "
            f"its throughput {ring.records_per_s / queue.records_per_s:.1f} times Queue's."
        )
    found = report.integrity
    console.print(
        f"Integrity: {found.records:,} records in {found.seconds:.1f} s, readers killed {found.kills} times: "
        f"{found.losses} lost, {found.duplicates} duplicated, {found.reorderings} reordered, {found.torn} torn, "
        f"{found.misplaced} successors at a wrong place; the observer got {found.observed:,} whole and counted "
        f"{found.overrun:,} as overrun. {'Sound.' if found.sound else '[bold red]NOT SOUND.[/]'}"
    )
