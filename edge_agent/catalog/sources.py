"""The two kinds of source: a model hub, and wheels on the configured package index.

Both bring one file of a model to a `.part` file that has been checked against the catalog's digest.
"""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from pathlib import Path

from edge_agent.catalog.download import Target, download
from edge_agent.catalog.entries import HubSource, ModelFile, PackageSource, Source
from edge_agent.catalog.index import Index, Link
from edge_agent.catalog.listener import Listener
from edge_agent.catalog.pip_settings import PipSettings, read_pip_settings
from edge_agent.catalog.transport import Transport
from edge_agent.catalog.wheel import join_members
from edge_agent.errors import CatalogError

HUB_VARIABLE = "HF_ENDPOINT"
DEFAULT_HUB = "https://huggingface.co"


class Sources:
    """Brings files of one model into `work`, a folder that outlives a failed attempt so that the next can resume.

    A wheel is downloaded once, however many files are taken from it.
    """

    def __init__(
        self, work: Path, listener: Listener, settings: PipSettings | None = None, transport: Transport | None = None
    ) -> None:
        settings = settings or read_pip_settings()
        self._work = work
        self._listener = listener
        self._transport = transport or Transport(settings)
        self._index = Index(settings, self._transport)
        self._wheels: dict[tuple[str, str], Path] = {}

    def bring(self, file: ModelFile, source: Source) -> Path:
        """The finished, checked `.part` of `file`. Raises CatalogError with the sentence of what went wrong."""
        if isinstance(source, HubSource):
            return self._from_hub(file, source)
        return self._from_packages(file, source)

    def _from_hub(self, file: ModelFile, source: HubSource) -> Path:
        url = hub_url(source)
        part = self._part(url, file.path)
        download(self._transport, Target(url, part, file.path, file.size, file.sha256), self._listener)
        return part

    def _from_packages(self, file: ModelFile, source: PackageSource) -> Path:
        parts = [
            (self._wheel(member.package, member.version, file.size), member.path)  # the file itself needs room as well
            for member in source.members
        ]
        part = self._work / f"{file.path}.part"
        try:
            join_members(parts, file, part, f"unpacking {file.path}", self._listener)
        except CatalogError as error:
            if error.code in ("catalog.digest", "catalog.bad_wheel"):
                self._forget([wheel for wheel, _ in parts])
            raise
        return part

    def _wheel(self, package: str, version: str, room: int) -> Path:
        """The wheel on this disk: in place where the index is a local folder, else downloaded."""
        known = self._wheels.get((package, version))
        if known:
            return known
        failures: list[CatalogError] = []
        for place in self._index.places(package):
            try:
                wheel = self._fetch(self._index.wheels(place, package, version)[0], room)
            except CatalogError as error:
                if error.code in ("catalog.disk_full", "catalog.not_writable"):
                    raise  # another index would meet the same disk
                failures.append(error)
            else:
                self._wheels[package, version] = wheel
                return wheel
        # Among several indexes the ones without the package say nothing of use beside one that failed.
        telling = [error for error in failures if error.code != "catalog.not_found"] or failures
        raise CatalogError(telling[0].code.removeprefix("catalog."), "; ".join(map(str, telling)))

    def _fetch(self, link: Link, room: int) -> Path:
        if link.local:
            return link.local
        part = self._part(link.url, link.filename)
        target = Target(link.url, part, link.filename, link.size, link.sha256, room)
        download(self._transport, target, self._listener)
        return part

    def _part(self, url: str, name: str) -> Path:
        """A name of its own for every address, so that two sources never continue each other's bytes."""
        return self._work / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}~{name}.part"

    def _forget(self, wheels: list[Path]) -> None:
        """Drop wheels that hold the wrong thing; those in a local index are not ours to delete."""
        self._wheels = {key: wheel for key, wheel in self._wheels.items() if wheel not in wheels}
        for wheel in wheels:
            if wheel.parent == self._work:
                wheel.unlink(missing_ok=True)


def hub_url(source: HubSource) -> str:
    """Where a hub serves a file; HF_ENDPOINT names another hub or a mirror."""
    endpoint = os.environ.get(HUB_VARIABLE, "").strip().rstrip("/") or DEFAULT_HUB
    steps = (source.repository, "resolve", source.revision, source.path)
    return "/".join([endpoint, *(urllib.parse.quote(step) for step in steps)])
