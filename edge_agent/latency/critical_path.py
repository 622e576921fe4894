"""The critical path of a turn: which stage the user was waiting for, from the end of their speech to the answer.

                    PAUSE                    COMMITTED
    speech end ──────┬─── ears waits on ─────────┬─ LLM_START ── FIRST_CLAUSE ── FIRST_PCM ── FIRST_ANSWER
                     └─ ASR_START ──── ASR_DONE ─┘
                                                 ·            ·              ·            ·
               endpoint                          · asr        · llm          · tts        · playout

While ears waits to be sure that the user is done, the recognizer is already at work. The language model goes on when
both are done, so recognition costs the user only what of it lies after the commit. Each segment ends where its stage
has handed over; a segment begins where the one before has ended, so the segments of an answered turn add up to its
voice-to-voice latency, whatever overlaps and in whatever order the stamps were noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_agent.clock import MS
from edge_agent.latency.stopwatch import Stamp

# The stages in the order of the path, each with the stamps that show how far it has come; the latest counts.
_MILESTONES: dict[str, tuple[Stamp, ...]] = {
    "endpoint": (Stamp.PAUSE, Stamp.COMMITTED),
    "asr": (Stamp.ASR_START, Stamp.ASR_DONE, Stamp.LLM_START),
    "llm": (Stamp.FIRST_TOKEN, Stamp.FIRST_CLAUSE),
    "tts": (Stamp.TTS_START, Stamp.FIRST_PCM),
    "playout": (Stamp.FIRST_ANSWER,),
}
STAGES = tuple(_MILESTONES)


def segments(stamps: Sequence[int]) -> dict[str, float]:
    """Milliseconds that the user waited for each stage, in the order of the path.

    Args:
        stamps: monotonic nanoseconds by `Stamp`, 0 for what has not happened.

    Returns:
        By stage, never negative. Of an answered turn all five, and their sum is FIRST_ANSWER minus SPEECH_END (0 when
        the answer came before the end of the speech). Of a turn that ended earlier, the stages that it reached, up to
        the last stamp on the path; empty when not even the end of the speech is known.
    """
    start_ns = stamps[Stamp.SPEECH_END]
    if not start_ns:
        return {}
    return _walk({which: (stamps[which] - start_ns) / MS for which in Stamp if stamps[which]})


def segments_of(stages_ms: Mapping[str, float]) -> dict[str, float]:
    """`segments` of a turn whose stamps are written as milliseconds from speech end, by lower-case stamp name.

    Names that are no stamps are passed over: a trace may be newer than its reader.
    """
    names = {which.name.lower(): which for which in Stamp}
    return _walk({names[name]: at_ms for name, at_ms in stages_ms.items() if name in names})


def _walk(at_ms: Mapping[Stamp, float]) -> dict[str, float]:
    """Milliseconds by stage, from milliseconds after speech end by stamp."""
    reached = [stage for stage, milestones in _MILESTONES.items() if any(which in at_ms for which in milestones)]
    if not reached:
        return {}
    answer_ms = at_ms.get(Stamp.FIRST_ANSWER)
    path: dict[str, float] = {}
    here_ms = 0.0
    for stage in STAGES[: STAGES.index(reached[-1]) + 1]:
        end_ms = max([here_ms, *(at_ms[which] for which in _MILESTONES[stage] if which in at_ms)])
        if answer_ms is not None:
            end_ms = max(here_ms, min(end_ms, answer_ms))  # what came after the answer kept nobody waiting
        path[stage] = end_ms - here_ms
        here_ms = end_ms
    return path
