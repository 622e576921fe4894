"""Written text as people say it: what is sent to the voice, and which written characters each word stands for.

English is written out here (figures, dates, money, units, abbreviations, addresses, symbols), since the
phonemizer reads years as quantities and ends a sentence at every "Dr." Other languages are only freed of
markup and emoji; espeak-ng reads their figures and their symbols itself.
"""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.dialogue.markdown import plain
from edge_agent.dialogue.spoken_abbreviations import ABBREVIATION_RULES
from edge_agent.dialogue.spoken_addresses import ADDRESS_RULES
from edge_agent.dialogue.spoken_dates import DATE_RULES, MONTH_RULES, YEAR_RULES
from edge_agent.dialogue.spoken_figures import FIGURE_RULES, PHONE_RULES, PLAIN_RULES
from edge_agent.dialogue.spoken_quantities import QUANTITY_RULES
from edge_agent.dialogue.spoken_symbols import SYMBOL_RULES
from edge_agent.dialogue.traced_text import Rule, TracedText

_FIGURE = re.compile(r"[0-9¼-¾⅐-⅞]")
_GROUPS: Final[tuple[tuple[re.Pattern[str], tuple[Rule, ...]], ...]] = (
    (re.compile(r"[./@0-9]"), ADDRESS_RULES),
    (_FIGURE, DATE_RULES),
    (re.compile(r"[bcgnprtv]\."), MONTH_RULES),
    (_FIGURE, PHONE_RULES),
    (_FIGURE, QUANTITY_RULES),
    (re.compile(r"[./A-Z]|\b(?:vs|etc)\b"), ABBREVIATION_RULES),
    (_FIGURE, YEAR_RULES),
    (_FIGURE, FIGURE_RULES),
    (_FIGURE, PLAIN_RULES),
    (re.compile(r"[^A-Za-z0-9\s.,'?!-]"), SYMBOL_RULES),
)
"""In this order, each where its pattern is found: most clauses have no figure, and the first one is waited for."""
_SAME: Final = {
    **{ord(char): "'" for char in "‘’ʼ′"},
    **{ord(char): '"' for char in "“”„‟″«»‹›"},
    **{
        ord(char): " "
        for char in "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    },
    **{ord(char): "-" for char in "\u2010\u2011"},
}
_MARKS: Final = ".,;:!?"
_READ_ELSEWHERE: Final = frozenset("&%+=@°§")  # symbols which the phonemizer reads in the language of the voice


def _opening(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1 : match.start()]
    return ", " if before.isalnum() else " "


def _closing(match: re.Match[str]) -> str:
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 2]
    if after[:1].isalnum():
        return " "
    return "," if before.isalnum() and after[:1].isspace() and after[1:].isalnum() else ""


def _ellipsis(match: re.Match[str]) -> str:
    after = match.string[match.end() : match.end() + 2].strip()
    if after[:1] in _MARKS and after:
        return ""
    return "," if after else "."


def _strongest(match: re.Match[str]) -> str:
    """One mark for several: the phonemizer makes a pause of each."""
    marks = match[0].replace(" ", "")
    for mark in "?!":
        if mark in marks:
            return mark
    return "," if marks.endswith(",") else "." if "." in marks else marks[0]


_PROSODY_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"\(s\)"), lambda _: "s"),
    (re.compile(r"[\[\]{}<>|\\^_*~`#¶†‡®™•‣▪●◦■□▲►→←↑↓↔⇒⇐]+"), lambda _: " "),
    (re.compile('["「」『』《》〈〉【】]+'), lambda _: ""),
    (re.compile(r"(?<!\w)'(?!(?:em|tis|twas|cause|til|bout|n)\b)|(?<=[^\W_s])'(?!\w)|(?<=[.,!?])'"), lambda _: ""),
    (re.compile(r"\s{1,9}[(（]\s?|[(（]"), _opening),
    (re.compile(r"[)）]"), _closing),
    (re.compile(r"(?:…|\.{2,})+"), _ellipsis),
    (re.compile(r"\s?(?:—|--+|(?<=\s)[–-](?=\s))\s?"), lambda _: ", "),
    (re.compile(r"(?<=\w)–(?=\w)"), lambda _: " "),
    (re.compile(r"\s+"), lambda _: " "),
    (re.compile(r"\s?[.,;:!?](?:\s?[.,;:!?])+"), _strongest),
    (re.compile(r"\s([.,;:!?])(?=\s|\Z)"), lambda match: match[1]),
    (re.compile(r"(?<!\S)[.,;:!?]+(?=[^\s0-9])"), lambda _: ""),
    (re.compile(r"[，。！？、；：](?=\S)"), lambda match: match[0] + " "),
)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word as it is sent to the voice.

    Attributes:
        spoken: the word, with the punctuation after it that shapes the prosody.
        end: index in the original text just after what this word stands for; all words of "three dollars and
            fifty cents" have the end of "$3.50". It never decreases from one word to the next.
    """

    spoken: str
    end: int


def spoken_words(text: str, language: str = "en") -> list[SpokenWord]:
    """The words to be spoken for `text`, in order; empty when there is nothing to say, as for "**" or an emoji.

    Args:
        text: a clause as the language model wrote it; any string will do.
        language: code such as "en" or "de-DE".
    """
    traced = plain(text).translate(_SAME)
    if language.lower().split("-")[0].split("_")[0] in ("", "en"):
        for needed, rules in _GROUPS:
            if needed.search(traced.text):
                traced = traced.apply(rules)
    traced = traced.apply(_PROSODY_RULES)
    return [
        SpokenWord(match[0], _end(text, traced, match))
        for match in re.finditer(r"\S+", traced.text)
        if any(_is_said(char) for char in match[0])
    ]


def spoken(text: str, language: str = "en") -> str:
    """`text` as it is sent to the voice: the words of `spoken_words`, joined."""
    return " ".join(word.spoken for word in spoken_words(text, language))


def _is_said(char: str) -> bool:
    return char.isalnum() or char in _READ_ELSEWHERE or char in "$€£¥₹"


def _end(text: str, traced: TracedText, match: re.Match[str]) -> int:
    """The end of the word in the original, with the marks that directly follow it there."""
    last = max(index for index in range(match.start(), match.end()) if _is_said(traced.text[index]))
    end = traced.ends[last]
    for char in text[end : traced.ends[match.end() - 1]]:
        if char.isspace() or char in "([{（—":
            break
        end += 1
    return end
