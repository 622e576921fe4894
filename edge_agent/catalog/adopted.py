"""A user's own model, given by path: its digests are recorded at first use, and a later change is found.

The record lies in the user's state folder, so the model may be anywhere, on a read-only disk too.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from edge_agent.catalog.lock import locked
from edge_agent.catalog.stamps import StampFile, take
from edge_agent.errors import CatalogError

MAX_FILES = 256
PATIENCE_S = 600.0  # another process may be hashing a large model


def default_record() -> Path:
    """Where digests of adopted models are kept."""
    return platformdirs.user_state_path("edge-agent") / "adopted-models.json"


def adopt(path: Path, *, record: Path | None = None, thorough: bool = False, accept: bool = False) -> Path:
    """A model file or folder of the user's own, as an absolute path, after a check that it is still the same.

    Files are hashed at first use and whenever their size or time changed since; always with `thorough`. With `accept`
    what is there now becomes what is expected.

    Raises CatalogError `missing` (no such file or folder, or no file in it), `changed` (the content is not what it was
    at first use), `unreadable`.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 -- a symbolic link stays the name the user gave
    record = record or default_record()
    try:
        files = _files(path)
        record.parent.mkdir(parents=True, exist_ok=True)
        with locked(record.with_name(record.name + ".lock"), PATIENCE_S):
            stamps = StampFile(record)
            changed = [file.name for file in files if not _same(file, stamps, thorough=thorough, accept=accept)]
            changed += _gone(path, files, stamps, accept=accept)
    except OSError as error:
        raise CatalogError(
            "unreadable",
            f"the model {path} cannot be checked ({error}); make it readable, "
            f"and {record.parent} writable, for this user",
        ) from error
    if changed:
        raise CatalogError(
            "changed",
            f"{', '.join(changed)} of your model {path} has changed since its first use; restore it, or, if "
            f"you replaced it on purpose, run `edge-agent models verify --accept {path}`",
        )
    return path


def _same(file: Path, stamps: StampFile, *, thorough: bool, accept: bool) -> bool:
    """Whether a file is what it was; the first time it is, by definition."""
    known = stamps.get(str(file))
    if known and known.still_holds(file.stat()) and not thorough:
        return True
    now = take(file)
    if known and known.sha256 != now.sha256 and not accept:
        return False
    if now != known:
        stamps.put(str(file), now)
    return True


def _gone(folder: Path, files: list[Path], stamps: StampFile, *, accept: bool) -> list[str]:
    """Names of files that the folder had at first use and has no more."""
    gone = [name for name in stamps.names() if Path(name).parent == folder and Path(name) not in files]
    if accept and gone:
        stamps.drop(gone)
        return []
    return [Path(name).name for name in gone]


def _files(path: Path) -> list[Path]:
    """The file itself, or every visible file right in the folder."""
    if path.is_file():
        return [path]
    visible = (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = sorted(visible) if path.is_dir() else []
    if not files:
        raise CatalogError("missing", f"there is no model at {path}; give the path of a model file or of its folder")
    if len(files) > MAX_FILES:
        raise CatalogError("missing", f"{path} holds more than {MAX_FILES} files, so it is no model's folder")
    return files
