"""English figures that carry no unit: ordinals, fractions, ranges, telephone numbers, sums, plain numbers."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.spoken_numbers import cardinal, digits, number, ordinal, plural
from edge_agent.dialogue.spoken_quantities import FIGURE
from edge_agent.dialogue.traced_text import Rule

DIGITS_MIN: Final = 10  # a longer figure without commas is an identifier, not a quantity
PHONE_RANGE_STEP: Final = 100  # "300-1500" is a range, "555-1234" is a telephone number

_FREE = r"(?<!\w)(?<![0-9][.,])"
_CLOSED = r"(?!\w)(?![.,][0-9])"
_SPECIAL_FRACTIONS: Final = {"24/7": "twenty-four seven", "9/11": "nine eleven", "50/50": "fifty fifty"}
_GLYPHS: Final = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_OPERATORS: Final = {
    "+": "plus", "-": "minus", "−": "minus", "–": "minus", "*": "times", "×": "times", "x": "times",
    "/": "divided by", "÷": "divided by", "=": "equals", "^": "to the power of", "<": "is less than",
    ">": "is greater than", "<=": "is at most", ">=": "is at least", "≤": "is at most", "≥": "is at least",
    "≠": "is not equal to", "≈": "is about", "==": "equals", "!=": "is not equal to", "±": "plus or minus",
    "→": "to", "->": "to",
}  # fmt: skip


def _grouped_digits(match: re.Match[str]) -> str:
    plus = "plus " if match[0].lstrip("(").startswith("+") else ""
    return plus + ", ".join(digits(group) for group in re.findall(r"[0-9]+", match[0]))


def _local_phone(match: re.Match[str]) -> str | None:
    return None if int(match[2]) % PHONE_RANGE_STEP == 0 else f"{digits(match[1])}, {digits(match[2])}"


def _emergency(match: re.Match[str]) -> str:
    return match[1] + digits(match[2])


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(int(match[1].replace(",", "")))


def _fraction(match: re.Match[str]) -> str | None:
    whole, top, bottom = match[1], int(match[2]), int(match[3])
    if match[0] in _SPECIAL_FRACTIONS:
        return _SPECIAL_FRACTIONS[match[0]]
    if bottom == 0 or top == 0 or (whole and top >= bottom):
        return None
    if bottom == 10:
        said = f"{cardinal(top)} out of ten"
    elif top >= bottom or bottom > 100 or (bottom > 10 and bottom not in (12, 16, 20, 32, 64, 100)):
        said = f"{cardinal(top)} over {cardinal(bottom)}"
    else:
        name = {2: "half", 4: "quarter"}.get(bottom) or ordinal(bottom)
        many = "halves" if bottom == 2 else plural(name) if not name.endswith("y") else name
        said = f"{cardinal(top)} {name if top == 1 else many}"
    if not whole:
        return said
    return f"{cardinal(int(whole))} and {said.replace('one ', 'a ', 1) if top == 1 else said}"


def _glyph(match: re.Match[str]) -> str:
    return f"{match[1]} {_GLYPHS[match[2]]}" if match[1] else _GLYPHS[match[2]]


def _range(match: re.Match[str]) -> str | None:
    return f"{number(match[1])} to {number(match[2])}"


def _sum(match: re.Match[str]) -> str:
    return f" {_OPERATORS[match[1]]} "


def _signed(match: re.Match[str]) -> str:
    return f"minus {number(match[1])}"


def _times(match: re.Match[str]) -> str:
    return f"{number(match[1])} times"


def _by(match: re.Match[str]) -> str:
    return f"{number(match[1])} by {number(match[2])}"


def _numbering(match: re.Match[str]) -> str:
    return f"{cardinal(int(match[1]))}, "


def _plain(match: re.Match[str]) -> str:
    figure = match[0]
    return digits(figure) if figure.isdigit() and len(figure) >= DIGITS_MIN else number(figure)


def _long(match: re.Match[str]) -> str:
    return digits(match[0])


PHONE_RULES: Final[tuple[Rule, ...]] = (
    (
        re.compile(
            r"(?<![\w.-])(?:\+[0-9]{1,3}[ .-]?)?(?:[0-9][ .-])?\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}(?![\w-])"
        ),
        _grouped_digits,
    ),
    (re.compile(r"(?<![\w.])\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}(?!\w)"), _grouped_digits),
    (re.compile(r"(?<![\w-])[0-9]{4}(?:[ -][0-9]{4}){2,4}(?![\w-])"), _grouped_digits),
    (re.compile(r"(?<![\w.,-])([0-9]{3})-([0-9]{4})(?![\w-])(?![.,][0-9])"), _local_phone),
    (re.compile(r"(?<![\w.,-])[0-9]{1,8}(?:-[0-9]{1,8}){2,7}(?![\w-])"), _grouped_digits),
    (re.compile(r"\b((?:[Cc]all|[Dd]ial|[Cc]alling|[Dd]ialing|[Tt]ext)\s)([0-9]{3})\b(?!-)"), _emergency),
)
"""Telephone and card numbers: digit by digit, with a breath between the groups."""

FIGURE_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?<!\w)#\s?(?=[0-9])"), lambda _: "number "),
    (re.compile(r"(?:\A\s{0,9}|(?<=[.:;!?]\s))([0-9]{1,3})[.)]\s(?=\S)"), _numbering),
    (re.compile(r"(?<!\w)([0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:st|nd|rd|th)\b"), _ordinal),
    (re.compile(rf"([0-9])?([{''.join(_GLYPHS)}])"), _glyph),
    (re.compile(r"(?<![\w/.,])(?:([0-9]{1,3})[ -])?([0-9]{1,3})[/⁄]([0-9]{1,3})(?![\w/])(?![.,][0-9])"), _fraction),
    (re.compile(rf"{_FREE}({FIGURE})[x×]({FIGURE})(?!\w)"), _by),
    (re.compile(r"(?<![\w.,])([0-9]{1,4}(?:\.[0-9]{1,3})?)[x×](?!\w)"), _times),
    (re.compile(r"(?<=[0-9)])\s?(==|!=|<=|>=|->|[+*×÷=^<>≤≥≠≈±→])\s?(?=[-−(]?[0-9.(a-zA-Z])"), _sum),
    (re.compile(r"(?<=[0-9])\s([-−x/])\s(?=[-−(]?[0-9.])"), _sum),
    (re.compile(rf"(?<![\w.,-])({FIGURE})\s?[-–]\s?({FIGURE}){_CLOSED}(?!-[0-9])(?!\s?=)"), _range),
    (re.compile(r"(?<=[0-9])-(?=[0-9.]{1,18}\s?(?:=|equals))"), lambda _: " minus "),
    (re.compile(r"(?<![\w])[~≈]\s?(?=[0-9$€£.])"), lambda _: "about "),
    (re.compile(rf"(?<![\w)'\"-])[-−]({FIGURE}){_CLOSED}"), _signed),
)
"""Everything that is more than one number. They run after the bare years."""

PLAIN_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(rf"{_FREE}(?:{FIGURE}){_CLOSED}"), _plain),
    (re.compile(r"(?<![^\W\d_])[0-9]{19,}(?![^\W\d_])"), _long),
)
"""What is left. A figure in a name ("MP3", "4K") stays: the phonemizer spells the name and reads the figure."""
