"""What the workers share: taking one's place, the loop, what to hold back until a turn is through.

A worker is a `Stage`. The loop reads its inlets, hands every record to the stage, stamps the heartbeat between two
steps, lets the stage go on with work that comes in slices, and sleeps on its bell when there is nothing to do.

A record is released when the stage has dealt with it. What a stage *holds* (the records of a turn that it has not
finished) stays in the ring, so that its successor, should it be killed, reads it again and finishes the turn. A turn
whose records end the worker again and again is given up after `RESUME_MAX` attempts.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from edge_agent.clock import MS
from edge_agent.config import Config
from edge_agent.errors import EdgeAgentError, RingError, WorkerError
from edge_agent.records import Clause, Close, Commit, Drop, Heard, Open, Record, decode, encode
from edge_agent.ring.control import ProcessWord, SessionControl
from edge_agent.ring.ring import Reader, deadline_in
from edge_agent.ring.station import Manifest, Station

IDLE_MS = 400  # how long a worker sleeps at most: its heartbeat's period when nothing happens
BATCH = 64  # records of one inlet before the next inlet is looked at
WRITE_MS = 4_000  # how long a full ring is waited for: a reader that was killed is back by then
RESUME_MAX = 3  # starts at the same record before it is skipped
PR_SET_PDEATHSIG = 1

log = logging.getLogger("edge_agent.worker")


class Stage(Protocol):
    """One worker's work. Made once its models are wanted: the constructor loads them and warms them up."""

    def handle(self, record: Record) -> None:
        """Deal with one record of any inlet."""

    def idle(self) -> bool:
        """Do one slice of work that is not a record; False when there is none."""

    def close(self) -> None:
        """The worker ends in good order."""


class Inlet:
    """A reliable reader together with what must stay in its ring.

    Attributes:
        name: of the ring.
        start: position at which the record that is being handled begins.
    """

    def __init__(self, name: str, reader: Reader) -> None:
        self.name = name
        self.reader = reader
        self.start = reader.released
        self._held: dict[Hashable, int] = {}

    def hold(self, key: Hashable, position: int | None = None) -> None:
        """Keep everything from `position` (default: the record being handled) until `free(key)`."""
        self._held[key] = self.start if position is None else position

    def free(self, key: Hashable) -> None:
        """Let go of what was held under `key`, if anything was."""
        self._held.pop(key, None)

    def holds(self, key: Hashable) -> bool:
        """Whether something is held under `key`."""
        return key in self._held

    def settle(self) -> None:
        """Release what nobody holds."""
        self.reader.release(min(self._held.values(), default=self.reader.position))


class Desk:
    """What a stage works with.

    Attributes:
        config: the configuration.
        station: rings and words.
        inlets: by ring name.
        name: of the process.
    """

    def __init__(self, station: Station) -> None:
        self.station = station
        self.name = station.manifest.process
        self.config = Config.from_json(station.manifest.config)
        self.inlets = {name: Inlet(name, reader) for name, reader in station.inlets.items()}

    def session(self, slot: int) -> SessionControl:
        """The control words of a session slot."""
        return self.station.sessions[slot]

    def model(self, role: str) -> Path:
        """What the engine of `role` (asr, llm, tts, turn) opens."""
        return Path(self.station.manifest.models[role])

    def send(self, outlet: str, record: Record) -> None:
        """Write a record; waits for slow readers up to `WRITE_MS`.

        Raises:
            RingError: `ring.full` when they are too slow.
        """
        self.station.outlets[outlet].write(
            encode(record), deadline_ns=deadline_in(WRITE_MS), waiting=self.station.process.beat
        )

    @contextmanager
    def step(self, patience_ms: float) -> Iterator[None]:
        """Around work that may keep the loop from coming round for up to `patience_ms`."""
        self.station.process.begin(int(patience_ms * MS))
        try:
            yield
        finally:
            self.station.process.end()

    def publish_typical(self, milliseconds: float) -> None:
        """Tell the stages in front how long this one usually takes."""
        self.station.process.store(ProcessWord.TYPICAL_NS, int(milliseconds * MS))

    def busy(self, process: str) -> bool:
        """Whether another stage is in the middle of a step."""
        return self.station.of(process).load(ProcessWord.BUSY_SINCE_NS) > 0

    def typical_ms(self, process: str) -> float | None:
        """How long another stage usually takes; None while it has not said."""
        typical_ns = self.station.of(process).load(ProcessWord.TYPICAL_NS)
        return typical_ns / MS if typical_ns else None


class _Loop:
    def __init__(self, desk: Desk, stage: Stage) -> None:
        self._desk = desk
        self._stage = stage
        self._station = desk.station
        self._stopping = False
        self._skip_to: dict[str, int] = {}

    def run(self) -> None:
        process = self._station.process
        signal.signal(signal.SIGTERM, self._stop)
        self._look_for_poison()
        process.beat()
        process.store(ProcessWord.READY, process.load(ProcessWord.STARTS))
        gc.collect()
        gc.freeze()  # the models' objects live as long as the process: no collection walks them again
        log.info("ready")
        while not self._stopping:
            process.beat()
            if self._read() or self._stage.idle():
                continue
            self._station.sleeper.prepare()
            if any(inlet.reader.ready() for inlet in self._desk.inlets.values()):
                self._station.sleeper.stay_awake()
            elif self._station.orphaned(self._station.sleeper.sleep(IDLE_MS)):
                log.warning("the supervisor is gone")
                break
        self._stage.close()

    def _stop(self, *_: object) -> None:
        self._stopping = True
        os.eventfd_write(self._station.manifest.bell, 1)

    def _read(self) -> bool:
        found = False
        for inlet in self._desk.inlets.values():
            for _ in range(BATCH):
                inlet.start = inlet.reader.position
                payload = inlet.reader.view()
                if payload is None:
                    break
                found = True
                self._hand_over(inlet, payload)
                inlet.settle()
                self._station.process.beat()
                if self._stopping:
                    return True
        return found

    def _hand_over(self, inlet: Inlet, payload: memoryview) -> None:
        try:
            record = decode(payload)
        except RingError as error:
            log.error("%s in %s: passed over", error, inlet.name)
            return
        if inlet.start < self._skip_to.get(inlet.name, 0):
            self._skip(record)
        else:
            self._stage.handle(record)

    def _look_for_poison(self) -> None:
        """Give up on the records that this worker died on `RESUME_MAX` times running."""
        process = self._station.process
        inlet = next(iter(self._desk.inlets.values()))
        position = inlet.reader.released
        times = process.load(ProcessWord.RESUMED_TIMES) if process.load(ProcessWord.RESUMED_AT) == position else 0
        if inlet.reader.ready() and times >= RESUME_MAX:
            log.error("started %d times at position %d of %s: that turn is given up", times, position, inlet.name)
            # Who passes turns on gives up all that it was sent of them; who only writes down, this one record.
            self._skip_to = {inlet.name: inlet.reader.newest() if self._station.outlets else position + 1}
            times = 0
        process.store(ProcessWord.RESUMED_AT, position)
        process.store(ProcessWord.RESUMED_TIMES, times + 1 if inlet.reader.ready() else 0)

    def _skip(self, record: Record) -> None:
        """Of records that are given up, what later turns need is still dealt with."""
        if isinstance(record, Open | Close | Heard | Drop):
            self._stage.handle(record)
        elif isinstance(record, Commit | Clause):
            where = f"{self._desk.name}: ended {RESUME_MAX} times on this turn"
            drop = Drop(record.session, record.turn, record.revision, where, True, record.watch)
            for outlet in self._station.outlets:
                if "[" not in outlet or outlet.endswith(f"[{record.session}]"):
                    self._desk.send(outlet, drop)


def settings_in(notes: Sequence[bytes]) -> dict[int, Open]:
    """Of notes in order, the last `Open` of each session that was not closed after it."""
    found: dict[int, Open] = {}
    for note in notes:
        record = decode(note)
        if isinstance(record, Close):
            found.pop(record.session, None)
        elif isinstance(record, Open):
            found[record.session] = record
    return found


def _die_with_parent(supervisor: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        raise WorkerError("orphan", "The supervisor ended before its worker had started.")


def main(arguments: Sequence[str]) -> int:
    """Entry point of every worker: `python -m edge_agent.workers.loop MODULE MANIFEST_FD`."""
    module, fd = arguments
    with os.fdopen(int(fd), "rb") as source:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    _die_with_parent(manifest.supervisor)
    os.nice(manifest.nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor ends us in order
    station = Station(manifest)
    desk = Desk(station)
    logging.basicConfig(
        stream=sys.stderr,
        level=desk.config.house.log_level.upper(),
        format=f"%(asctime)s {manifest.process}[{os.getpid()}] %(levelname)s %(message)s",
    )
    try:
        stage: Stage = importlib.import_module(module).Stage(desk)
        _Loop(desk, stage).run()
    except EdgeAgentError as error:
        log.critical("%s (%s)", error, error.code)
        return 1
    except Exception:
        log.critical("unexpected end", exc_info=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
