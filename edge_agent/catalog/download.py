"""One file over HTTP into a `.part` file, resumed where an earlier attempt or an earlier run stopped.

Beside `x.part` lies `x.part.origin`: the address, the server's validator (ETag or Last-Modified) and the length. A
resumed request carries them (RFC 9110, Range and If-Range), so a file that changed at the server starts anew. A server
without ranges answers 200 and it starts anew too. A resumed file that turns out wrong is fetched once more from the
beginning before anybody is told.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

from edge_agent.catalog import disk
from edge_agent.catalog.listener import Listener
from edge_agent.catalog.stamps import sha256_of
from edge_agent.catalog.transport import PassingError, Transport, bad_status, no_answer, shown
from edge_agent.errors import CatalogError

BLOCK_BYTES = 256 << 10
MAX_ROUNDS = 100  # attempts in all, those that brought something included
SLOWEST_BYTES, SLOWEST_S = 64 << 10, 60.0  # less than this in that time counts as no answer


@dataclass(frozen=True)
class Target:
    """What to download, and where to.

    `size` and `sha256` are what the file must be, None where nobody said; `room` is how many bytes more than the file
    itself the disk must hold once it is there.
    """

    url: str
    part: Path
    label: str
    size: int | None = None
    sha256: str | None = None
    room: int = 0


@dataclass
class Origin:
    """Where the bytes of a part file came from; validator and total are None while unknown."""

    url: str
    validator: str | None = None
    total: int | None = None


def download(transport: Transport, target: Target, listener: Listener) -> None:
    """Bring `target.part` to completeness and check it.

    Raises CatalogError `digest` (wrong content; the part is gone), `disk_full`, `not_writable` (the part stays),
    `unreachable`, `not_found` or `refused` (the part stays and the next call resumes it).
    """
    try:
        effort = _Effort(transport, target, listener)
        for _ in range(2):
            effort.complete()
            problem = effort.problem()
            if problem is None:
                return
            resumed = effort.resumed
            effort.discard()
            if not resumed:
                raise CatalogError("digest", problem)
    except OSError as error:
        raise disk.write_error(error, target.part) from error
    raise CatalogError("digest", f"{shown(target.url)} was wrong twice, resumed and fetched anew; try again later")


class _Effort:
    """The attempts at one target."""

    def __init__(self, transport: Transport, target: Target, listener: Listener) -> None:
        self._transport = transport
        self._target = target
        self._listener = listener
        self._notes = target.part.with_name(target.part.name + ".origin")
        self._origin = self._recall()
        self.resumed = self.have() > 0  # whether what is there may be spliced from several responses

    def have(self) -> int:
        """Bytes in the part file that can be kept."""
        try:
            return self._target.part.stat().st_size
        except FileNotFoundError:
            return 0

    def discard(self) -> None:
        """Forget what was fetched."""
        self._target.part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self._origin = Origin(self._target.url)
        self.resumed = False

    def complete(self) -> None:
        """Fetch until all is there; gives up when several attempts in a row bring nothing."""
        fruitless = 0
        for _ in range(MAX_ROUNDS):
            before = self.have()
            if before and before == self._origin.total:
                return
            try:
                self._round(before)
            except PassingError:
                fruitless = 0 if self.have() > before else fruitless + 1
                if fruitless > len(self._transport.pauses_s):
                    raise
                sleep(self._transport.pauses_s[fruitless - 1] if fruitless else 0)
        raise CatalogError(
            "unreachable", f"{shown(self._target.url)} broke off {MAX_ROUNDS} times; run the same command to go on"
        )

    def problem(self) -> str | None:
        """What is wrong with the finished part, as a sentence; None when it is what was asked for."""
        size, target = self.have(), self._target
        if target.size is not None and size != target.size:
            return f"{shown(target.url)} has {size} bytes instead of {target.size}; it is not the file asked for"
        found = sha256_of(target.part) if target.sha256 else None
        if found != target.sha256:
            return (
                f"{shown(target.url)} has the wrong content: sha256 {found} instead of {target.sha256}; "
                "it was damaged on the way or replaced at its source"
            )
        return None

    def _round(self, have: int) -> None:
        """One request, and what it brings."""
        url = self._target.url
        headers = {"Accept-Encoding": "identity"}
        if not (self._origin.validator or self._target.sha256):
            have = 0  # nothing would tell two versions of the file apart
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._origin.validator:
                headers["If-Range"] = self._origin.validator
        try:
            response = self._transport.open(url, headers)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and have:  # what we have is not a beginning of what is there now
                    self.discard()
                    raise PassingError("unreachable", f"{shown(url)} has changed; starting anew") from error
                raise bad_status(url, error.code) from error
        with response:
            start, total = _span(response)
            if start not in (0, have):
                raise CatalogError("unreachable", f"{shown(url)} sent another range than was asked for")
            self.resumed = start > 0
            self._refuse_wrong_size(total)
            missing = (total or self._target.size or 0) - start
            disk.ensure_room(self._target.part.parent, max(missing, 0) + self._target.room)
            self._remember(Origin(url, _validator(response), total))
            self._receive(response, start, total)

    def _refuse_wrong_size(self, total: int | None) -> None:
        """Raise CatalogError `digest` before a file of the wrong length is fetched in vain."""
        target = self._target
        if total is not None and target.size is not None and total != target.size:
            self.discard()
            raise CatalogError(
                "digest",
                f"{shown(target.url)} has {total} bytes instead of {target.size}; it is not the file asked for",
            )

    def _receive(self, response: http.client.HTTPResponse, start: int, total: int | None) -> None:
        """Append the body from byte `start` on. Raises PassingError when it ends early, CatalogError when it crawls."""
        url = self._target.url
        limit = total or self._target.size
        done, window, window_end = start, start, monotonic() + SLOWEST_S
        descriptor = os.open(self._target.part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, start)
            os.lseek(descriptor, start, os.SEEK_SET)
            while block := self._read(response):
                if limit is not None and done + len(block) > limit:
                    self.discard()
                    raise CatalogError("digest", f"{shown(url)} sent more than the {limit} bytes it should have")
                disk.write(descriptor, block)
                done += len(block)
                self._listener.moved(self._target.label, done, limit)
                if monotonic() > window_end:
                    if done - window < SLOWEST_BYTES:
                        raise CatalogError("unreachable", f"{shown(url)} has all but stopped sending; try again later")
                    window, window_end = done, monotonic() + SLOWEST_S
        finally:
            os.close(descriptor)
        if limit is not None and done < limit:
            raise PassingError("unreachable", f"{shown(url)} broke off after {done} of {limit} bytes; try again later")
        self._remember(Origin(url, self._origin.validator, done))

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The next bytes as they come; empty at the end."""
        try:
            return response.read1(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise no_answer(self._target.url, error) from error

    def _recall(self) -> Origin:
        """Where the bytes on disk came from; they are dropped when it was somewhere else or is unknown."""
        try:
            origin = Origin(**json.loads(self._notes.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            origin = Origin("")
        if origin.url != self._target.url:
            self._target.part.unlink(missing_ok=True)
            origin = Origin(self._target.url)
        return origin

    def _remember(self, origin: Origin) -> None:
        if origin == self._origin and self._notes.exists():
            return  # rewriting it could lose it on a full disk
        self._origin = origin
        self._notes.write_text(json.dumps(asdict(origin)), encoding="utf-8")


def _span(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """First byte and full length (None when unsaid) of what a response carries."""
    if response.status == http.client.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if not match:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    etag: str | None = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
