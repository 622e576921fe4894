"""One turn as `converse --trace` writes it: a JSON object a line; what reports, waterfalls and plots are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TypeAlias

import msgspec

from edge_agent.clock import MS
from edge_agent.errors import BenchError
from edge_agent.latency.budget import ACKNOWLEDGEMENT
from edge_agent.latency.critical_path import segments_of
from edge_agent.latency.stopwatch import Stamp
from edge_agent.records import Trace

_DECIMALS = 1  # of the milliseconds in the file


class TurnLine(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """Where one turn's time went and what was said in it.

    Attributes:
        turn: number of the turn in its conversation.
        transcript: what the user said, as recognized.
        reply: the answer as the language model wrote it.
        heard: what of it the user heard.
        first_audio_ms: from speech end to the first audible sample of anything; None when nothing was audible.
        first_answer_ms: from speech end to the first audible sample of the answer itself; None when there was none.
        stages: milliseconds from speech end, by lower-case name of the stamps that happened.
        rungs: what stages left out to be in time, as "stage: what".
        breach: the stage that overspent when the budget was missed, else None.
        cancelled: "stage: reason" when nobody heard an answer, else None.
        words: whether the user had said anything; None in a line of a file, where the transcript tells.
    """

    turn: int
    transcript: str = ""
    reply: str = ""
    heard: str = ""
    first_audio_ms: float | None = None
    first_answer_ms: float | None = None
    stages: dict[str, float | None] = {}
    rungs: list[str] = []
    breach: str | None = None
    cancelled: str | None = None
    words: bool | None = None

    @cached_property
    def segments(self) -> dict[str, float]:
        """Milliseconds by stage of the critical path; see `critical_path.segments`."""
        return segments_of({name: at_ms for name, at_ms in self.stages.items() if at_ms is not None})

    @property
    def answered(self) -> bool:
        """Whether the user heard an answer."""
        return self.first_answer_ms is not None

    @property
    def owed(self) -> bool:
        """Whether there was something to answer."""
        return self.answered or (bool(self.transcript.strip()) if self.words is None else self.words)

    @property
    def acknowledged_ms(self) -> float | None:
        """When an acknowledgement was heard in place of the answer, in milliseconds from speech end; else None."""
        return self.first_audio_ms if ACKNOWLEDGEMENT in self.rungs else None


Row: TypeAlias = TurnLine | Trace | Mapping[str, object]


def trace_line(trace: Trace, transcript: str = "", reply: str = "", heard: str = "") -> dict[str, object]:
    """The JSON object that `--trace` writes for `trace`; the texts are no part of a trace and are given beside it."""
    start_ns = trace.stamps[Stamp.SPEECH_END]
    stages: dict[str, float] = {}
    if start_ns:
        happened = [which for which in Stamp if trace.stamps[which]]
        stages = {which.name.lower(): round((trace.stamps[which] - start_ns) / MS, _DECIMALS) for which in happened}
    answer_ms = stages.get("first_answer")
    return {
        "turn": trace.turn,
        "transcript": transcript,
        "reply": reply,
        "heard": heard,
        "first_audio_ms": stages.get("first_audio", answer_ms),
        "first_answer_ms": answer_ms,
        "stages": stages,
        "rungs": list(trace.rungs),
        "breach": trace.breach,
        "cancelled": trace.cancelled,
    }


def turn_lines(rows: Iterable[Row]) -> list[TurnLine]:
    """`rows` in their typed form, whether they are traces or objects read from a trace file.

    Raises:
        BenchError: `bench.trace`, when an object is no line of a trace.
    """
    return [_turn_line(row) for row in rows]


def _turn_line(row: Row) -> TurnLine:
    if isinstance(row, TurnLine):
        return row
    try:
        if isinstance(row, Trace):
            return msgspec.convert(trace_line(row) | {"words": row.words}, TurnLine)
        return msgspec.convert(row, TurnLine)
    except msgspec.ValidationError as error:
        raise BenchError(
            "trace", f"This is no line of a trace ({error}); give a file that `edge-agent converse --trace` wrote."
        ) from error
