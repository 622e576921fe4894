"""English abbreviations, initials and Roman numerals written out."""

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.clause_words import STARTERS
from edge_agent.dialogue.spoken_numbers import cardinal, ordinal
from edge_agent.dialogue.traced_text import Rule

LETTER_A: Final = "eh"
"""How the letter is sent to the voice where espeak-ng would take it for the article."""

_TITLES: Final = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Rev": "Reverend", "Capt": "Captain",
    "Lt": "Lieutenant", "Sgt": "Sergeant", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative",
    "Gen": "General", "Col": "Colonel", "Cmdr": "Commander", "Adm": "Admiral", "Pres": "President",
    "Hon": "Honorable", "Mt": "Mount", "Ft": "Fort", "Messrs": "Messieurs",
}  # fmt: skip
_WORDS: Final = {
    "e.g.": "for example", "eg.": "for example", "i.e.": "that is", "ie.": "that is", "etc.": "et cetera",
    "etc": "et cetera", "vs.": "versus", "vs": "versus", "approx.": "approximately", "a.k.a.": "also known as",
    "w/": "with", "w/o": "without", "b/c": "because", "dept.": "department", "avg.": "average", "max.": "maximum",
    "min.": "minimum", "incl.": "including", "excl.": "excluding", "misc.": "miscellaneous",
    "govt.": "government", "inc.": "incorporated", "ltd.": "limited", "corp.": "corporation", "co.": "company",
    "bros.": "brothers", "jr.": "junior", "sr.": "senior", "ave.": "avenue", "blvd.": "boulevard", "rd.": "road",
    "apt.": "apartment", "tel.": "telephone", "ext.": "extension", "et al.": "and others", "cf.": "compare",
    "viz.": "namely",
}  # fmt: skip
_BEFORE_FIGURE: Final = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "vol": "volume", "fig": "figure", "figs": "figures",
    "ch": "chapter", "sec": "section", "eq": "equation", "art": "article", "ca": "circa", "c": "circa",
}  # fmt: skip
_JOINED: Final = {"US": "US", "UK": "UK", "USA": "USA", "DC": "DC", "BC": "BC", "EU": "EU", "UN": "UN", "PHD": "PhD"}
_MONARCHS = (
    "Henry|Louis|Edward|George|William|Richard|Charles|James|John|Elizabeth|Mary|Philip|Philippe|Catherine|Pius|"
    "Benedict|John Paul|Leo|Gregory|Urban|Clement|Innocent|Paul|Napoleon|Alexander|Nicholas|Peter|Frederick|Wilhelm|"
    "Ferdinand|Francis|Ivan|Ramses|Ramesses|Ptolemy|Cleopatra|Christian|Harald|Leopold|Albert|Alfonso|Pedro|Carlos|Gustav|Otto|"
    "Robert|Stephen|Umberto|Victor Emmanuel|Darius|Xerxes|Thutmose|Amenhotep|Isabella|Margaret"
)
_NUMBERED = (
    "World War|Chapter|Part|Act|Scene|Book|Volume|Section|Article|Phase|Type|Stage|Class|Level|Appendix|Super Bowl|"
    "Vatican|Episode|Tier|Grade|Final Fantasy|Civilization"
)
_ROMAN = r"((?=[IVXL])L?X{0,3}(?:IX|IV|V?I{0,3}))(?![\w.'-]\w|\w)"
_ROMAN_VALUES: Final = {"I": 1, "V": 5, "X": 10, "L": 50}
_REIGN = re.compile(r"\s(?:was|of|ruled|reigned|became|died|who|whose|had)\b|[.,;:!?)]|\s?\Z")


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether the full stop that the match ends with is that of the sentence as well."""
    rest = match.string[match.end() :].lstrip("\"')*_]")
    word = re.match(r"\s+([A-Z]\w{0,15})", rest)
    return not rest.strip() or (word is not None and word[1].lower() in STARTERS)


def _title(match: re.Match[str]) -> str:
    return _TITLES[match[1]]


def _doctor(match: re.Match[str]) -> str:
    named = re.search(r"\w,?\s[A-Z]\w{1,30}\s$", match.string[max(0, match.start() - 36) : match.start()])
    if named is None or (re.match(r"\s+[A-Z]", match.string[match.end() :]) and not ends_sentence(match)):
        return "Doctor"
    return "Drive." if match[0][-1] == "." and ends_sentence(match) else "Drive"


def _saint(match: re.Match[str]) -> str | None:
    ends = ends_sentence(match)
    if not ends and re.match(r"\s+[A-Z]", match.string[match.end() :]):
        return "Saint"
    if match[0][-1] != ".":
        return None
    return "Street." if ends else "Street"


def _word(match: re.Match[str]) -> str | None:
    if match[0] in ("Max.", "Min.") and not re.match(r"\s?[0-9]", match.string[match.end() :][:2]):
        return None  # a name
    said = _WORDS[match[0].lower()]
    if match[0][0].isupper():
        said = said[0].upper() + said[1:]
    return said + ("." if match[0][-1] == "." and ends_sentence(match) else "")


def _before_figure(match: re.Match[str]) -> str:
    said = _BEFORE_FIGURE[match[1].lower()]
    return (said[0].upper() + said[1:] if match[1][0].isupper() else said) + " "


def _dotted(match: re.Match[str]) -> str:
    letters = match[0].replace(".", "").upper()
    said = _JOINED.get(letters)
    if said is None:
        said = letters if letters in ("AM", "PM") else ".".join(letters)  # "A.D" is spelled, "AD" is not
    return said + ("." if match[0][-1] == "." and ends_sentence(match) else "")


def _initials(match: re.Match[str]) -> str | None:
    if re.match(r"\s+(\w+)", match.string[match.end() :][:20]) and ends_sentence(match):
        return None
    letters = re.findall(r"[A-Z]", match[0])
    return ".".join(letters) if len(letters) > 1 else letters[0].replace("A", LETTER_A)


def _roman_value(numeral: str) -> int:
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _monarch(match: re.Match[str]) -> str | None:
    if match[2] == "I" and not _REIGN.match(match.string, match.end()):
        return None  # "I met James. Elizabeth I know well."
    return f"{match[1]} the {ordinal(_roman_value(match[2]))}"


def _numbered(match: re.Match[str]) -> str | None:
    if match[1] not in ("World War", "Super Bowl"):
        if match[2] in ("L", "X") and match[1] != "Chapter":
            return None  # "Type X" is a letter
        if match[2] == "I" and not _REIGN.match(match.string, match.end()):
            return None
    return f"{match[1]} {cardinal(_roman_value(match[2]))}"


_EXPANDED = "|".join(re.escape(word) for word in sorted(_WORDS, key=len, reverse=True))

ABBREVIATION_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"\b(Mr|Mrs|Ms|Prof|Messrs)\b\.?(?=\s+[A-Z])"), _title),
    (re.compile(rf"\b({'|'.join(_TITLES)})\.(?=\s+[A-Z])"), _title),
    (re.compile(r"\bDr\b\.?"), _doctor),
    (re.compile(r"\bSt\b\.?"), _saint),
    (re.compile(r"(?i)(?<![\w.])([cp]|nos?|pp|vol|figs?|ch|sec|eq|art|ca)\.\s?(?=[0-9])"), _before_figure),
    (re.compile(r"(?i)(?<![\w./-])(?:p\.h\.d\.|ph\.d\.?)(?!\w)"), lambda m: "PhD" + ("." if ends_sentence(m) else "")),
    (re.compile(rf"(?i)(?<![\w./-])(?:{_EXPANDED})(?!\w)|(?i:\b(?:vs|etc)\b)(?!\.)"), _word),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]\.){2,8}(?:[A-Za-z](?!\w))?"), _dotted),
    (
        re.compile(r"(?i:(?<=\bvitamin )|(?<=\bhepatitis )|(?<=\bgrade )|(?<=\bplan )|(?<=\btype ))A\b"),
        lambda _: LETTER_A,
    ),
    (re.compile(r"\bAD\b(?=\s[0-9])|(?<=[0-9]\s)AD\b"), lambda _: "A.D"),
    (re.compile(r"\b(I{2,3})(?=\s(?:War|Corinthians|Samuel|Kings)\b)"), lambda m: cardinal(len(m[1]))),
    (re.compile(rf"\b({_MONARCHS}) {_ROMAN}"), _monarch),
    (re.compile(rf"\b({_NUMBERED}) {_ROMAN}"), _numbered),
    (re.compile(r"(?<![\w.])[A-Z]\.(?:\s[A-Z]\.){0,3}(?=\s[A-Z][a-z])"), _initials),
)
"""They run before the rules for figures, for "No. 5", and after those for quantities, for "5 min."."""
