"""English numbers in words, as Americans say them: cardinals, ordinals, decimals, digits, years."""

from __future__ import annotations

from typing import Final

CARDINAL_DIGITS_MAX: Final = 15  # longer figures are read digit by digit

_SMALL: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES: Final = ("", " thousand", " million", " billion", " trillion")
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """`number` in words: 0 to 10^15 - 1.

    Raises:
        ValueError: the number is out of that range.
    """
    if not 0 <= number < 10**CARDINAL_DIGITS_MAX:
        raise ValueError(f"{number} is not between 0 and 10^{CARDINAL_DIGITS_MAX}")
    if number < 1000:
        return _below_thousand(number)
    groups: list[str] = []
    for scale in _SCALES:
        number, group = divmod(number, 1000)
        if group:
            groups.append(_below_thousand(group) + scale)
    return " ".join(reversed(groups))


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(_TENS[tens] + (f"-{_SMALL[ones]}" if ones else ""))
    elif rest or not hundreds:
        words.append(_SMALL[rest])
    return " ".join(words)


def ordinal(number: int) -> str:
    """`number` as an ordinal: "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:cut] + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def plural(words: str) -> str:
    """The plural of a number in words: "nineties", "hundreds"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def digits(figure: str) -> str:
    """Each ASCII digit of `figure` by its name: "zero zero seven"."""
    return " ".join(_SMALL[int(char)] for char in figure if "0" <= char <= "9")


def number(figure: str) -> str:
    """A figure as it is written ("1,200", "3.14", "007", ".5") in words."""
    whole, point, decimals = figure.replace(",", "").partition(".")
    if len(whole) > CARDINAL_DIGITS_MAX or (len(whole) > 1 and whole[0] == "0"):
        words = digits(whole)
    else:
        words = cardinal(int(whole)) if whole else ""
    if point and decimals:
        words = f"{words} point {digits(decimals)}".strip()
    return words


def year(number: int) -> str:
    """A year from 1 to 9999: "nineteen oh five", "two thousand one", "twenty twenty-four"."""
    century, rest = divmod(number, 100)
    if number < 1000 or number % 1000 < 10:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {two_digits(rest)}"


def two_digits(number: int) -> str:
    """Minutes, or the last two digits of a year: "oh five", "thirty"."""
    return f"oh {_SMALL[number]}" if number < 10 else cardinal(number)


def is_one(figure: str) -> bool:
    """Whether a figure takes the singular."""
    return figure == "1"
