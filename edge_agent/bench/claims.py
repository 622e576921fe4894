"""Whether the traces tell the truth: what they claim, put beside what was heard in the recording of the same turns.

Both are on the device's clock, so an answer in the recording belongs to the trace that says it began then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.bench.judge import Exchange
from edge_agent.clock import SECOND
from edge_agent.latency.stopwatch import Stamp
from edge_agent.records import Trace


@dataclass(frozen=True, slots=True)
class Claim:
    """What a trace says of a turn that became audible, in seconds of the device's clock."""

    turn: int
    speech_end_s: float
    audible_s: float

    @property
    def latency_ms(self) -> float:
        """From the end of the speech to the first audible sample."""
        return (self.audible_s - self.speech_end_s) * 1e3

    @classmethod
    def of(cls, trace: Trace, zero_ns: int) -> Claim | None:
        """The claim in `trace`, on a clock that began at `zero_ns`; None when nothing became audible."""
        end_ns, audible_ns = trace.stamps[Stamp.SPEECH_END], trace.stamps[Stamp.FIRST_AUDIO]
        if not end_ns or not audible_ns:
            return None
        return cls(trace.turn, (end_ns - zero_ns) / SECOND, (audible_ns - zero_ns) / SECOND)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One answer, as claimed and as judged; differences are claimed minus judged, in milliseconds."""

    turn: int
    claimed_ms: float
    judged_ms: float
    speech_end_ms: float
    audible_ms: float

    @property
    def difference_ms(self) -> float:
        """Below 0 the trace makes the answer quicker than it was."""
        return round(self.claimed_ms - self.judged_ms, 1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """All answers, as claimed and as judged.

    Attributes:
        comparisons: the answers that both know.
        only_claimed: turns that nobody heard an answer to.
        only_judged: answers that no trace tells of.
    """

    comparisons: tuple[Comparison, ...]
    only_claimed: int
    only_judged: int

    @property
    def worst_ms(self) -> float | None:
        """The largest difference, whichever way; None when nothing could be compared."""
        return max((abs(one.difference_ms) for one in self.comparisons), default=None)

    def to_json(self) -> dict[str, object]:
        """The comparison as a JSON object."""
        return {
            "compared": len(self.comparisons),
            "worst_difference_ms": self.worst_ms,
            "only_claimed": self.only_claimed,
            "only_judged": self.only_judged,
            "turns": [
                {
                    "turn": one.turn,
                    "claimed_ms": one.claimed_ms,
                    "judged_ms": one.judged_ms,
                    "difference_ms": one.difference_ms,
                    "speech_end_difference_ms": one.speech_end_ms,
                    "audible_difference_ms": one.audible_ms,
                }
                for one in self.comparisons
            ],
        }


def compare(claims: Sequence[Claim], exchanges: Sequence[Exchange]) -> Agreement:
    """Put each answer in the recording beside the claim that is nearest to it, between its utterance and the next.

    A turn that became audible inside an utterance is the judge's cut-in; as a claim without an answer it counts as
    `only_claimed` when no answer after that utterance is nearer to it.
    """
    starts = [exchange.start_s for exchange in exchanges]
    compared: list[Comparison] = []
    only_judged = 0
    for exchange, (start_s, next_s) in zip(exchanges, pairwise([*starts, float("inf")]), strict=True):
        onset_s, judged_ms = exchange.onset_s, exchange.latency_ms
        if onset_s is None or judged_ms is None:
            continue
        here = [claim for claim in claims if start_s <= claim.audible_s < next_s]
        if not here:
            only_judged += 1
            continue
        claim = _nearest(here, onset_s)
        compared.append(
            Comparison(
                turn=claim.turn,
                claimed_ms=round(claim.latency_ms, 1),
                judged_ms=judged_ms,
                speech_end_ms=round((claim.speech_end_s - exchange.end_s) * 1e3, 1),
                audible_ms=round((claim.audible_s - onset_s) * 1e3, 1),
            )
        )
    return Agreement(tuple(compared), only_claimed=len(claims) - len(compared), only_judged=only_judged)


def _nearest(claims: Sequence[Claim], at_s: float) -> Claim:
    return min(claims, key=lambda claim: abs(claim.audible_s - at_s))
