"""English dates, clock times, decades and years in words."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.clause_words import STARTERS
from edge_agent.dialogue.spoken_numbers import cardinal, ordinal, plural, two_digits, year
from edge_agent.dialogue.traced_text import Rule

YEAR_MIN: Final = 1100  # from here on four figures without a comma are read in pairs
YEAR_MAX: Final = 2099

_MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = (
    r"(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b"
)
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th)?"
_FREE = r"(?<![\w.,:/])(?<![0-9]-)"  # no figure, word or date goes on to the left
_CLOSED = r"(?![\w/:])(?![.,-][0-9])"  # nor to the right
_MERIDIEM = r"(?:\s?([aApP])(?:\.\s?[mM]\.|[mM]\b))"
_CLOCK = r"([0-9]{1,2})(?::([0-5][0-9]))?"
_COUNTED: Final = frozenset(["people", "children", "men", "women"])
_UNCOUNTED: Final = frozenset(
    [
        "is",
        "was",
        "has",
        "as",
        "does",
        "this",
        "its",
        "us",
        "plus",
        "minus",
        "times",
        "versus",
        "perhaps",
        "always",
        "across",
    ]
)


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _date(year_text: str, month_text: str, day_text: str) -> str | None:
    month, day = int(month_text), int(day_text)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    number = int(year_text)
    if len(year_text) == 2:
        number += 2000 if number < 70 else 1900
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(number)}" if number else None


def _iso_date(match: re.Match[str]) -> str | None:
    said = _date(match[1], match[3], match[4])
    return f"{said} at " if said and match[5] else said


def _slashed_date(match: re.Match[str]) -> str | None:
    return _date(match[3], match[1], match[2]) or _date(match[3], match[2], match[1])


def _dotted_date(match: re.Match[str]) -> str | None:
    return _date(match[3], match[2], match[1])


def _month_first(match: re.Match[str]) -> str | None:
    first, last = int(match[2]), int(match[3] or match[2])
    if not 1 <= first <= last <= 31:
        return None
    said = f"{_month(match[1])} {ordinal(first)}"
    if match[3]:
        said += f" to {ordinal(last)}"
    return f"{said}, {year(int(match[4]))}" if match[4] else said


def _day_first(match: re.Match[str]) -> str | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    said = f"{match[1] or 'the '}{ordinal(day)} of {_month(match[3])}"
    return f"{said}, {year(int(match[4]))}" if match[4] else said


def _month_alone(match: re.Match[str]) -> str:
    return _month(match[1])


def _clock(hour: int, minute: int | None, meridiem: str | None) -> str:
    if meridiem:
        said = cardinal(hour) + (f" {two_digits(minute)}" if minute else "")
        return f"{said} {meridiem.upper()}M"
    if not minute:
        if minute is None:
            return cardinal(hour)
        if hour in (0, 24):
            return "midnight"
        return f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"
    return f"{cardinal(hour)} {two_digits(minute)}"


def _full_stop(match: re.Match[str]) -> str:
    """The stop of "p.m." where it ends the sentence as well."""
    rest = match.string[match.end() :].lstrip("\"')”’]*_")
    if not match[0].endswith("."):
        return ""
    word = re.match(r"\s+([A-Z]\w{0,15})", rest)
    return "." if not rest.strip() or (word and word[1].lower() in STARTERS) else ""


def _time(match: re.Match[str]) -> str | None:
    hour, minute = int(match[1]), int(match[2]) if match[2] else None
    if hour > 24 or (minute is None and not match[4]) or (match[4] and not 1 <= hour <= 12):
        return None
    said = _clock(hour, minute, match[4])
    if match[3] and int(match[3]):
        said = f"{cardinal(hour)} {two_digits(minute or 0)} and {cardinal(int(match[3]))} seconds"
        said += f" {match[4].upper()}M" if match[4] else ""
    return said + (" UTC" if match[5] else "") + _full_stop(match)


def _time_span(match: re.Match[str]) -> str | None:
    if int(match[1]) > 24 or int(match[4]) > 24:
        return None
    if not (match[2] or match[5] or match[6]):
        return None
    first = _clock(int(match[1]), int(match[2]) if match[2] else None, match[3])
    last = _clock(int(match[4]), int(match[5]) if match[5] else None, match[6])
    return f"{first} to {last}" + _full_stop(match)


def _ratio(match: re.Match[str]) -> str:
    return f"{cardinal(int(match[1]))} to {cardinal(int(match[2]))}"


def _decade(match: re.Match[str]) -> str | None:
    number = int(match[2])
    if number >= 1000:
        return plural(year(number))
    said_before = re.search(
        r"(?i)(?:\b(?:the|early|late|mid|his|her|their|my|your|of)[\s-]{1,3})$", match.string[: match.start()][-12:]
    )
    return plural(cardinal(number)) if match[1] or said_before else None


def _short_year(match: re.Match[str]) -> str:
    return two_digits(int(match[1]))


def _is_counted(match: re.Match[str]) -> bool:
    """Whether the figure counts something, "1350 students", and is no year."""
    noun = re.match(r"\s([a-z]{2,20})\b", match.string[match.end() : match.end() + 24])
    if noun is None:
        return False
    return noun[1] in _COUNTED or (noun[1].endswith("s") and noun[1] not in _UNCOUNTED)


def _year_span(match: re.Match[str]) -> str | None:
    first, last = int(match[1]), int(match[2])
    if not YEAR_MIN <= first <= YEAR_MAX or _is_counted(match):
        return None
    if len(match[2]) == 2:
        return f"{year(first)} to {two_digits(last)}" if first % 100 < last else None
    return f"{year(first)} to {year(last)}" if first < last <= YEAR_MAX else None


def _year(match: re.Match[str]) -> str | None:
    number = int(match[1])
    if _is_counted(match):
        return None
    if number < YEAR_MIN and not re.search(
        r"(?i)\b(?:in|since|year|of|until|circa|A\.?D)\s$", match.string[: match.start()][-8:]
    ):
        return None
    return year(number)


DATE_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?<![\w-])([0-9]{4})([-/])([0-9]{1,2})\2([0-9]{1,2})(?:(T)(?=[0-9]{2}:)|(?![\w/-]))"), _iso_date),
    (re.compile(r"(?<![\w/])([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})(?![\w/])"), _slashed_date),
    (re.compile(r"(?<![\w.])([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?!\w|\.[0-9])"), _dotted_date),
    (
        re.compile(rf"\b{_MONTH}\.?\s{_DAY}(?:\s?[-–]\s?{_DAY})?(?:,?\s([0-9]{{4}})(?!\w|[.,][0-9]))?{_CLOSED}"),
        _month_first,
    ),
    (re.compile(rf"{_FREE}([Tt]he\s)?{_DAY}\s(?:of\s)?{_MONTH}\.?(?:,?\s([0-9]{{4}})(?!\w|[.,][0-9]))?"), _day_first),
    (re.compile(rf"\b{_MONTH}\.?(?=,?\s[0-9]{{4}}\b)"), _month_alone),
    (
        re.compile(rf"{_FREE}{_CLOCK}{_MERIDIEM}?\s?[-–]\s?{_CLOCK}{_MERIDIEM}?{_CLOSED}"),
        _time_span,
    ),
    (re.compile(rf"{_FREE}{_CLOCK}(?::([0-5][0-9]))?(?:{_MERIDIEM}|{_CLOSED}|(Z)\b)"), _time),
    (re.compile(r"(?<![\w.,:])([0-9]{1,4}):([0-9]{1,4})(?![\w:])(?![.,][0-9])"), _ratio),
    (re.compile(r"(?<![\w.,/])(')?((?:1[1-9]|20)[0-9]0|[1-9]0)'?s\b"), _decade),
    (re.compile(r"(?<!\S)'([0-9]{2})(?![\w'])"), _short_year),
)
"""Whatever has a month, a colon or an apostrophe in it. They run before the rules for quantities."""

MONTH_RULES: Final[tuple[Rule, ...]] = ((re.compile(r"\b(Jan|Feb|Apr|Aug|Sept|Oct|Nov|Dec)\.(?=\s?\S)"), _month_alone),)
"""The name of a month without a figure. They run after the dates."""

YEAR_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(rf"{_FREE}([12][0-9]{{3}})\s?[-–]\s?([12][0-9]{{3}}|[0-9]{{2}}){_CLOSED}"), _year_span),
    (
        re.compile(
            rf"{_FREE}(?<![=+*×÷^])(?<![=+*×÷^]\s)(1[0-9]{{3}}|20[0-9]{{2}}){_CLOSED}(?!\s?[=+*×÷^])(?!\s[-/x]\s)"
        ),
        _year,
    ),
)
"""Bare years. They run after the rules for quantities, which take "1500 km"."""
