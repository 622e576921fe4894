"""Text that may still grow, seen from one place in it: the token before, the word after."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import re
from typing import Final

RUN_MAX: Final = 16  # characters looked at after a cut: further stops, closing quotes, spaces
WORD_MAX: Final = 16  # a longer word is in none of the lists
TOKEN_MAX: Final = 48  # characters looked at before a stop
MORE: Final = (-1, -1)  # what `following_span` returns when the text ends too early to tell

_CLOSERS: Final = frozenset("\"'”’»)]}*_~`」』）】》›")
_OPENERS: Final = "\"“'‘(*_[¿¡«-—"
_DECORATION: Final = re.compile(r"""["“”«»„()\[\]{}「」『』（）*_~`<]|(?:^|\s)['‘]""")


def past_closers(text: str, at: int) -> int:
    """Where the closing quotes, brackets and emphasis that begin at `at` end."""
    limit = min(len(text), at + RUN_MAX)
    while at < limit and text[at] in _CLOSERS:
        at += 1
    return at


def following_span(text: str, at: int, *, final: bool) -> tuple[int, int]:
    """Start and end of the word after the white space at `at`, opening quotes skipped.

    A line end is a span of its own; the span is empty where no word follows, and `MORE` where the text may
    still grow (not `final`) and a further character could change the answer.
    """
    start = at
    while start < len(text) and start - at < RUN_MAX and text[start].isspace():
        if text[start] in "\r\n":
            return start, start + 1
        start += 1
    while start < len(text) and start - at < RUN_MAX and text[start] in _OPENERS:
        start += 1
    end = start
    while end < len(text) and end - start < WORD_MAX and (text[end].isalnum() or text[end] in "'’"):
        end += 1
    if end == len(text) and end - start < WORD_MAX and not final:
        return MORE
    return start, end


def following(text: str, at: int, *, final: bool) -> str | None:
    """The word that `following_span` finds, a line end as "\\n", None where more text is needed."""
    span = following_span(text, at, final=final)
    if span == MORE:
        return None
    word = text[span[0] : span[1]].replace("’", "'")
    return "\n" if word == "\r" else word


def token_before(text: str, at: int) -> str:
    """What stands between the last white space and `at`, without opening quotes and brackets."""
    pieces = text[max(0, at - TOKEN_MAX) : at].rsplit(None, 1)
    return pieces[-1].lstrip(_OPENERS) if pieces else ""


def is_decorated(head: str) -> bool:
    """Whether a quotation, bracket, emphasis or code mark was seen, which a closing mark may have to follow."""
    return _DECORATION.search(head) is not None


def in_code_or_link(head: str) -> bool:
    """Whether inline code or the text of a link is still open at the end of `head`."""
    return head.count("`") % 2 == 1 or head.rfind("[") > head.rfind("]")


def in_emphasis(head: str) -> bool:
    """Whether a bold span is still open at the end of `head`."""
    return head.count("**") % 2 == 1


def is_dense(char: str) -> bool:
    """Whether the script puts a word into a character or two, with no spaces between words."""
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af"
