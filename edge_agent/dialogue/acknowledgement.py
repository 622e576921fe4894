"""What to say when the answer will come much too late: the last rung of the latency ladder.

An acknowledgement fills the silence and never counts as the answer. It is never the same twice in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": ("One moment.", "Let me think.", "Just a second."),
        "de": ("Einen Moment.", "Mal überlegen."),
        "es": ("Un momento.", "Déjame pensar."),
        "fr": ("Un instant.", "Voyons."),
        "it": ("Un momento.", "Vediamo."),
        "pt": ("Um momento.", "Deixe-me pensar."),
    }
)


def acknowledgement(language: str, turn: int) -> str | None:
    """The phrase for a turn; None in a language that we have none for. Successive turns get different ones."""
    phrases = PHRASES.get(language)
    return phrases[turn % len(phrases)] if phrases else None
