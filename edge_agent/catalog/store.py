"""Where models live, and whether they are what the catalog says.

A model is a folder `<root>/<id>/` with the files of its entry, a stamp file, a lock, and the unfinished downloads
of a pull. The quick check believes the stamps; the thorough one reads every byte.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal, NamedTuple

from edge_agent.catalog.document import DEFAULT_PATH, Catalog, load_catalog
from edge_agent.catalog.entries import Model, ModelFile
from edge_agent.catalog.listener import Listener
from edge_agent.catalog.stamps import Stamp, StampFile, take
from edge_agent.errors import CatalogError

ROOT_VARIABLE = "EDGE_AGENT_MODELS"
STAMPS = ".stamps.json"

State = Literal["ready", "missing", "broken"]
log = logging.getLogger(__name__)


class Fault(NamedTuple):
    """What is wrong with a file of a model, as half a sentence."""

    words: str
    missing: bool = False


def default_root() -> Path:
    """The models folder: EDGE_AGENT_MODELS, else `models/` of this clone."""
    chosen = os.environ.get(ROOT_VARIABLE, "").strip()
    return Path(chosen).expanduser().absolute() if chosen else DEFAULT_PATH.parent


class Store:
    """The models of one folder, checked against one catalog."""

    def __init__(self, root: Path | None = None, catalog: Catalog | None = None) -> None:
        self.root = root.expanduser().absolute() if root else default_root()
        self.catalog = catalog or load_catalog()

    def folder(self, model_id: str) -> Path:
        """Where the model's files belong, there or not. Raises CatalogError `unknown_model`."""
        return self.root / self.catalog.entry(model_id).id

    def require(self, model_id: str, *, thorough: bool = False, listener: Listener | None = None) -> Path:
        """What an engine opens: the model's folder (Whisper) or its one file (GGUF, ONNX).

        Quick unless `thorough`: a file is hashed only when its size and time are not those of its stamp, so every
        truncated or rewritten file is found, and damage that left size and time alone only by the thorough check.
        `listener` hears how far the hashing is.

        Raises CatalogError `unknown_model`, `missing` or `corrupt`, with the command that gets the model.
        """
        entry = self.catalog.entry(model_id)
        faults = [
            fault for file in entry.files if (fault := self.fault(entry, file, thorough=thorough, listener=listener))
        ]
        words = "; ".join(fault.words for fault in faults)
        if any(fault.missing for fault in faults):
            raise CatalogError(
                "missing", f"the model {entry.id} is not in {self.root} ({words}); run {self._remedy(entry)}"
            )
        if faults:
            raise CatalogError("corrupt", f"the model {entry.id} is broken: {words}; run {self._remedy(entry)}")
        return self.root / entry.id / entry.opens

    def state(self, model_id: str) -> State:
        """The outcome of the quick check in one word."""
        try:
            self.require(model_id)
        except CatalogError as error:
            if error.code == "catalog.missing":
                return "missing"
            if error.code == "catalog.corrupt":
                return "broken"
            raise
        return "ready"

    def fault(self, entry: Model, file: ModelFile, *, thorough: bool, listener: Listener | None = None) -> Fault | None:
        """What is wrong with one file; None when it is right, and then it has its stamp."""
        path = self.root / entry.id / file.path
        try:
            status = path.stat()
            if status.st_size != file.size:
                return Fault(f"{file.path} has {status.st_size} bytes instead of {file.size}")
            stamps = StampFile(path.with_name(STAMPS))
            stamp = stamps.get(file.path)
            if thorough or stamp is None or not stamp.still_holds(status):
                moved = (lambda done: listener.moved(path.name, done, file.size)) if listener else None
                stamp = take(path, moved)
                if stamp.sha256 == file.sha256:
                    _save(stamps, file.path, stamp)
            if stamp.sha256 != file.sha256:
                return Fault(f"{file.path} has the wrong content (sha256 {stamp.sha256} instead of {file.sha256})")
        except (FileNotFoundError, NotADirectoryError):
            return Fault(f"{file.path} is missing", missing=True)
        except OSError as error:
            return Fault(f"{file.path} cannot be read ({error.strerror or error})")
        return None

    def _remedy(self, entry: Model) -> str:
        where = "" if self.root == default_root() else f" --models-dir {self.root}"
        return f"`edge-agent models pull {entry.id}{where}`"


def _save(stamps: StampFile, name: str, stamp: Stamp) -> None:
    try:
        stamps.put(name, stamp)
    except OSError as error:
        log.info("the stamp of %s cannot be kept (%s); it is hashed again next time", name, error)
