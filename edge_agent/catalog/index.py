"""The Python package index as pip is configured: which wheel of a package is where.

Pages are read as PEP 691 (JSON) or PEP 503 (HTML); an index or a page of links may also be a local folder. Nothing is
installed and nothing in a wheel is run, so dependencies do not matter: any `none-any` wheel of the version will do.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from edge_agent.catalog.pip_settings import PipSettings
from edge_agent.catalog.transport import Transport, shown
from edge_agent.errors import CatalogError

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True)
class Link:
    """One file that an index offers. `sha256` and `size` (bytes) are what the index says, if it says."""

    url: str
    filename: str
    sha256: str | None = None
    size: int | None = None

    @property
    def local(self) -> Path | None:
        """Where the file lies on this machine; None when it has to be downloaded."""
        return _local(self.url)


class Index:
    """Looks up wheels in every place pip would look, in pip's order."""

    def __init__(self, settings: PipSettings, transport: Transport) -> None:
        self._transport = transport
        self._find_links = settings.find_links
        self._indexes = settings.indexes

    def places(self, package: str) -> Iterator[str]:
        """Addresses to ask for `package`, the nearest first. Raises CatalogError when pip has none configured."""
        if not (self._find_links or self._indexes):
            raise CatalogError(
                "not_found", "pip is configured with no-index and no find-links, so no package can be found"
            )
        yield from self._find_links
        for index in self._indexes:
            yield f"{index.rstrip('/')}/{_canonical(package)}/"

    def wheels(self, place: str, package: str, version: str) -> list[Link]:
        """Wheels of that version at a place. Raises CatalogError when it has none or does not answer."""
        links = [link for link in self._links(place) if _is_wheel_of(link.filename, package, version)]
        if not links:
            raise CatalogError("not_found", f"{shown(place)} has no wheel of {package} {version}")
        return links

    def _links(self, place: str) -> list[Link]:
        path = _local(place)
        if path is None:
            return _parse(*self._transport.page(place, ACCEPT))
        try:
            if path.is_dir() and (path / "index.html").is_file():
                path /= "index.html"
            if path.is_dir():
                return [Link(file.as_uri(), file.name) for file in sorted(path.absolute().glob("*.whl"))]
            if path.suffix == ".whl" and path.is_file():
                return [Link(path.absolute().as_uri(), path.name)]
            return _parse(path.absolute().as_uri(), "text/html", path.read_bytes()) if path.is_file() else []
        except OSError as error:
            raise CatalogError("unreachable", f"{path} cannot be read ({error.strerror or error})") from error


class _Anchors(HTMLParser):
    """Collects the addresses of links, and the page's own `<base>`."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A link or the base."""
        address = dict(attrs).get("href")
        if tag == "a" and address:
            self.addresses.append(address)
        elif tag == "base" and address and not self.base:
            self.base = address


def _parse(page: str, kind: str, body: bytes) -> list[Link]:
    """Links of a page in either format, made absolute."""
    try:
        if kind.endswith("+json") or kind == "application/json":
            return [_from_json(page, file) for file in json.loads(body)["files"]]
        anchors = _Anchors()
        anchors.feed(body.decode("utf-8", "replace"))
        anchors.close()
        base = urllib.parse.urljoin(page, anchors.base)
        return [_from_address(urllib.parse.urljoin(base, address)) for address in anchors.addresses]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(
            "unreachable", f"{shown(page)} is no page of a package index ({error}); see `pip config list`"
        ) from error


def _from_json(page: str, file: dict[str, object]) -> Link:
    hashes, size = file.get("hashes"), file.get("size")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    return Link(
        urllib.parse.urljoin(page, str(file["url"])),
        str(file["filename"]),
        _sha256(str(sha256)),
        size if isinstance(size, int) and size > 0 else None,
    )


def _from_address(url: str) -> Link:
    address, fragment = urllib.parse.urldefrag(url)
    filename = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    return Link(address, filename, _sha256(fragment.removeprefix("sha256=")))


def _sha256(text: str) -> str | None:
    return text.lower() if re.fullmatch(r"[0-9a-fA-F]{64}", text) else None


def _canonical(name: str) -> str:
    """A package name as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_wheel_of(filename: str, package: str, version: str) -> bool:
    """Whether a file name is that of a pure wheel (PEP 427) of this version, and safe as a name on our disk."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.+!-]*-none-any\.whl", filename):
        return False
    name, _, rest = filename.partition("-")
    return _canonical(name) == _canonical(package) and rest.partition("-")[0].lower() == version.lower()


def _local(address: str) -> Path | None:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "file":
        return Path(urllib.parse.unquote(parts.path))
    return None if parts.scheme in ("http", "https") else Path(address).expanduser()
