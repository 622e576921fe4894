"""English names of the symbols that are left when the figures have been read."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.traced_text import Rule

_NAMES: Final = {
    "&": "and", "+": "plus", "=": "equals", "@": "at", "%": "percent", "×": "times", "÷": "divided by",
    "±": "plus or minus", "→": "to", "⇒": "to", "≈": "about", "≤": "at most", "≥": "at least", "≠": "is not",
    "°": "degrees", "©": "copyright", "§": "section", "√": "square root of", "∞": "infinity", "π": "pi",
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "²": "squared", "³": "cubed", "µ": "micro", "∑": "sum of",
    "¢": "cents", "℃": "degrees Celsius", "℉": "degrees Fahrenheit", "№": "number", "Ω": "ohms", "α": "alpha",
    "β": "beta", "γ": "gamma", "Δ": "delta", "δ": "delta", "λ": "lambda", "μ": "mu", "σ": "sigma", "θ": "theta",
}  # fmt: skip
_ALTERNATIVES: Final = frozenset(("he", "she", "him", "her", "his", "hers", "yes", "true", "s"))


def _slash(match: re.Match[str]) -> str:
    left, right = match[1].lower(), match[2].lower()
    if (left, right) == ("and", "or"):
        return f"{match[1]} {match[2]}"
    return f"{match[1]} or {match[2]}" if left in _ALTERNATIVES else f"{match[1]} {match[2]}"


def _name(match: re.Match[str]) -> str:
    return f" {_NAMES[match[0]]} "


SYMBOL_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"\b([CFJ])#(?!\w)"), lambda match: f"{match[1]} sharp"),
    (re.compile(r"\b([CG])\+\+(?!\w)"), lambda match: f"{match[1]} plus plus"),
    (re.compile(r"(?<!\w)#(?=[^\W\d_])"), lambda _: "hashtag "),
    (re.compile(r"<=|=<"), lambda _: " at most "),
    (re.compile(r">="), lambda _: " at least "),
    (re.compile(r"[=-]{1,2}>"), lambda _: " to "),
    (re.compile(r"(?<=\s)<(?=\s)"), lambda _: "less than"),
    (re.compile(r"(?<=\s)>(?=\s)"), lambda _: "greater than"),
    (re.compile(r"(?<=\S)\s?/\s?(?=(?:second|minute|hour|day|week|month|year|person|night)\b)"), lambda _: " per "),
    (re.compile(r"\b([^\W\d_]{1,30})/([^\W\d_]{1,30})\b(?!/)"), _slash),
    (re.compile(f"[{re.escape(''.join(_NAMES))}]"), _name),
)
"""They run last. Figures that were in a sum have been read already."""
