"""One conversation from recordings, in a running house."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.frontends.interview import Captions, Interview, Outcome
from edge_agent.frontends.session import Ended, Session
from edge_agent.frontends.wavfile import DEVICE_RATE_HZ, Recording, SimulatedDevice
from edge_agent.ring.ring import Observer
from edge_agent.supervisor.house import House


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
        transcripts, clauses = Observer(rings["transcripts"]), Observer(rings["clauses"])
        self._observers = (transcripts, clauses)
        captions = Captions(0, transcripts, clauses)
        self._interview = Interview(
            self.session, self.device, captions, ended=ended, on_turn=on_turn, check=house.check
        )

    def __enter__(self) -> Conversation:
        self.session.open(uuid.uuid4().hex)
        self.device.__enter__()
        return self

    def hold(self, sources: Iterable[SoundFileSource]) -> Iterable[Outcome]:
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
