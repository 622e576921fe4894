"""Voice-to-voice latency of many turns: percentiles, where the time went, who overspent, and whether it is enough."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from edge_agent.latency.budget import Budget
from edge_agent.latency.critical_path import STAGES
from edge_agent.latency.turn_line import Row, turn_lines


def percentile(values: Sequence[float], quantile: float) -> float:
    """The nearest-rank percentile: of n values in ascending order the one at index min(n - 1, floor(quantile * n)).

    Always a value that was measured, never one between two. `values` has at least one element.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


@dataclass(frozen=True)
class Spread:
    """Percentiles of `count` durations in milliseconds, as `percentile` defines them."""

    count: int
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Spread | None:
        """The spread of `values_ms`, to a tenth of a millisecond; None of nothing."""
        if not values_ms:
            return None
        p50, p95 = percentile(values_ms, 0.5), percentile(values_ms, 0.95)
        return cls(len(values_ms), round(p50, 1), round(p95, 1), round(max(values_ms), 1))


@dataclass(frozen=True)
class V2VReport:
    """Voice-to-voice latency of many turns.

    Attributes:
        turns: how many there were.
        answered: how many the user heard an answer to.
        unanswered: how many had words of the user in them and got no answer.
        cut_ins: times that the agent began to speak inside the user's utterance; None when nobody looked.
        first_audio_ms: from speech end to the first audible sample of anything, over the turns that had one.
        first_answer_ms: from speech end to the first audible sample of the answer, over the answered turns.
        stages_ms: what each stage of the critical path took, over the answered turns.
        breaches: turns that missed the budget, by the stage that overspent.
        rungs: how often each rung of a ladder was taken.
        cancelled: turns without an answer, by "stage: reason".
        answers_ms: every `first_answer_ms`, in the order of the turns.
    """

    turns: int
    answered: int
    unanswered: int
    cut_ins: int | None
    first_audio_ms: Spread | None
    first_answer_ms: Spread | None
    stages_ms: dict[str, Spread]
    breaches: dict[str, int]
    rungs: dict[str, int]
    cancelled: dict[str, int]
    answers_ms: tuple[float, ...]

    @classmethod
    def of(cls, rows: Iterable[Row], cut_ins: int | None = None) -> V2VReport:
        """The report on `rows`: traces, or lines of a trace file.

        Raises:
            BenchError: `bench.trace`, when a row is neither.
        """
        lines = turn_lines(rows)
        answered = [line for line in lines if line.answered]
        answers_ms = tuple(line.first_answer_ms for line in lines if line.first_answer_ms is not None)
        stages = {s: Spread.of([line.segments[s] for line in answered if s in line.segments]) for s in STAGES}
        return cls(
            turns=len(lines),
            answered=len(answered),
            unanswered=sum(line.owed and not line.answered for line in lines),
            cut_ins=cut_ins,
            first_audio_ms=Spread.of([line.first_audio_ms for line in lines if line.first_audio_ms is not None]),
            first_answer_ms=Spread.of(answers_ms),
            stages_ms={stage: spread for stage, spread in stages.items() if spread is not None},
            breaches=_counted(line.breach for line in lines),
            rungs=_counted(rung for line in lines for rung in line.rungs),
            cancelled=_counted(line.cancelled for line in lines),
            answers_ms=answers_ms,
        )

    def to_json(self) -> dict[str, object]:
        """The report as a JSON object."""
        return asdict(self) | {"answers_ms": list(self.answers_ms)}

    def enforce(self, budget_ms: float, quantile: float = 0.95, margin_ms: float = 0.0) -> str | None:
        """What keeps the agent from meeting its budget, as a sentence; None when it meets it.

        The given quantile of `first_answer_ms` counts, over every turn in which the user said something; one without
        an answer is infinitely late, because answering only the quick ones is no way to be in time.

        Args:
            budget_ms: what a turn may take.
            quantile: share of turns (0 to 1) that have to be in time.
            margin_ms: how much more a noisy machine is allowed.
        """
        owed = self.answered + self.unanswered
        if not owed:
            return "There was no turn to answer, so nothing shows that the budget is met."
        value_ms = percentile([*self.answers_ms, *[math.inf] * self.unanswered], quantile)
        if value_ms <= budget_ms + margin_ms:
            return None
        name = f"p{quantile * 100:g}"
        if math.isinf(value_ms):
            return (
                f"{self.unanswered} of {owed} turns had no answer, which puts the {name} over any budget"
                f"{_by_count(self.cancelled)}."
            )
        margin = f" plus a margin of {margin_ms:g} ms" if margin_ms else ""
        return (
            f"The {name} of the first answer is {value_ms:.0f} ms, "
            f"over the budget of {budget_ms:g} ms{margin}{_by_count(self.breaches)}."
        )

    def table(self, budget: Budget) -> Table:
        """What each stage took, beside its share of `budget`, with the turns that it made late."""
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
        table.add_column("ms")
        for heading in ("p50", "p95", "worst", "share", "breaches"):
            table.add_column(heading, justify="right")
        for stage, spread in self.stages_ms.items():
            breaches = self.breaches.get(stage, 0)
            table.add_row(
                stage,
                *_figures(spread, budget.shares[stage]),
                f"{budget.shares[stage]:.0f}",
                Text(str(breaches), style="red") if breaches else "0",
            )
        table.add_section()
        totals = (("first audio", self.first_audio_ms), ("first answer", self.first_answer_ms))
        for name, total in totals:
            if total is not None:
                missed = sum(self.breaches.values()) if name == "first answer" else ""
                table.add_row(
                    name, *_figures(total, budget.total_ms), f"{budget.total_ms:.0f}", str(missed), style="bold"
                )
        return table

    def lines(self) -> list[str]:
        """What the table does not say: how many turns were answered, and what was left out, cut in or cancelled."""
        said = [f"{self.answered} of {self.turns} turns answered"]
        if self.cut_ins is not None:
            said.append(f"{self.cut_ins} cut-ins")
        said += [f"{rung} ({count})" for rung, count in self.rungs.items()]
        said += [f"cancelled by {reason} ({count})" for reason, count in self.cancelled.items()]
        return said


def _counted(names: Iterable[str | None]) -> dict[str, int]:
    """How often each name occurs, most frequent first."""
    return dict(Counter(name for name in names if name is not None).most_common())


def _by_count(counts: dict[str, int]) -> str:
    """What the sentence of `enforce` adds: the most frequent name, say ", most often llm (3 turns)"."""
    if not counts:
        return ""
    name, count = next(iter(counts.items()))
    return f", most often {name} ({count} {'turn' if count == 1 else 'turns'})"


def _figures(spread: Spread, share_ms: float) -> list[Text]:
    """p50, p95 and worst for the table; what is over `share_ms` stands out."""
    values = (spread.p50, spread.p95, spread.worst)
    return [Text(f"{value:.0f}", style="red" if value > share_ms else "") for value in values]
