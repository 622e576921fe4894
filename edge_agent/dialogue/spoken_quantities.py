"""English amounts in words: money, measures, percentages."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.spoken_numbers import cardinal, is_one, number
from edge_agent.dialogue.traced_text import Rule

FIGURE: Final = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}|[0-9]{1,18})(?:\.[0-9]{1,12})?|\.[0-9]{1,12}"
"""A figure as it is written, up to the length that anybody says."""

_FREE = r"(?<!\w)(?<![0-9][.,])"
_DASH = r"\s?[-–]\s?"

_CURRENCIES: Final = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("British pound", "British pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "", ""),
    "INR": ("rupee", "rupees", "paisa", "paise"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AUD": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "CNY": ("yuan", "yuan", "", ""),
}
_ISSUERS: Final = {"US": "US ", "C": "Canadian ", "CA": "Canadian ", "A": "Australian ", "AU": "Australian ", "": ""}
_SCALES: Final = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
_SCALE = r"(?:\s?(hundred|thousand|million|billion|trillion|bn|mn)\b|([kKmMbBT])\b)?"
_SIGN = r"[$€£¥₹₩₽₿]"
_CODE = r"(?:USD|EUR|GBP|JPY|INR|CHF|CAD|AUD|CNY)\b"
_PERIODS: Final = {
    "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "wk": "week",
    "mo": "month", "yr": "year", "pp": "person",
}  # fmt: skip
_PER = (
    r"(?:\s?/\s?(second|sec|minute|min|hour|hr|day|week|wk|month|mo|year|yr|person|night|user|item|piece|token|page|mile|"
    r"gallon|pound|kg|lb|oz|km|m²|m³|cm³|mL|ml|L|l|s²|[shd])(?!\w))?"
)

_UNITS: Final = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer", "µm": "micrometer", "m": "meter",
    "mi": "mile", "yd": "yard", "ft": "foot|feet", "sq ft": "square foot|square feet",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "ft²": "square foot|square feet",
    "m³": "cubic meter", "cm³": "cubic centimeter", "km^2": "square kilometer", "m^2": "square meter",
    "kg": "kilogram", "mg": "milligram", "µg": "microgram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "L": "liter", "l": "liter", "mL": "milliliter", "ml": "milliliter", "cl": "centiliter", "dl": "deciliter",
    "tsp": "teaspoon", "tbsp": "tablespoon", "gal": "gallon",
    "B": "byte", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte", "TiB": "tebibyte",
    "kbps": "kilobit per second|kilobits per second", "Mbps": "megabit per second|megabits per second",
    "Gbps": "gigabit per second|gigabits per second",
    "ns": "nanosecond", "µs": "microsecond", "ms": "millisecond", "s": "second", "sec": "second", "secs": "second",
    "min": "minute", "mins": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "yr": "year", "yrs": "year",
    "Hz": "hertz|hertz", "kHz": "kilohertz|kilohertz", "MHz": "megahertz|megahertz", "GHz": "gigahertz|gigahertz",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "Wh": "watt hour", "kWh": "kilowatt hour",
    "MWh": "megawatt hour", "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "mAh": "milliamp hour",
    "J": "joule", "kJ": "kilojoule", "kcal": "kilocalorie", "cal": "calorie", "Pa": "pascal", "hPa": "hectopascal",
    "kPa": "kilopascal", "dB": "decibel", "psi": "P S I|P S I", "rpm": "R P M|R P M", "fps": "F P S|F P S",
    "dpi": "D P I|D P I", "px": "pixel", "mph": "mile per hour|miles per hour",
    "kph": "kilometer per hour|kilometers per hour", "kmh": "kilometer per hour|kilometers per hour",
    "mpg": "mile per gallon|miles per gallon",
    "°C": "degree Celsius|degrees Celsius", "°F": "degree Fahrenheit|degrees Fahrenheit", "°": "degree",
    "ºC": "degree Celsius|degrees Celsius", "ºF": "degree Fahrenheit|degrees Fahrenheit",
    "%": "percent|percent", "‰": "per mille|per mille", "¢": "cent", "Ω": "ohm", "kΩ": "kilohm",
}  # fmt: skip
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))


def _unit(symbol: str, singular: bool) -> str:
    one, _, many = _UNITS[symbol.replace("μ", "µ")].partition("|")
    return one if singular else many or f"{one}s"


def _per(word: str | None) -> str:
    if not word:
        return ""
    if word == "s²":
        return " per second squared"
    return " per " + _PERIODS.get(word, _unit(word, singular=True) if word in _UNITS else word)


def _stands_before_noun(match: re.Match[str]) -> bool:
    """Whether it is "a 5 km run", which takes the singular, and not "5 km"."""
    before = re.search(
        r"(?i)\b(?:a|an|another|every|each|the)\s$", match.string[max(0, match.start() - 9) : match.start()]
    )
    return before is not None and re.match(r"\s[a-z]{3}", match.string[match.end() :][:4]) is not None


def _span(first: str, last: str | None) -> str:
    return f"{number(first)} to {number(last)}" if last else number(first)


def _money(figure: str, last: str | None, scale: str, currency: str, issuer: str, singular: bool) -> str:
    one, many, small, smalls = _CURRENCIES[currency]
    whole, _, decimals = figure.replace(",", "").partition(".")
    if last or scale or len(decimals) != 2 or not small:
        # "$5" and "$5 million" and "$3.999": the figure, then the name
        name = one if singular or (is_one(figure) and not scale and not last) else many
        return " ".join(filter(None, (_span(figure, last), scale, issuer + name)))
    parts: list[str] = []
    if whole.strip("0"):
        parts.append(f"{number(whole)} {issuer}{one if singular or is_one(whole) else many}")
    if int(decimals) or not parts:
        parts.append(f"{cardinal(int(decimals))} {small if int(decimals) == 1 else smalls}")
    return " and ".join(parts)


def _sign_first(match: re.Match[str]) -> str:
    minus, issuer, sign, figure, last, word, letter, per = match.groups()
    scale = word or letter or ""
    scale = _SCALES.get(scale.lower(), scale)
    said = _money(figure, last, scale, sign.strip(), _ISSUERS[issuer or ""], _stands_before_noun(match))
    return ("minus " if minus else "") + said + _per(per)


def _sign_last(match: re.Match[str]) -> str:
    figure, last, word, letter, sign, per = match.groups()
    scale = word or letter or ""
    return _money(figure, last, _SCALES.get(scale.lower(), scale), sign, "", _stands_before_noun(match)) + _per(per)


def _measure(match: re.Match[str]) -> str:
    minus, figure, last, scale, hyphen, symbol, per = match.groups()
    singular = _stands_before_noun(match) or hyphen == "-" or (is_one(figure) and not last and not scale)
    amount = _span(figure, last) + (f" {scale}" if scale else "")
    said = f"{amount} {_unit(symbol, singular)}{_per(per)}"
    return f"minus {said}" if minus else said


def _feet_and_inches(match: re.Match[str]) -> str:
    return f"{cardinal(int(match[1]))} foot {cardinal(int(match[2]))}"


QUANTITY_RULES: Final[tuple[Rule, ...]] = (
    (
        re.compile(
            rf"(?<![\w$€£¥])(-)?(US|CA?|AU?)?({_SIGN}|{_CODE}\s?)\s?({FIGURE})(?:{_DASH}{_SIGN}?({FIGURE}))?{_SCALE}{_PER}"
        ),
        _sign_first,
    ),
    (re.compile(rf"{_FREE}({FIGURE})(?:{_DASH}({FIGURE}))?{_SCALE}\s?({_SIGN}|{_CODE}){_PER}"), _sign_last),
    (re.compile(r"(?<![\w'])([1-9])(?:'|\s?ft)\s?(1[01]|[0-9])(?:\"|''|\s?in\b)"), _feet_and_inches),
    (
        re.compile(
            rf"(?<![\w)])(?<![0-9][.,])([-+](?=[0-9.]))?({FIGURE})(?:{_DASH}({FIGURE}))?(?:\s(hundred|thousand|million|billion))?"
            rf"(\s|-|)({_UNIT})(?![\w²³^'])(?!-[0-9])(?:\.(?=\s[a-z])(?<=[a-z]\.))?{_PER}"
        ),
        _measure,
    ),
)
"""Money first: "5 m" is five meters, "$5 m" is not."""
