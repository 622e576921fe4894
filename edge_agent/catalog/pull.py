"""Getting a model: every missing or broken file, from the first source that has it right.

A file appears under its own name only when it is complete and its digest is right. Everything unfinished lies in the
`.download` folder of the model, from where an interrupted pull goes on. A lock on the model's folder lets a second pull
wait for the first instead of writing into its files; it is the kernel's, so it goes with the process that held it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from edge_agent.catalog import disk
from edge_agent.catalog.entries import Model, ModelFile
from edge_agent.catalog.listener import Listener, LogListener
from edge_agent.catalog.lock import locked
from edge_agent.catalog.sources import Sources
from edge_agent.catalog.store import Store
from edge_agent.errors import CatalogError

DOWNLOADS = ".download"
LOCK = ".lock"
PATIENCE_S = 3600.0  # a slow line needs minutes for a large model

OpenSources = Callable[[Path, Listener], Sources]


def pull(
    store: Store,
    model_id: str,
    listener: Listener | None = None,
    *,
    thorough: bool = False,
    open_sources: OpenSources = Sources,
) -> list[str]:
    """Fetch what is missing or broken of a model, and return the names of the files that were fetched.

    Args:
        store: where the model belongs, and its catalog.
        model_id: an id of that catalog.
        listener: hears progress and the sentence of every source that failed; the log by default.
        thorough: hash files that are already there instead of believing their stamps.
        open_sources: makes the sources for (downloads folder, listener); tests give their own retry pauses.

    Raises:
        CatalogError: `unknown_model`; `disk_full`, `not_writable`; `busy` when another pull holds the model for an
            hour; when no source had a file: the code they share, or `no_source`, and a sentence for each.
    """
    listener = listener or LogListener()
    entry = store.catalog.entry(model_id)
    folder = store.folder(model_id)
    work = folder / DOWNLOADS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK, PATIENCE_S, lambda: listener.said(f"{model_id}: waiting for another pull of it")):
            wanted = [file for file in entry.files if store.fault(entry, file, thorough=thorough)]
            if wanted:
                work.mkdir(exist_ok=True)
                on_the_way = sum(file.stat().st_size for file in work.iterdir() if file.is_file())
                disk.ensure_room(folder, sum(file.size for file in wanted) - on_the_way)
                sources = open_sources(work, listener)
                for file in wanted:
                    _bring(store, entry, file, sources, listener)
            shutil.rmtree(work, ignore_errors=True)
            return [file.path for file in wanted]
    except OSError as error:
        raise disk.write_error(error, folder) from error


def _bring(store: Store, entry: Model, file: ModelFile, sources: Sources, listener: Listener) -> None:
    """One file from the first source that has it. Raises CatalogError when none has."""
    failures: list[CatalogError] = []
    for number, source in enumerate(file.sources, 1):
        try:
            part = sources.bring(file, source)
        except CatalogError as error:
            failures.append(error)
            more = "; trying the next source" if number < len(file.sources) else ""
            listener.said(f"{entry.id}: {file.path} from {source} failed: {error}{more}")
        else:
            final = store.folder(entry.id) / file.path
            disk.settle(part, final)
            fault = store.fault(entry, file, thorough=False)  # hashes what is on disk now, and stamps it
            if fault is None:
                return
            failures.append(CatalogError("corrupt", f"{final} was damaged on its way to the disk: {fault.words}"))
    codes = {error.code.removeprefix("catalog.") for error in failures}
    each = "; ".join(f"{source}: {error}" for source, error in zip(file.sources, failures, strict=True))
    raise CatalogError(
        codes.pop() if len(codes) == 1 else "no_source",
        f"no source had {file.path} of {entry.id}. {each}. What has arrived is kept: run the same command to go on",
    )
