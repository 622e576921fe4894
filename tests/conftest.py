"""One running house for all tests that need the real models, and a person who talks to it."""

import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest
import soxr

from edge_agent.config import Config
from edge_agent.engines.piper import PiperEngine
from edge_agent.frontends.interview import Captions
from edge_agent.frontends.session import Session
from edge_agent.frontends.wavfile import DEVICE_RATE_HZ, FRAME_SAMPLES, Recording, SimulatedDevice
from edge_agent.latency.turn_line import trace_line
from edge_agent.ring.ring import Observer
from edge_agent.supervisor.house import House
from edge_agent.supervisor.models import choose


def pytest_collection_modifyitems(items):
    """Fast tests first, whatever their folder; everything that talks to the running house needs the models."""
    for item in items:
        if "pipeline" in item.path.parts:
            item.add_marker(pytest.mark.models)
    items.sort(key=lambda item: item.get_closest_marker("models") is not None)


def configuration(folder: Path, **tables) -> Config:
    return Config.model_validate({"house": {"state_dir": str(folder), "slots": 2, "log_level": "debug"}, **tables})


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Config:
    return configuration(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def voice(config):
    """Speaks a question as 16 kHz int16, with 150 ms of silence before it."""
    engine = PiperEngine(Path(choose(config).opens["tts"]), device="cpu")

    def speak(text: str, scale: float = 1.0) -> np.ndarray:
        spoken = engine.synthesize(text, length_scale=scale)
        pcm = soxr.resample(spoken.pcm, spoken.rate_hz, 16_000)
        return np.concatenate([np.zeros(2_400, np.int16), pcm])

    return speak


class Person:
    """Talks to the house through a session of its own, in real time."""

    def __init__(self, house: House, recording: Path | None = None) -> None:
        self.house = house
        self.ended = []
        self.lines = []
        self._station = house.frontend(0)
        self.session = Session(self._station, 0, rate_hz=DEVICE_RATE_HZ, ended=self.ended.append)
        self.device = SimulatedDevice(self.session, Recording(recording) if recording else None)
        rings = house.building.rings
        self._observers = [Observer(rings["transcripts"]), Observer(rings["clauses"])]
        self._captions = Captions(0, *self._observers)
        self.conversation = uuid.uuid4().hex
        self.session.open(self.conversation)
        self.device.__enter__()

    def say(self, pcm: np.ndarray) -> None:
        for at in range(0, len(pcm), FRAME_SAMPLES):
            frame = pcm[at : at + FRAME_SAMPLES]
            self.device.say(iter([np.pad(frame, (0, FRAME_SAMPLES - len(frame)))]))

    def wait(self, until, timeout_s=40.0) -> bool:
        return self.device.listen(until, timeout_s)

    def hear(self, timeout_s=40.0) -> list[dict]:
        """Be silent until everything said was dealt with; the lines of the turns that ended."""
        before = len(self.lines)
        self.wait(lambda: False, 1.0)
        assert self.wait(lambda: self.session.settled, timeout_s), "the turn never ended"
        self.update()
        return self.lines[before:]

    def update(self) -> None:
        self._captions.update()
        while self.ended:
            ended = self.ended.pop(0)
            turn = ended.trace.turn
            said, reply = self._captions.said.get(turn, ""), self._captions.reply(turn)
            self.lines.append(trace_line(ended.trace, said, reply, ended.heard) | {"words": ended.trace.words})

    def ask(self, pcm: np.ndarray, timeout_s=40.0) -> dict:
        """Say something and hear the answer: the one turn that came of it."""
        self.say(pcm)
        lines = self.hear(timeout_s)
        assert len(lines) == 1, lines
        return lines[0]

    def close(self) -> None:
        self.device.__exit__(None, None, None)
        self.session.close()
        self._station.close()
        self.house.forget(self._station)
        for observer in self._observers:
            observer.close()


@pytest.fixture(scope="session")
def house(config):
    with House(config) as running:
        yield running


@pytest.fixture
def person(house):
    someone = Person(house)
    yield someone
    someone.close()


@pytest.fixture
def recorded(house, tmp_path):
    """A person whose conversation is recorded; gives (person, path)."""
    path = tmp_path / "both.wav"
    someone = Person(house, path)
    yield someone, path
    someone.close()


def workers(house: House) -> list[psutil.Process]:
    return [psutil.Process(child.pid) for child in house.children.values()]


def open_descriptors() -> set[str]:
    """What this process holds open, by what it is: memfds, eventfds, pidfds and pipes have no other name."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue
    return found
