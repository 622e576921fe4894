"""The full stop: the end of a sentence, of an abbreviation, of an ordinal, or the middle of a web address."""

# ruff: noqa: RUF001  (typographic quotation marks are what it is about)

from __future__ import annotations

import re
import unicodedata
from typing import Final

from edge_agent.dialogue import clause_words as lexicon
from edge_agent.dialogue.clause_text import following, is_decorated, is_dense, token_before

PLAIN_LETTERS_MIN: Final = 4
NUMBERING_DIGITS_MAX: Final = 3
ORDINAL_DIGITS_MAX: Final = 2

_DOTTED: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


def is_plain_stop(text: str, at: int, *, words: int, english: bool) -> bool:
    """Whether the "." , "!" or "?" at `at` ends a sentence whatever character comes next.

    Args:
        text: the clause so far, and possibly more.
        at: where the stop is.
        words: how many words stand before it.
        english: whether the word lists apply.
    """
    head = text[:at]
    if is_decorated(head):
        return False
    token = token_before(text, at)
    if text[at] in "!?":
        return token.replace("'", "").replace("’", "").isalpha()
    if text[at] != ".":
        return False
    lower = token.lower()
    if lower in lexicon.OPENERS:
        return words == 1 and lower not in lexicon.AMBIGUOUS_OPENERS
    if not english or words == 1 or len(token) < PLAIN_LETTERS_MIN or not (token.isalpha() and token[1:].islower()):
        return False
    if _is_abbreviation(lower) or lower in lexicon.DOMAIN_STEMS or lower in lexicon.ELLIPSIS_WORDS:
        return False
    return lexicon.DOMAIN_HINTS.isdisjoint(head.lower().split())


def ends_sentence(text: str, at: int, end: int, *, english: bool, final: bool) -> bool | None:
    """Whether a single "." at `at`, followed by white space, ends a sentence. None: more text is needed to tell.

    Args:
        text: the clause so far, and what is known of what follows.
        at: where the full stop is.
        end: where the closing quotes and brackets after it end.
        english: whether the word lists apply to what follows.
        final: whether no more text will come.
    """
    token = token_before(text, at)
    lower = token.lower()
    quoted = end > at + 1
    doubtful = _is_abbreviation(lower) or len(token) < 2 or _DOTTED.fullmatch(token) or token.isdigit()
    if not doubtful and not quoted and _has_vowel(lower):
        return True
    word = following(text, end, final=final)
    if word is None or word == "\n":
        return None if word is None else True
    if lower in lexicon.TITLES:
        return False
    if lower in lexicon.NUMBERED:
        return not word[:1].isdigit()
    if token.isdigit():
        return not _is_numbering(token, text[: at - len(token)], english)
    starts = word[:1].isupper() and word.lower() in lexicon.STARTERS
    if len(token) == 1 and token.isalpha() and not is_dense(token):
        before = text[:at].split()[-2:-1]
        return starts or (lower == "i" and bool(before) and before[0].islower())
    if lower == "etc":
        return word[:1].isupper()
    if _DOTTED.fullmatch(token) or lower in lexicon.MAYBE_LAST:
        return starts
    # Left: an unknown abbreviation ("approxs. five"), or the narrator going on after a quotation.
    return not (word[:1].islower() and (quoted or not _has_vowel(lower)))


def _is_abbreviation(lower: str) -> bool:
    return lower in lexicon.TITLES or lower in lexicon.NUMBERED or lower in lexicon.MAYBE_LAST


def _is_numbering(figure: str, head: str, english: bool) -> bool:
    head = head.rstrip()
    if len(figure) <= NUMBERING_DIGITS_MAX and (head.endswith(":") or not any(map(str.isalnum, head))):
        return True  # "1. First do this"
    return not english and len(figure) <= ORDINAL_DIGITS_MAX  # "am 3. Mai"


def _has_vowel(word: str) -> bool:
    """Whether it can be said as a word; taken for granted outside the Latin alphabet."""
    return any(unicodedata.normalize("NFD", char)[0] in "aeiouy" or ord(char) > 0x24F for char in word)
