"""How long a stage will take: a line in one size, learned from what the stage took on this machine.

A duration is modelled as `base + slope * size` times a random factor, where size is what the work grows with: seconds
of window, tokens, characters. The line is the Theil-Sen estimator (Sen 1968: the median of all pairwise slopes, then
the median of what is left), which one turn in four may spoil without harm, blended with the prior line while the sizes
seen so far are too few or too alike to tell a slope. The factor's distribution is kept as observed, so a prediction is
asked for by its quantile. Old turns fade with a half-life, because a machine that is busy now says more than one that
was idle before. Memory and time are bounded by the window of turns that is kept.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, median, pvariance

from edge_agent.errors import WorkerError

WINDOW = 48  # turns remembered
HALF_LIFE = 16.0  # turns after which an observation counts half
LIMIT_MS = 600_000.0  # nothing that a turn waits for takes ten minutes
SIZE_LIMIT = 1e9
KEPT = 64  # predictors in one file; models and devices come and go

_PRIOR_FACTORS = (0.8, 1.0, 1.25)  # how far off the prior is expected to be; count like the three oldest turns
_FEW = 4  # turns that say nothing about a slope yet
_SHRINKAGE = 0.2  # in turns times the squared coefficient of variation of their sizes: where the blend is half and half
_TINY = 1e-6  # sizes and milliseconds below this are no ground for a division

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Line:
    base_ms: float
    slope_ms: float

    def at(self, size: float) -> float:
        return self.base_ms + self.slope_ms * size


class Predictor:
    """Learns the duration of one stage, with one model on one device.

    Args:
        stage: what takes the time, say "asr" or "llm prefill".
        model: name of the model that does it.
        device: "cpu", "cuda", ...
        base_ms: the prior's milliseconds whatever the size; 0 or more.
        slope_ms: the prior's milliseconds for each unit of size; 0 or more.
    """

    def __init__(self, stage: str, model: str, device: str, base_ms: float, slope_ms: float) -> None:
        self.key = f"{stage} | {model} | {device}"
        self._prior = _Line(_clamp(base_ms, LIMIT_MS), _clamp(slope_ms, LIMIT_MS))
        self._seen: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # (size, milliseconds), oldest first
        self._fit()

    def observe(self, size: float, duration_ms: float) -> None:
        """Learn from one run. What cannot be a measurement (negative, infinite, no number) is passed over."""
        if _valid(size, SIZE_LIMIT) and _valid(duration_ms, LIMIT_MS):
            self._seen.append((float(size), float(duration_ms)))
            self._fit()

    def predict(self, size: float, quantile: float = 0.8) -> float:
        """Milliseconds within which a run of `size` ends with a probability of `quantile` (0 to 1).

        Finite, at least 0, and no smaller for a bigger size or a higher quantile.
        """
        factor = _weighted_quantile(self._factors, quantile)
        return min(LIMIT_MS, self._line.at(_clamp(size, SIZE_LIMIT)) * factor)

    def saving_ms(self, size: float, smaller: float, quantile: float = 0.8) -> float:
        """Milliseconds that a run of `smaller` takes less than one of `size`; 0 when it is not smaller."""
        return max(0.0, self.predict(size, quantile) - self.predict(smaller, quantile))

    @property
    def observations(self) -> int:
        """Runs that the prediction rests on, at most `WINDOW`."""
        return len(self._seen)

    def state(self) -> dict[str, list[list[float]]]:
        """What was learned, for JSON: the runs in the window as [size, milliseconds], oldest first."""
        return {"seen": [[size, duration_ms] for size, duration_ms in self._seen]}

    def adopt(self, state: object) -> bool:
        """Go on from a `state()`; False, and nothing has changed, when it is not one."""
        seen = state.get("seen") if isinstance(state, Mapping) else None
        if not isinstance(seen, list) or not all(_is_run(run) for run in seen):
            return False
        self._seen.clear()
        self._seen.extend((float(size), float(duration_ms)) for size, duration_ms in seen)
        self._fit()
        return True

    def _fit(self) -> None:
        """Estimate the line, then how far the runs were off it."""
        count = len(self._seen)
        weights = [0.5 ** ((count - 1 - index) / HALF_LIFE) for index in range(count)]
        runs = [(size, duration_ms, weight) for (size, duration_ms), weight in zip(self._seen, weights, strict=True)]
        prior_weight = 0.5 ** (count / HALF_LIFE)
        pseudo = [(factor, prior_weight) for factor in _PRIOR_FACTORS]
        scaled = _weighted_quantile(_factors(self._prior, runs) + pseudo, 0.5)
        shape = _Line(self._prior.base_ms * scaled, self._prior.slope_ms * scaled)
        trust = _trust([size for size, _ in self._seen])
        if trust:
            observed = _theil_sen(runs)
            shape = _Line(
                trust * observed.base_ms + (1 - trust) * shape.base_ms,
                trust * observed.slope_ms + (1 - trust) * shape.slope_ms,
            )
        self._line = shape
        self._factors = _factors(shape, runs) + pseudo


def store(path: Path, predictors: Iterable[Predictor]) -> None:
    """Write what `predictors` have learned to `path`, at once or not at all.

    What the file holds about other models and devices stays in it, up to `KEPT` in all. Not synced to the disk: after
    a power cut an empty file costs a few turns of learning, a sync could cost a turn.

    Raises:
        WorkerError: `worker.predictions`, when the file cannot be written.
    """
    learned = _read(path)
    for predictor in predictors:
        learned.pop(predictor.key, None)
        learned[predictor.key] = predictor.state()  # last: the longest unused are dropped first
    kept = dict(list(learned.items())[-KEPT:])
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(kept), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # what went wrong first is the news
            part.unlink(missing_ok=True)
        raise WorkerError(
            "predictions",
            f"The learned durations cannot be written to {path} ({error.strerror}); "
            "make the folder writable and leave it some space.",
        ) from error


def restore(path: Path, predictors: Iterable[Predictor]) -> int:
    """Let `predictors` go on from what `store` wrote; whatever is absent or broken starts afresh.

    Returns:
        How many found their state.
    """
    learned = _read(path)
    return sum(predictor.key in learned and predictor.adopt(learned[predictor.key]) for predictor in predictors)


def _read(path: Path) -> dict[str, object]:
    """The states in `path` by key; empty when there is no such file, or when it is broken."""
    try:
        learned = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("The learned durations in %s cannot be read and are learned afresh: %s", path, error)
        return {}
    if not isinstance(learned, dict):
        _log.warning("The learned durations in %s are no JSON object and are learned afresh.", path)
        return {}
    return learned


def _valid(value: object, limit: float) -> bool:
    """Whether `value` is a number from 0 to `limit`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= limit


def _is_run(run: object) -> bool:
    """Whether `run` is [size, milliseconds]."""
    return isinstance(run, list) and len(run) == 2 and _valid(run[0], SIZE_LIMIT) and _valid(run[1], LIMIT_MS)


def _clamp(value: float, limit: float) -> float:
    """`value` within 0 and `limit`; 0 when it is no number."""
    return min(max(value, 0.0), limit) if not math.isnan(value) else 0.0


def _trust(sizes: Sequence[float]) -> float:
    """How much the runs' own line counts against the scaled prior, 0 to 1.

    A slope's variance falls with the number of runs times the variance of their sizes; relative to the mean size that
    is a pure number, to which the blend is tied.
    """
    if len(sizes) <= _FEW:
        return 0.0
    mean = fmean(sizes)
    if mean < _TINY:
        return 0.0
    evidence = (len(sizes) - _FEW) * pvariance(sizes, mean) / mean**2
    return evidence / (evidence + _SHRINKAGE)


def _theil_sen(runs: Sequence[tuple[float, float, float]]) -> _Line:
    """The line through (size, milliseconds, weight), neither base nor slope negative."""
    slopes = [
        (later_ms - earlier_ms) / (later - earlier)
        for (earlier, earlier_ms, _), (later, later_ms, _) in combinations(runs, 2)
        if abs(later - earlier) > _TINY
    ]
    slope_ms = max(0.0, median(slopes)) if slopes else 0.0
    base_ms = _weighted_quantile([(ms - slope_ms * size, weight) for size, ms, weight in runs], 0.5)
    if base_ms >= 0:
        return _Line(base_ms, slope_ms)
    return _Line(0.0, _weighted_quantile([(ms / size, weight) for size, ms, weight in runs if size > _TINY], 0.5))


def _factors(line: _Line, runs: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """(how many times longer than the line says, weight) of each run."""
    return [(ms / line.at(size), weight) for size, ms, weight in runs if line.at(size) > _TINY]


def _weighted_quantile(values: Sequence[tuple[float, float]], quantile: float) -> float:
    """The smallest of (value, weight) up to which `quantile` of the weight lies; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    wanted = quantile * sum(weight for _, weight in ordered)
    for value, weight in ordered:
        wanted -= weight
        if wanted <= 0:
            return value
    return ordered[-1][0]
