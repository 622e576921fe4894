"""What the checker of answers needs to know about language: plain text, numbers in words, and what is not English."""

from __future__ import annotations

import re
import unicodedata

_SMALL = """
zero one two three four five six seven eight nine
ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS = {word: value for value, word in enumerate(_SMALL.split())}
_UNITS |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}

_ENGLISH_WORDS = """
the a an is are was were i you he she it we they my your his her its of to in on at for with and or but not
that this there what who how yes no hello called comes has have can do by from as so if when which than been be
"""
# Common little words of the languages that small models fall into; none is also an English one.
_FRENCH = "le la les une des du est et en dans pour que qui pas vous je nous avec sur ce cette c'est bonjour sont"
_SPANISH = "el los las un una unos es y de por para con que se del al lo su"
_PORTUGUESE = "os uma é não em com da dos das"
_GERMAN = "der das ein eine ist und nicht ich sie wir mit auf von zu den dem im sind"
_ITALIAN = "il gli uno di che non per sono è della del nel"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN = frozenset(" ".join((_FRENCH, _SPANISH, _PORTUGUESE, _GERMAN, _ITALIAN)).split())


def normalised(text: str) -> str:
    """Lower case, letters and digits only, single spaces: what phrases are matched against."""
    plain = re.sub(r"[^\w\s]|_", " ", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.split())


def numbers_in(text: str) -> frozenset[int]:
    """The whole numbers of a text, in digits or in English words up to 999; a lone "one" is a pronoun, not 1."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    words = normalised(re.sub(r"(?<=\d)\.(?=\d)", "point", text)).split()
    found: set[int] = set()
    at = 0
    while at < len(words):
        value, used = _number_at(words, at)
        if used:
            found.add(value)
        at += max(used, 1)
    return frozenset(found)


def is_foreign(text: str) -> bool:
    """Whether a reply is not in English: another script, or more of the little words of another language."""
    letters = [char for char in text if char.isalpha()]
    if letters and sum("LATIN" not in unicodedata.name(char, "") for char in letters) > 0.2 * len(letters):
        return True
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.casefold())
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    return foreign >= 2 and foreign > english


def _number_at(words: list[str], at: int) -> tuple[int, int]:
    """The number that starts at a word and how many words it takes; (0, 0) for none."""
    if words[at].isdecimal():
        return int(words[at]), 1
    following = words[at + 1] if at + 1 < len(words) else ""
    if words[at] == "hundred":
        return 100, 1
    value = _UNITS.get(words[at])
    if value is None:
        return 0, 0
    if following == "hundred":
        return 100 * value, 2
    if value >= 20 and 0 < _UNITS.get(following, 0) < 10:
        return value + _UNITS[following], 2
    return (0, 0) if words[at] == "one" else (value, 1)
