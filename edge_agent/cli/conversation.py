"""What the commands that hold a conversation from files share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.status import Status

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.frontends.interview import Captions, Interview, Outcome
from edge_agent.frontends.session import Ended, Session
from edge_agent.frontends.wavfile import DEVICE_RATE_HZ, Recording, SimulatedDevice
from edge_agent.ring.ring import Observer
from edge_agent.supervisor.house import House
from edge_agent.supervisor.plan import PROCESSES


class house_progress:  # noqa: N801 - used as a context manager, like a function
    """Says which workers are still loading, on a terminal; gone when the house is warm."""

    def __init__(self, console: Console) -> None:
        self._waiting = [row.name for row in PROCESSES]
        self._status = Status(self._text(), console=console)
        self._shown = console.is_terminal and not console.quiet

    def _text(self) -> str:
        return f"loading models: waiting for {', '.join(self._waiting)}"

    def __enter__(self) -> house_progress:
        if self._shown:
            self._status.start()
        return self

    def __call__(self, name: str, ready: bool) -> None:
        """One worker is ready."""
        if ready and name in self._waiting:
            self._waiting.remove(name)
            self._status.update(self._text())

    def done(self) -> None:
        """All are ready: take the line away."""
        self._status.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()


class Conversation:
    """One conversation in session slot 0 of a running house, through the simulated device.

    Args:
        house: a running house.
        recording: where to write both sides.
        on_turn: told the line of each turn as it ends.
    """

    def __init__(
        self, house: House, *, recording: Path | None = None, on_turn: Callable[[dict[str, object]], None]
    ) -> None:
        ended: list[Ended] = []
        rings = house.building.rings
        self.session = Session(house.frontend(0), 0, rate_hz=DEVICE_RATE_HZ, ended=ended.append)
        self.device = SimulatedDevice(self.session, Recording(recording) if recording is not None else None)
        self._observers = [Observer(rings["transcripts"]), Observer(rings["clauses"])]
        captions = Captions(0, *self._observers)
        self._interview = Interview(
            self.session, self.device, captions, ended=ended, on_turn=on_turn, check=house.check
        )

    def __enter__(self) -> Conversation:
        self.session.open(uuid.uuid4().hex)
        self.device.__enter__()
        return self

    def hold(self, sources: Sequence[SoundFileSource]) -> Iterable[Outcome]:
        """Play the files one after the other; yields what became of each."""
        return self._interview.hold(sources)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.device.__exit__(kind, error, trace)
        finally:
            self.session.close()
            for observer in self._observers:
                observer.close()
