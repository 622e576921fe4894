"""Web addresses, e-mail addresses, file names, paths and versions as people read them out."""

from __future__ import annotations

import re
from typing import Final

from edge_agent.dialogue.spoken_numbers import cardinal, digits
from edge_agent.dialogue.traced_text import Rule

PATH_MAX: Final = 30  # characters; nobody reads out a longer path, the host is enough

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TOP = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|dev|ai|app|co|uk|us|eu|de|fr|es|nl|ch|at|be|se|pl|cz|jp|cn|kr|ca|au|nz|br|ru|tv"
    r"|fm|me|xyz|tech|cloud|online|shop|site|blog|news|local|lan)"
)
_EXTENSION = (
    r"(?:py|js|ts|tsx|jsx|md|txt|json|toml|yaml|yml|csv|pdf|html|css|xml|sh|rs|go|cpp|java|exe|zip|gz|tar|png|jpe?g|gif|svg|wav"
    r"|mp3|mp4|docx?|xlsx?|pptx?|ini|cfg|conf|log|sql|db|gguf|onnx)"
)
_MARKS: Final = {
    ".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "@": " at ", ":": " colon ", "~": " tilde ",
    "+": " plus ", "%": " percent ",
}  # fmt: skip


def _read(address: str) -> str:
    return re.sub(r"[./_@:~+%-]", lambda match: _MARKS[match[0]], address).strip().replace("  ", " ")


def _web_address(match: re.Match[str]) -> str | None:
    address = re.sub(r"(?i)^(?:(?:https?|ftp|wss?|file|mailto):(?://)?)?(?:www\.)?", "", match[0])
    address = re.sub(r"[?#].*$", "", address, flags=re.DOTALL).rstrip("/")
    host, slash, path = address.partition("/")
    said = _read(host)
    if slash and 0 < len(path) <= PATH_MAX:
        said += f" slash {_read(path)}"
    return said or "a link"


def _file(match: re.Match[str]) -> str:
    return _read(match[0])


def _path(match: re.Match[str]) -> str:
    return _read(match[0].rstrip("/"))


def _ip_address(match: re.Match[str]) -> str:
    groups = [digits(group) if len(group) > 2 else cardinal(int(group)) for group in match[0].split(".")]
    return " dot ".join(groups)


def _version(match: re.Match[str]) -> str:
    said = " point ".join(cardinal(int(group)) for group in match[2].split("."))
    return f"version {said}" if match[1] else said


ADDRESS_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?i)\b(?:https?|ftp|wss?|file)://[^\s<>\"]{1,500}(?<![.,;:!?)\]'*_])"), _web_address),
    (
        re.compile(rf"(?i)(?:\bmailto:)?(?<![\w.%+-])[a-z0-9._%+-]{{1,64}}@(?:{_LABEL}\.){{1,6}}[a-z]{{2,24}}(?!\w)"),
        _web_address,
    ),
    (
        re.compile(
            rf"(?<![\w@.-])(?:(?:{_LABEL}\.){{1,6}}{_TOP}|localhost(?=:))(?![\w-])(?!\.\w)(?::[0-9]{{2,5}})?"
            r"(?:/[^\s<>\"]{0,500}(?<![.,;:!?)\]'*_]))?"
        ),
        _web_address,
    ),
    (re.compile(rf"(?<![\w./])[\w-]{{1,64}}(?:\.[\w-]{{1,64}}){{0,3}}\.{_EXTENSION}(?![\w-])(?!\.\w)"), _file),
    (re.compile(r"(?<![\w])\.NET\b"), lambda _: "dot net"),
    (re.compile(r"(?<!\S)\.[a-z][\w-]{1,30}(?=[\s,.!?]|\Z)"), _file),
    (re.compile(r"(?<![\w/.<])~?(?:/[A-Za-z_][\w.-]{0,63}){1,12}/?(?<![.,])(?![\w])"), _path),
    (re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w])(?!\.[0-9])"), _ip_address),
    (re.compile(r"(?<![\w.])([vV](?:ersion )?)([0-9]{1,6}(?:\.[0-9]{1,6}){1,4})(?![\w])(?!\.[0-9])"), _version),
    (re.compile(r"(?<![\w.])([vV])([0-9]{1,3})(?![\w.])"), _version),
    (
        re.compile(
            r"(?<![\w.,])()(?![0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}\b)([0-9]{1,6}(?:\.[0-9]{1,6}){2,5})(?![\w])(?!\.[0-9])"
        ),
        _version,
    ),
)
"""They run first: an address is full of marks that mean something else elsewhere."""
