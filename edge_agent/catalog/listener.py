"""Who is told what a download does: the terminal draws it, a service logs it."""

from __future__ import annotations

import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears what a fetch says and how far it has come."""

    def said(self, sentence: str) -> None:
        """A sentence for people: a source failed, another pull is at work, a model has arrived."""

    def moved(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of what `label` names are there; `total` is None while unknown."""


class LogListener:
    """Sentences go to the log; progress goes nowhere."""

    def said(self, sentence: str) -> None:
        """Log the sentence."""
        log.warning("%s", sentence)

    def moved(self, label: str, done: int, total: int | None) -> None:
        """Nothing: a log is no progress bar."""
