"""When the user speaks, pauses, goes on, and is done: one literal transition table over 32 ms frames.

Everything that decides about turns stands here. Time is counted in frames of sound, never by a clock, so a minute of
speech is a millisecond of test. A frame is voiced when Silero VAD gives it more than 0.5.

    QUIET ──VOICED──> RISING ──ONSET──> SPEAKING ──PAUSE──> PAUSED ──END──> QUIET
      ^                  │                  ^                  │
      └──────LAPSE───────┘                  └──────VOICED──────┘

A pause is announced once, after `pause_frames` without voice; the end comes after as many as the endpoint policy asks
for, which it may change while the pause lasts. Going on after a pause raises the revision: whatever was concluded from
the words before it is void.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

FRAME_SAMPLES = 512  # at 16 kHz
FRAME_MS = 32
VOICED_AT = 0.5  # Silero's probability from which a frame is speech


class State(Enum):
    """What the user is doing."""

    QUIET = auto()
    RISING = auto()  # a few voiced frames: speech, or a click
    SPEAKING = auto()
    PAUSED = auto()


class Event(Enum):
    """What a frame means, given the frames before it."""

    VOICED = auto()  # voiced, and nothing below
    SILENT = auto()  # not voiced, and nothing below
    ONSET = auto()  # enough voiced frames: somebody is speaking
    LAPSE = auto()  # silence before there were enough
    PAUSE = auto()  # silent for `pause_frames`
    END = auto()  # silent for as long as the endpoint policy asks
    LIMIT = auto()  # the utterance is as long as one may be


class Action(Enum):
    """What ears has to do."""

    OPEN = auto()  # a new turn, with the pre-roll
    ANNOUNCE = auto()  # a pause: the text may be finished
    REVISE = auto()  # the user goes on: next revision
    COMMIT = auto()  # the turn may be answered


TABLE: MappingProxyType[tuple[State, Event], tuple[State, tuple[Action, ...]]] = MappingProxyType(
    {
        (State.QUIET, Event.SILENT): (State.QUIET, ()),
        (State.QUIET, Event.VOICED): (State.RISING, ()),
        (State.QUIET, Event.ONSET): (State.SPEAKING, (Action.OPEN,)),
        (State.RISING, Event.VOICED): (State.RISING, ()),
        (State.RISING, Event.SILENT): (State.RISING, ()),
        (State.RISING, Event.LAPSE): (State.QUIET, ()),
        (State.RISING, Event.ONSET): (State.SPEAKING, (Action.OPEN,)),
        (State.SPEAKING, Event.VOICED): (State.SPEAKING, ()),
        (State.SPEAKING, Event.SILENT): (State.SPEAKING, ()),
        (State.SPEAKING, Event.PAUSE): (State.PAUSED, (Action.ANNOUNCE,)),
        (State.SPEAKING, Event.LIMIT): (State.QUIET, (Action.ANNOUNCE, Action.COMMIT)),
        (State.PAUSED, Event.SILENT): (State.PAUSED, ()),
        (State.PAUSED, Event.VOICED): (State.SPEAKING, (Action.REVISE,)),
        (State.PAUSED, Event.END): (State.QUIET, (Action.COMMIT,)),
        (State.PAUSED, Event.LIMIT): (State.QUIET, (Action.COMMIT,)),
    }
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Lengths in frames of `FRAME_MS`.

    Attributes:
        onset_frames: voiced frames that make speech.
        lapse_frames: silent frames that undo fewer than that.
        pause_frames: silent frames after which a pause is announced.
        limit_frames: the longest utterance.
    """

    onset_frames: int = 3
    lapse_frames: int = 3
    pause_frames: int = 2
    limit_frames: int = 60_000 // FRAME_MS


class TurnMachine:
    """One session's turn taking. Call `step` for every frame, in order.

    Attributes:
        state: what the user is doing.
        silent_frames: frames since the last voiced one.
        frames: frames since the onset of the utterance, RISING included.
        end_frames: silence in frames that ends the turn; the endpoint policy sets it while PAUSED.
    """

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.state = State.QUIET
        self.silent_frames = 0
        self.frames = 0
        self.end_frames = timing.pause_frames
        self._voiced_frames = 0

    def step(self, voiced: bool) -> tuple[Action, ...]:
        """Take one frame; returns what is to be done now, in order."""
        if self.state is State.QUIET:
            self.frames = self._voiced_frames = 0
        self.frames += 1
        self.silent_frames = 0 if voiced else self.silent_frames + 1
        self._voiced_frames += voiced
        self.state, actions = TABLE[self.state, self._event(voiced)]
        return actions

    def _event(self, voiced: bool) -> Event:
        timing = self.timing
        if self.state in (State.QUIET, State.RISING):
            if self._voiced_frames >= timing.onset_frames:
                return Event.ONSET
            if self.state is State.RISING and self.silent_frames >= timing.lapse_frames:
                return Event.LAPSE
            return Event.VOICED if voiced else Event.SILENT
        if self.frames >= timing.limit_frames:
            return Event.LIMIT
        if voiced:
            return Event.VOICED
        if self.state is State.SPEAKING:
            return Event.PAUSE if self.silent_frames >= timing.pause_frames else Event.SILENT
        return Event.END if self.silent_frames >= self.end_frames else Event.SILENT
