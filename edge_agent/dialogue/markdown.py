"""Markdown, HTML remains and emoji taken out of a reply, so that only what can be said is left."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

from __future__ import annotations

import html
import re
from typing import Final

from edge_agent.dialogue.traced_text import Rule, TracedText

CODE_BLOCK_SAID: Final = "code block."  # nobody wants to hear it character by character
LINK_MAX: Final = 500  # characters of a link's text or address

_SPACES = re.compile(r"[^\S\n]+")
_FENCE = re.compile(r"(?:```|~~~)(?:.*?)(?:```|~~~|\Z)", re.DOTALL)
_IMAGE_OR_LINK = re.compile(
    rf"!?\[([^\[\]\n]{{1,{LINK_MAX}}})\](?:\([^()\s]{{0,{LINK_MAX}}}(?:\([^()\s]{{0,99}}\)[^()\s]{{0,99}})?"
    r"(?:\s\"[^\"\n]{0,99}\")?\)|\[[^\[\]\n]{0,99}\])"
)
_AUTOLINK = re.compile(rf"<((?:https?://|mailto:)[^<>\s]{{1,{LINK_MAX}}})>")
_TABLE_LINE = re.compile(r"^[ \t]{0,9}\|?[ \t]{0,9}:?-{3,}:?[ \t]{0,9}(?:\|[ \t:-]{0,99}){0,50}$\n?", re.MULTILINE)
_TABLE_EDGE = re.compile(r"(?:^[ \t]{0,9}\|[ \t]*)|(?:[ \t]*\|[ \t]{0,9}$)", re.MULTILINE)
_STRUCTURE: Final = re.compile(
    r"^[ \t]{0,20}(?:>[ \t]?){0,9}"  # quotation
    r"(?:\#{1,6}[ \t]+|[-*+•‣▪●◦–][ \t]+(?:\[[ xX]\][ \t]+)?)?",
    re.MULTILINE,
)
_EMOJI = (
    "\U0001f000-\U0001faff\U0001fb00-\U0001fbff\U000e0020-\U000e007f\u2600-\u27bf\u2b00-\u2bff\u23e9-\u23fa"
    "\ufe0e\ufe0f\u20e3\u231a\u231b\u24c2\u3030\u303d\u3297\u3299"
)
_UNSPEAKABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    "\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]"
)


def _entity(match: re.Match[str]) -> str | None:
    said = html.unescape(match[0])
    return None if said == match[0] or _UNSPEAKABLE.search(said) else said


def _row_break(match: re.Match[str]) -> str:
    before, after = match.string[: match.start()], match.string[match.end() :]
    if not before or not after or before[-1].isspace():
        return " "
    if before[-1] in ".!?:;,。！？…":
        return " "
    return ". "


_REMOVALS: Final[tuple[Rule, ...]] = (
    (re.compile(r"\[\^?[0-9]{1,4}\](?!\()"), lambda _: ""),  # footnotes and citations
    (re.compile(r"<br\s?/?>", re.IGNORECASE), lambda _: "\n"),
    (re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>"), lambda _: ""),
    (re.compile(r"<!--.{0,2000}?-->", re.DOTALL), lambda _: ""),
    (re.compile(r"&(?:[a-zA-Z]{2,10}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"), _entity),
    (re.compile(r"(?<!\S)[:;]-?[)(DPp](?!\w)"), lambda _: ""),  # :-)
    (re.compile(f"[0-9#*]?\ufe0f\u20e3|[{_EMOJI}\u200d]+"), lambda match: "" if match[0] != "\u200d" else None),
)
_LINES: Final[tuple[Rule, ...]] = (
    (
        re.compile(r"^[ \t]{0,9}(?:(?:-[ \t]{0,2}){3,}|(?:\*[ \t]{0,2}){3,}|(?:_[ \t]{0,2}){3,}|={3,})$", re.MULTILINE),
        lambda _: "",
    ),
    (_TABLE_LINE, lambda _: ""),
    (_TABLE_EDGE, lambda _: ""),
    (re.compile(r"[ \t]{0,9}\|[ \t]{0,9}"), lambda _: ", "),
)
_MARKS: Final[tuple[Rule, ...]] = (
    (re.compile(r"`+|\*{2,}|~{2,}|_{2,}(?=\S)|(?<=\S)_{2,}"), lambda _: ""),
    (re.compile(r"(?<![\w*)])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*(])"), lambda _: ""),  # *emphasis*, never 2*3
    (re.compile(r"(?<!\w)_(?=\w)|(?<=[\w.,!?])_(?!\w)"), lambda _: ""),  # _emphasis_, never snake_case
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|>~-])"), lambda match: match[1]),
)


def plain(text: str) -> TracedText:
    """What is left of `text` to be said, as one line without markup; items and headings end like sentences."""
    traced = TracedText.of(text)
    traced = traced.rewrite(_UNSPEAKABLE, lambda _: "")
    traced = traced.rewrite(_SPACES, lambda _: " ")  # no pattern below has to look through a long run
    traced = traced.rewrite(_FENCE, lambda _: CODE_BLOCK_SAID)
    traced = traced.unwrap(_AUTOLINK)
    traced = traced.unwrap(_IMAGE_OR_LINK).unwrap(_IMAGE_OR_LINK)  # twice: an image may be the text of a link
    traced = traced.apply(_REMOVALS).apply(_LINES)
    structured = traced.rewrite(_STRUCTURE, lambda _: "")
    itemized = structured.text != traced.text or re.search(r"^\s{0,9}[0-9]{1,3}[.)]\s", traced.text, re.MULTILINE)
    traced = structured.apply(_MARKS)
    breaks = r"\s*\n\s*" if itemized or "|" in text else r"\s*\n\s*\n\s*"
    return traced.rewrite(re.compile(breaks), _row_break).rewrite(re.compile(r"\s*\n\s*"), lambda _: " ")
