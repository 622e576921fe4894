"""A conversation from files: each is spoken in real time, its answer is heard to the end, then comes the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.frontends.session import Ended, Session
from edge_agent.frontends.wavfile import FRAME_SAMPLES, SimulatedDevice
from edge_agent.latency.turn_line import trace_line
from edge_agent.records import Clause, Heard, Transcript, decode
from edge_agent.ring.ring import Observer

LEAD_S = 0.5  # silence before the first file, as a room gives it
ONSET_S = 1.5  # after the end of a file: a turn that has not begun by then will not
REPLY_TIMEOUT_S = 45.0  # for a turn to end once it has begun; beyond it the answer is taken to be lost
BETWEEN_S = 0.3  # after a reply, before the next file


@dataclass(slots=True)
class Captions:
    """What was said on both sides of one session, as observers of the rings see it.

    Args:
        slot: the session.
        transcripts: observer of that ring.
        clauses: observer of that ring.
    """

    slot: int
    transcripts: Observer
    clauses: Observer
    said: dict[int, str] = field(default_factory=dict)
    replies: dict[int, dict[int, str]] = field(default_factory=dict)

    def update(self) -> None:
        """Take what has passed since the last call."""
        for observer in (self.transcripts, self.clauses):
            while (payload := observer.read()) is not None:
                record = decode(payload)
                if record.session != self.slot:
                    continue
                if isinstance(record, Transcript):
                    self.said[record.turn] = record.text
                elif isinstance(record, Clause) and record.answer:
                    self.replies.setdefault(record.turn, {})[record.index] = record.text
                elif isinstance(record, Heard):
                    self._forget_before(record.turn - 8)

    def reply(self, turn: int) -> str:
        """The reply to a turn as the language model wrote it."""
        return "".join(text for _, text in sorted(self.replies.get(turn, {}).items())).strip()

    def _forget_before(self, turn: int) -> None:
        for kept in (self.said, self.replies):
            for old in [number for number in kept if number < turn]:
                del kept[old]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        path: the file.
        turns: lines as `--trace` writes them, one for each turn that was heard in it.
        timed_out: whether a turn began and never ended.
    """

    path: Path
    turns: list[dict[str, object]]
    timed_out: bool

    @property
    def answered(self) -> bool:
        """Whether every turn was answered."""
        return not self.timed_out and all(turn["first_answer_ms"] is not None for turn in self.turns)


class Interview:
    """Holds one conversation.

    Args:
        session: its session; `ended` of it must be this object's `take`.
        device: the device, already running.
        captions: of the same session.
        on_turn: told each line as its turn ends.
        check: raises what ended the house, if anything did.
    """

    def __init__(
        self,
        session: Session,
        device: SimulatedDevice,
        captions: Captions,
        *,
        ended: list[Ended],
        on_turn: Callable[[dict[str, object]], None],
        check: Callable[[], None],
    ) -> None:
        self._session = session
        self._device = device
        self._captions = captions
        self._ended = ended
        self._on_turn = on_turn
        self._check = check

    def hold(self, sources: Iterable[SoundFileSource]) -> Iterable[Outcome]:
        """Play the files one after the other; yields what became of each."""
        self._device.listen(lambda: False, LEAD_S)
        for source in sources:
            yield self._ask(source)
            self._device.listen(lambda: False, BETWEEN_S)

    def _ask(self, source: SoundFileSource) -> Outcome:
        before = self._session.turn.turn
        lines: list[dict[str, object]] = []
        for frame in source.frames(FRAME_SAMPLES):
            self._device.say(iter((frame,)))
            self._collect(lines)
        self._device.listen(lambda: self._session.turn.turn > before, ONSET_S)

        def over() -> bool:
            self._collect(lines)
            return self._session.settled

        done = self._device.listen(over, REPLY_TIMEOUT_S)
        return Outcome(source.path, lines, timed_out=not done)

    def _collect(self, lines: list[dict[str, object]]) -> None:
        self._check()
        self._captions.update()
        while self._ended:
            ended = self._ended.pop(0)
            if not ended.trace.words:
                continue  # a cough, music: nothing that could be written down
            turn = ended.trace.turn
            line = trace_line(ended.trace, self._captions.said.get(turn, ""), self._captions.reply(turn), ended.heard)
            lines.append(line)
            self._on_turn(line)
