"""The stopwatch that every record of a turn carries: a fixed array of monotonic nanosecond stamps."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from edge_agent.clock import ms_between, now_ns


class Stamp(IntEnum):
    """Moments of a turn, in the order in which they are usually reached. All on the machine's monotonic clock."""

    SPEECH_END = 0  # last sample of the user's speech, at the microphone
    PAUSE = 1  # ears saw the first short silence
    ASR_START = 2
    ASR_DONE = 3
    COMMITTED = 4  # ears decided that the user is done
    LLM_START = 5
    FIRST_TOKEN = 6
    FIRST_CLAUSE = 7  # the first clause left the language model
    TTS_START = 8
    FIRST_PCM = 9  # the first clause's sound reached the playback ring
    FIRST_AUDIO = 10  # first audible sample of anything, at the loudspeaker
    FIRST_ANSWER = 11  # first audible sample of the answer itself, at the loudspeaker


class Stopwatch(msgspec.Struct, array_like=True, gc=False):
    """Where a turn's time went so far.

    Attributes:
        stamps: nanoseconds (CLOCK_MONOTONIC) by `Stamp`; 0 for what has not happened.
        deadline_ns: when the first audible sample is due: speech end plus the budget.
        rungs: what stages left out to meet the deadline, as "stage: what", in order.
    """

    stamps: list[int]
    deadline_ns: int
    rungs: list[str]

    @classmethod
    def start(cls, speech_end_ns: int, budget_ms: int) -> Stopwatch:
        """A stopwatch that starts at the last sample of the user's speech."""
        stamps = [0] * len(Stamp)
        stamps[Stamp.SPEECH_END] = speech_end_ns
        return cls(stamps, speech_end_ns + budget_ms * 1_000_000, [])

    def copy(self) -> Stopwatch:
        """An independent copy, for the next record."""
        return Stopwatch(list(self.stamps), self.deadline_ns, list(self.rungs))

    def stamp(self, which: Stamp, at_ns: int | None = None) -> None:
        """Note a moment (default: now), unless it was noted before."""
        if not self.stamps[which]:
            self.stamps[which] = now_ns() if at_ns is None else at_ns

    def ms(self, which: Stamp) -> float | None:
        """Milliseconds from speech end to `which`; None when it has not happened."""
        at_ns = self.stamps[which]
        return ms_between(self.stamps[Stamp.SPEECH_END], at_ns) if at_ns else None

    def left_ms(self) -> float:
        """Milliseconds until the deadline (negative after it)."""
        return ms_between(now_ns(), self.deadline_ns)
