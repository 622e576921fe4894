"""What a stage learns about its own durations, and tells the stages in front of it."""

from __future__ import annotations

import logging

from edge_agent.errors import WorkerError
from edge_agent.latency.prediction import Predictor, restore, store
from edge_agent.workers.loop import Desk

STORE_EVERY = 20  # runs

log = logging.getLogger("edge_agent.learning")


class Learning:
    """A stage's predictors, kept between runs of the house.

    Args:
        desk: the worker's.
        predictors: what is learned; the stage's typical time is the sum of their medians at the usual sizes.
        usual: the size of a usual run of each.
    """

    def __init__(self, desk: Desk, predictors: tuple[Predictor, ...], usual: tuple[float, ...]) -> None:
        self._desk = desk
        self._predictors = predictors
        self._usual = usual
        self._path = desk.config.state_dir / "predictions" / f"{desk.name}.json"
        self._runs = 0
        restore(self._path, predictors)
        self._publish()

    def learn(self, predictor: Predictor, size: float, took_ms: float) -> None:
        """One run took `took_ms`."""
        predictor.observe(size, took_ms)
        self._publish()
        self._runs += 1
        if self._runs % STORE_EVERY == 0:
            self.keep()

    def _publish(self) -> None:
        pairs = zip(self._predictors, self._usual, strict=True)
        self._desk.publish_typical(sum(one.predict(size, quantile=0.5) for one, size in pairs))

    def keep(self) -> None:
        """Write to disk what was learned; a disk that refuses costs only that."""
        try:
            store(self._path, self._predictors)
        except WorkerError as error:
            log.warning("what was learned about durations is not kept: %s", error)
