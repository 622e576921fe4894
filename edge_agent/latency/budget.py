"""The latency budget: what each stage may spend of it, who overspent, and what a stage leaves out to keep it.

All pure arithmetic in milliseconds. The shares are what the critical path (see `critical_path`) may spend by stage:
recognition that hides behind the endpoint's silence costs nothing. A stage that expects to be late steps down its own
ladder, least harm first, and notes each rung in the turn's stopwatch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.errors import ConfigError
from edge_agent.latency.critical_path import STAGES

SMALLER_WINDOW = "asr: smaller window"
SHORTER_CLAUSE = "llm: shorter first clause"
GREEDY = "llm: greedy"
SHORTER_REPLY = "llm: shorter reply"
ACKNOWLEDGEMENT = "llm: acknowledgement"

# What a stage can leave out, in order of least harm. Speaking has nothing to leave out: it is fast and linear.
LADDERS: dict[str, tuple[str, ...]] = {
    "asr": (SMALLER_WINDOW,),
    "llm": (SHORTER_CLAUSE, GREEDY, SHORTER_REPLY, ACKNOWLEDGEMENT),
    "tts": (),
}


@dataclass(frozen=True)
class Budget:
    """What a turn may take, from the end of the user's speech to the first audible sample of the answer.

    Attributes:
        total_ms: the whole of it.
        shares: milliseconds that each stage of the critical path may spend of it.

    Raises:
        ConfigError: `config.budget`, when a share is missing, names no stage, or anything is negative or no number.
    """

    total_ms: float
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.shares) != set(STAGES):
            raise ConfigError(
                "budget",
                f"The latency budget has shares for {', '.join(self.shares) or 'nothing'}; "
                f"give one to each of {', '.join(STAGES)} in [budget.shares].",
            )
        if not all(math.isfinite(ms) and ms >= 0 for ms in self.shares.values()) or not 0 < self.total_ms < math.inf:
            raise ConfigError(
                "budget",
                f"The latency budget is {self.total_ms} ms with shares {dict(self.shares)}; "
                "write a total above 0 ms and shares of 0 ms or more.",
            )

    def breach(self, segments: Mapping[str, float]) -> str | None:
        """The stage that overspent its share by most, when the turn took longer than the whole budget; else None.

        Args:
            segments: milliseconds by stage, from `critical_path.segments`. Of several alike the earliest is named.
        """
        if sum(segments.values()) <= self.total_ms:
            return None
        return max(
            (stage for stage in STAGES if stage in segments), key=lambda stage: self.overspent_ms(stage, segments)
        )

    def overspent_ms(self, stage: str, segments: Mapping[str, float]) -> float:
        """Milliseconds that `stage` spent beyond its share; negative when it kept something back."""
        return segments[stage] - self.shares[stage]

    def behind_ms(self, stage: str) -> float:
        """Milliseconds meant for the stages after `stage`: what to keep for them until their own times are known."""
        return sum(self.shares[later] for later in STAGES[STAGES.index(stage) + 1 :])


def rungs_for(
    stage: str, left_ms: float, predicted_ms: float, behind_ms: float, gains: Mapping[str, float]
) -> list[str]:
    """What `stage` has to leave out so that the answer is still in time, in order of least harm.

    It takes rung after rung until their gains cover what is missing. When all of them do not, it takes all: an answer
    that will be late should be no later than it must.

    Args:
        stage: a key of `LADDERS`.
        left_ms: time left until the deadline (negative after it).
        predicted_ms: what this stage expects to take in full.
        behind_ms: what the stages behind it typically take.
        gains: milliseconds that each rung would save this time, by rung. A rung that is absent, or saves nothing, is
            not taken. Give the acknowledgement `math.inf` when the audio cache has one: whatever is still missing, the
            user hears something in time.

    Returns:
        Rungs of `LADDERS[stage]`; empty when there is time enough.
    """
    missing_ms = predicted_ms + behind_ms - left_ms
    taken: list[str] = []
    for rung in LADDERS[stage]:
        if missing_ms <= 0:
            break
        gain_ms = gains.get(rung, 0.0)
        if gain_ms > 0:
            taken.append(rung)
            missing_ms -= gain_ms
    return taken
