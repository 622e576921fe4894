"""Cuts the token stream of a language model into clauses that can be spoken one by one.

What it is worth: the first clause decides how soon the answer is heard, each later clause must be synthesized
before the one in front of it has been played. The policy, in the order in which a place is judged:

1. The first clause ends at the first sentence end, or at a comma, semicolon, colon or dash after
   `FIRST_WORDS_MIN` words (`EAGER_FIRST_WORDS_MIN` on the ladder's rung). A word that people say alone
   ("Yes,", "Sure,") is enough by itself.
2. Without punctuation it ends before a word that opens a clause ("because", "which", "and it") after
   `Reach.clause` words, or before a preposition after `Reach.phrase` words; never after a word that leans on the
   next one (article, auxiliary, preposition), since a noun phrase in two halves sounds wrong. These rules are English;
   other languages are cut at punctuation, and after `Reach.any` words at a gap that follows a longer word.
3. Later clauses are sentences, or end at a comma after `LATER_WORDS_MIN` words. One without punctuation may be
   `GROWTH` times as long as the clause before it, so that it is ready when that has been played.
4. Nothing grows over `max_chars`: then the last gap between words is the cut, or the character itself.

A full stop is ambiguous until the next character is seen. The first clause does not wait for it after a plain word
("is Paris."), unless the words before it suggest a web address or a file name. Later clauses always wait,
which costs nothing: something is playing. What is left of an ellipsis after such a stop ("I waited...") opens the
next clause, where it is silent.

Every decision depends on the text alone and not on how it arrived in pieces, and a clause keeps its text to the
letter with the space before it, so joining the clauses gives back the reply (less its trailing space, and
less any run of white space over `LEADING_SPACE_MAX`). A clause may hold no word, such as "**" at the end of a
reply: whoever speaks it finds nothing to say.
"""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from edge_agent.dialogue import clause_words as lexicon
from edge_agent.dialogue.clause_text import (
    MORE,
    RUN_MAX,
    following,
    following_span,
    in_code_or_link,
    in_emphasis,
    is_decorated,
    is_dense,
    past_closers,
    token_before,
)
from edge_agent.dialogue.full_stops import ends_sentence, is_plain_stop

FIRST_WORDS_MIN: Final = 2
EAGER_FIRST_WORDS_MIN: Final = 1
LATER_WORDS_MIN: Final = 6
GROWTH: Final = 4  # synthesis and generation together take less than a quarter of the time that speaking takes
LATER_REACH_MIN: Final = 10  # words
LATER_REACH_MAX: Final = 30  # words
MAX_CHARS: Final = 200  # about 12 s of speech
FENCE_MAX_CHARS: Final = 4000  # a code block stays whole, since it is not read out
DENSE_WEIGHT: Final = 3  # one ideograph is spoken as long as three letters
DENSE_PER_WORD: Final = 2  # and two of them count as a word
LEADING_SPACE_MAX: Final = 16
NEUTRAL_WORD_MIN: Final = 4  # in an unknown language a gap after so long a word splits no article from its noun

_STOPS: Final = frozenset(".!?…")
_HARD_STOPS: Final = frozenset("。！？｡।॥؟۔።፧။។")  # they end a sentence whatever follows
_PAUSES: Final = frozenset(",;:")
_HARD_PAUSES: Final = frozenset("、，；：،؛፣—")
_SPACED_DASHES: Final = frozenset("-–")  # a dash only with a space on both sides
_DASHES: Final = _SPACED_DASHES | {"—"}
_FENCE: Final = re.compile("`{3,}")
_SCHEMES: Final = frozenset(("http", "https", "ftp", "mailto", "file", "ws", "wss"))
_ENTITY: Final = re.compile(r"&#?\w{1,10}$")
_WAIT: Final = -1
_NO: Final = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """After how many words an unpunctuated clause may be cut before a clause, before a phrase, and anywhere."""

    clause: int
    phrase: int
    any: int


FIRST_REACH: Final = Reach(clause=5, phrase=7, any=14)
EAGER_FIRST_REACH: Final = Reach(clause=3, phrase=5, any=9)


class ClauseSplitter:
    """Splits one reply; after `finish` it is as new.

    Args:
        language: code such as "en" or "de-DE"; anything but English uses the language-neutral rules.
        eager: allow a shorter first clause (the first rung of the latency ladder).
        first_words_min: words before a comma may end the first clause; None takes the constant for `eager`.
        max_chars: the longest clause, in characters (a code block may have `FENCE_MAX_CHARS`).

    Raises:
        ValueError: a limit is too small to hold a word.
    """

    def __init__(
        self,
        language: str = "en",
        *,
        eager: bool = False,
        first_words_min: int | None = None,
        max_chars: int = MAX_CHARS,
    ) -> None:
        if first_words_min is None:
            first_words_min = EAGER_FIRST_WORDS_MIN if eager else FIRST_WORDS_MIN
        if first_words_min < 1 or max_chars < 2 * LEADING_SPACE_MAX:
            raise ValueError(f"first_words_min must be at least 1 and max_chars at least {2 * LEADING_SPACE_MAX}")
        self._english = language.lower().split("-")[0].split("_")[0] in ("", "en")
        self._first_words_min = first_words_min
        self._first_reach = EAGER_FIRST_REACH if eager else FIRST_REACH
        self._max_chars = max_chars
        self._reset()

    def push(self, text: str) -> list[str]:
        """Takes a piece of the reply and returns the clauses that are complete now."""
        clauses: list[str] = []
        for start in range(0, len(text), self._max_chars):  # bounds the buffer, and the work of cutting it
            self._buffer += text[start : start + self._max_chars]
            clauses += self._cut(final=False)
        return clauses

    def finish(self) -> list[str]:
        """Ends the reply and returns what was still held back."""
        clauses = self._cut(final=True)
        if rest := self._buffer.rstrip():
            clauses.append(rest)
        self._reset()
        return clauses

    def _reset(self) -> None:
        self._buffer = ""
        self._first = True
        self._previous_words = 0
        self._fenced_before = False  # the clause begins inside a code block
        self._begin()

    def _begin(self) -> None:
        self._at = 0  # everything before it has been judged
        self._words = 0
        self._dense = 0
        self._weight = 0
        self._in_word = False
        self._fenced = self._fenced_before
        self._last_gap = 0

    def _cut(self, *, final: bool) -> list[str]:
        clauses: list[str] = []
        while (end := self._next_end(final)) > 0:
            clause = self._buffer[:end]
            if self._words:
                self._previous_words = self._words
                self._first = False
            self._fenced_before ^= len(_FENCE.findall(clause)) % 2 == 1
            self._buffer = self._buffer[end:]
            self._begin()
            clauses.append(clause)
        return clauses

    def _next_end(self, final: bool) -> int:
        while self._at < len(self._buffer):
            at = self._at
            if self._too_long(at):
                return self._forced_end(at)
            if self._weight == 0 and self._buffer[at].isspace():
                if at < LEADING_SPACE_MAX:
                    self._at += 1
                else:
                    self._buffer = self._buffer[:at] + self._buffer[at + 1 :]
                continue
            end = self._judge(at, final)
            if end == _WAIT:
                return _NO
            if 0 < end <= (FENCE_MAX_CHARS if self._fenced else self._max_chars):
                return end
            self._note(at)
            self._at += 1
        return _NO

    def _too_long(self, at: int) -> bool:
        if self._fenced:
            return at >= FENCE_MAX_CHARS
        return at >= self._max_chars or self._weight >= self._max_chars

    def _forced_end(self, at: int) -> int:
        if self._last_gap > at // 3:
            return self._last_gap
        space = self._buffer.rfind(" ", at // 3, at)
        if space > 0:
            return space
        end = at
        while end > at - RUN_MAX and _is_mark(self._buffer[end]):
            end -= 1
        return end

    def _note(self, at: int) -> None:
        char = self._buffer[at]
        if self._buffer[max(0, at - 3) : at + 1].endswith("```") and self._buffer[max(0, at - 3) : at + 1] != "````":
            self._fenced = not self._fenced
        dense = is_dense(char)
        self._weight += DENSE_WEIGHT if dense else 1
        if dense:
            self._dense += 1
            self._words += self._dense % DENSE_PER_WORD
        elif char.isspace():
            self._in_word = False
        elif char.isalnum() and not self._in_word:
            self._in_word = True
            self._words += 1

    def _judge(self, at: int, final: bool) -> int:
        """The end of a clause that is decided by the character at `at`: a position, `_NO`, or `_WAIT` for more text."""
        char = self._buffer[at]
        if self._fenced:
            closed = char == "`" and self._buffer[at - 2 : at] == "``" and "\n" in self._buffer[:at]
            return at + 1 if closed else _NO
        if self._words == 0:
            return _NO
        if char in "\r\n":
            return len(self._buffer[:at].rstrip())
        if char in _HARD_STOPS or char in _STOPS:
            return self._judge_stop(at, final)
        if char in _PAUSES or char in _HARD_PAUSES or (char in _SPACED_DASHES and self._buffer[at - 1].isspace()):
            return self._judge_pause(at, final)
        if char.isspace() and not self._buffer[at - 1].isspace():
            return self._judge_gap(at, final)
        return _NO

    # Sentence ends

    def _judge_stop(self, at: int, final: bool) -> int:
        buffer, char = self._buffer, self._buffer[at]
        if _is_stop(buffer[at - 1]) or in_code_or_link(buffer[:at]):
            return _NO  # judged with the first stop of the run
        if self._first:
            if char in _HARD_STOPS and not is_decorated(buffer[:at]):
                return at + 1
            if is_plain_stop(buffer, at, words=self._words, english=self._english):
                return at + 1
        end = at + 1
        while end < len(buffer) and end - at < RUN_MAX and _is_stop(buffer[end]):
            end += 1
        single = end == at + 1
        end = past_closers(buffer, end)
        if end == len(buffer):
            return end if final else _WAIT
        if char in _HARD_STOPS or unicodedata.category(buffer[end]) == "So":
            return end
        if not buffer[end].isspace():
            return _NO
        if char == "." and single:
            ends = ends_sentence(buffer, at, end, english=self._english, final=final)
            return _WAIT if ends is None else end if ends else _NO
        if char in "!?" and single:
            word = following(buffer, end, final=final)
            return _WAIT if word is None else _NO if word[:1].islower() else end
        return end

    # Commas, colons, dashes

    def _judge_pause(self, at: int, final: bool) -> int:
        buffer, char = self._buffer, self._buffer[at]
        if char == ";" and _ENTITY.search(buffer, max(0, at - 12), at):
            return _NO
        if not self._is_enough(at) or in_code_or_link(buffer[:at]) or in_emphasis(buffer[:at]):
            return _NO
        if self._first and self._is_plain_pause(at):
            return at + 1
        end = at + 1 if char in _DASHES else past_closers(buffer, at + 1)
        if end == len(buffer):
            return end if final else _WAIT
        if char not in _HARD_PAUSES and not buffer[end].isspace():
            return _NO
        if buffer[at - 1].isdigit():
            word = following(buffer, end, final=final)
            if word is None:
                return _WAIT
            if word[:1].isdigit():
                return _NO  # "March 5, 2024"
        return end

    def _is_enough(self, at: int) -> bool:
        """Whether what stands before the pause can be spoken as a clause of its own."""
        if not self._first:
            return self._words >= LATER_WORDS_MIN
        if self._words >= self._first_words_min:
            return True
        return self._buffer[:at].strip(" \n\t¿¡\"“'").lower() in lexicon.OPENERS

    def _is_plain_pause(self, at: int) -> bool:
        char, before = self._buffer[at], self._buffer[at - 1]
        if before.isdigit() or char in _SPACED_DASHES or is_decorated(self._buffer[:at]):
            return False
        if char in ":;":
            token = token_before(self._buffer, at)
            return len(token) > 2 and token.isalpha() and token.islower() and token not in _SCHEMES
        return True

    # Gaps between words

    def _judge_gap(self, at: int, final: bool) -> int:
        buffer, words = self._buffer, self._words
        if in_code_or_link(buffer[:at]) or in_emphasis(buffer[:at]):
            return _NO
        before = token_before(buffer, at).lower()
        leans = before in lexicon.RIGHT_BINDING if self._english else len(before) < NEUTRAL_WORD_MIN
        if leans or not before[-1:].isalpha():
            return _NO
        self._last_gap = at
        reach = self._reach()
        if words >= reach.any:
            return at
        if not self._english or words < reach.clause:
            return _NO
        span = following_span(buffer, at, final=final)
        word = buffer[span[0] : span[1]].lower()
        if span == MORE:
            return _WAIT
        if word in lexicon.CLAUSE_OPENERS or (word in lexicon.PREPOSITIONS and words >= reach.phrase):
            return at
        if word in lexicon.COORDINATORS:
            second = following(buffer, span[1], final=final)
            return _WAIT if second is None else at if second.lower() in lexicon.SUBJECTS else _NO
        return _NO

    def _reach(self) -> Reach:
        if self._first:
            return self._first_reach
        words = max(LATER_REACH_MIN, min(LATER_REACH_MAX, GROWTH * self._previous_words))
        return Reach(clause=words, phrase=words, any=words + LATER_REACH_MIN)


def _is_stop(char: str) -> bool:
    return char in _STOPS or char in _HARD_STOPS


def _is_mark(char: str) -> bool:
    """Whether it belongs to the character before it: an accent, a vowel sign, a joiner, a variation selector."""
    return unicodedata.category(char)[0] == "M" or char in "\u200c\u200d"
