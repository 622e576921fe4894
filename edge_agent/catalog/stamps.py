"""Stamps: which digest a file had when it was last hashed, so that 400 MB are not hashed at every start.

A stamp holds size, modification time and sha256. It counts only while size and time are still the file's own: a
truncated, replaced or edited file loses its stamp and is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """What a file was when `sha256` was computed from its bytes."""

    size: int
    mtime_ns: int
    sha256: str

    def still_holds(self, status: os.stat_result) -> bool:
        """Whether the file looks untouched since."""
        return self.size == status.st_size and self.mtime_ns == status.st_mtime_ns


def sha256_of(path: Path, moved: Callable[[int], None] | None = None) -> str:
    """Hash a whole file; `moved` hears the bytes done. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        done = 0
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if moved:
                moved(done)
    return digest.hexdigest()


def take(path: Path, moved: Callable[[int], None] | None = None) -> Stamp:
    """Hash a file now. A file that changes meanwhile gets a stamp that does not hold. Raises OSError."""
    before = path.stat()
    return Stamp(before.st_size, before.st_mtime_ns, sha256_of(path, moved))


class StampFile:
    """Stamps by name, kept in one JSON file that is replaced as a whole.

    A file that cannot be read or is nonsense counts as empty: its only loss is that files are hashed once more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps: dict[str, Stamp] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            self._stamps = {name: Stamp(**fields) for name, fields in document.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.info("stamps in %s are unusable (%s); files are hashed again", path, error)

    def get(self, name: str) -> Stamp | None:
        """The stamp of that name, whether or not it still holds."""
        return self._stamps.get(name)

    def names(self) -> list[str]:
        """Every name that has a stamp."""
        return list(self._stamps)

    def put(self, name: str, stamp: Stamp) -> None:
        """Remember a stamp and save them all. Raises OSError when the folder is not writable."""
        self._stamps[name] = stamp
        self._save()

    def drop(self, names: list[str]) -> None:
        """Forget stamps and save the rest. Raises OSError when the folder is not writable."""
        for name in names:
            self._stamps.pop(name, None)
        self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            document = {name: asdict(stamp) for name, stamp in self._stamps.items()}
            fresh.write_text(json.dumps(document, indent=1), encoding="utf-8")
            fresh.replace(self._path)
        finally:
            fresh.unlink(missing_ok=True)
