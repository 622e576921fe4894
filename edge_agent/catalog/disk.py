"""Room on the disk, writing to it, and the sentence when it is full."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from edge_agent.errors import CatalogError

RESERVE_BYTES = 16 << 20  # what we leave to the rest of the system
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # EFBIG: a file size limit (ulimit -f) is a full disk too


def in_words(size: int) -> str:
    """A number of bytes as people read it: `145 MB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.3g} {unit}" if size < 999.5 * step else f"{size / step:.0f} {unit}"
    return f"{size} bytes"


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write on the disk of `folder`."""
    return shutil.disk_usage(folder).free


def ensure_room(folder: Path, needed: int) -> None:
    """Raise CatalogError `disk_full` when fewer than `needed` bytes (and a small reserve) are free."""
    free = free_bytes(folder)
    if free < needed + RESERVE_BYTES:
        raise CatalogError(
            "disk_full",
            f"the disk of {folder} has {in_words(free)} free and {in_words(needed + RESERVE_BYTES)} are needed; "
            "free some space, or point EDGE_AGENT_MODELS to a folder on a larger disk",
        )


def write(descriptor: int, data: bytes) -> None:
    """Write all of `data`; os.write may take less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_error(error: OSError, path: Path) -> CatalogError:
    """What a failed write to `path` means for a person."""
    if error.errno in FULL:
        return CatalogError(
            "disk_full",
            f"the disk of {path.parent} is full ({error.strerror}) and {path.name} stopped there; free some space and "
            "run the same command again, it goes on where it stopped",
        )
    return CatalogError(
        "not_writable",
        f"{path} cannot be written ({error.strerror or error}); make the folder writable for this user, or point "
        "EDGE_AGENT_MODELS to one that is",
    )


def settle(part: Path, final: Path) -> None:
    """Give a finished file its final name so that a power cut leaves either no file of that name or all of it."""
    try:
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(final)
        folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise write_error(error, final) from error
