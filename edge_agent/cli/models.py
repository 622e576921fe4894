"""`edge-agent models`: list, fetch and check the models of the catalog."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_agent.catalog.adopted import adopt
from edge_agent.catalog.disk import in_words
from edge_agent.catalog.document import DEFAULT_PROFILE
from edge_agent.catalog.pull import pull as pull_model
from edge_agent.catalog.store import Store
from edge_agent.errors import CatalogError

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, fetch and check the models. Each is checked against the sha256 in models/catalog.toml.",
)

Folder = Annotated[
    Path | None,
    typer.Option("--models-dir", help="Where the models are [default: $EDGE_AGENT_MODELS, else models/ of the clone]."),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help=f"The models of a profile: embedded, cpu or gpu [default: {DEFAULT_PROFILE}]."),
]


class Bars:
    """Draws progress on stderr, one bar a file; without a terminal only the sentences appear."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Bars are on the screen inside, and gone afterwards."""
        with self._progress:
            yield

    def said(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self.console.print(sentence, markup=False, soft_wrap=True)

    def moved(self, label: str, done: int, total: int | None) -> None:
        """Move the bar of `label`, which appears with its first bytes."""
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total)
        self._progress.update(self._tasks[label], completed=done, total=total)


@app.command("list")
def list_models(
    profile: ProfileName = None,
    models_dir: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """Show every model: what it is, how large, under which licence, and whether it is here.

    A profile in brackets offers the model without needing it. Examples:

    - `edge-agent models list` shows everything in the catalog

    - `edge-agent models list --profile gpu` shows what the gpu profile runs with

    - `edge-agent models list --json` prints the same for a program
    """
    with _sentences():
        store = Store(models_dir)
        wanted = store.catalog.profile(profile) if profile else None
        ids = (*wanted.required, *wanted.optional) if wanted else tuple(store.catalog.models)
        rows = [
            {
                "id": entry.id,
                "kind": entry.kind,
                "title": entry.title,
                "licence": entry.licence,
                "size_bytes": entry.size,
                "profiles": list(store.catalog.profiles_of(entry.id)),
                "state": store.state(entry.id),
            }
            for entry in map(store.catalog.entry, ids)
        ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "state", "size", "profiles"):
        table.add_column(heading, no_wrap=heading in ("model", "state", "size"))
    table.add_column("what it is", overflow="fold")
    for model_id in ids:
        entry = store.catalog.entry(model_id)
        profiles = " ".join(store.catalog.profiles_of(model_id))
        what = f"{entry.title} ({entry.licence})"
        state = next(str(row["state"]) for row in rows if row["id"] == model_id)
        table.add_row(*map(escape, (model_id, state, in_words(entry.size), profiles, what)))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"in {store.root}; `edge-agent models pull ID` gets one", markup=False, soft_wrap=True)


@app.command()
def pull(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Models to get; else a profile's.")] = None,
    profile: ProfileName = None,
    models_dir: Folder = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash again what is already here.")] = False,
) -> None:
    """Get models: resumed where an earlier pull stopped, checked, and only then given their names.

    Each file is tried from its sources in order: the Python package index as pip is configured, or a model hub
    (HF_ENDPOINT names a mirror). What is already here and right is not fetched again. Examples:

    - `edge-agent models pull` gets everything the default profile needs

    - `edge-agent models pull --profile gpu` gets the models of another profile

    - `edge-agent models pull whisper-tiny.en` gets one model

    - `edge-agent models pull --models-dir /srv/models` puts them on another disk
    """
    failed = False
    with _sentences():
        store = Store(models_dir)
        wanted = _chosen(store, ids, profile)
    bars = Bars()
    for model_id in wanted:
        started = monotonic()
        try:
            with bars.drawn():
                fetched = pull_model(store, model_id, bars, thorough=verify)
        except CatalogError as error:
            failed = True
            bars.said(f"{model_id}: {error}")
            continue
        except KeyboardInterrupt:
            bars.said("stopped; the same command goes on where this one was")
            raise typer.Exit(130) from None
        size = in_words(sum(file.size for file in store.catalog.entry(model_id).files if file.path in fetched))
        bars.said(f"{model_id}: {size} in {monotonic() - started:.1f} s" if fetched else f"{model_id}: already here")
    if failed:
        raise typer.Exit(1)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID|PATH", help="Catalog ids, or paths of your own models; else all that is here."),
    ] = None,
    profile: ProfileName = None,
    models_dir: Folder = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Your own model at PATH was replaced on purpose: record what it is now.")
    ] = False,
) -> None:
    """Read every byte of the models and compare it with what is expected; exit status 1 when anything differs.

    Without names: the models of the profile, and every other model that is here. A path is a model of your own; its
    digest was recorded when it was first used. Examples:

    - `edge-agent models verify` checks everything

    - `edge-agent models verify whisper-base` checks one model

    - `edge-agent models verify ~/models/mine.gguf` checks your own model

    - `edge-agent models verify --accept ~/models/mine.gguf` after you replaced it
    """
    failed = False
    with _sentences():
        store = Store(models_dir)
        if names:
            wanted = tuple(names)
        else:
            required = store.catalog.profile(profile or DEFAULT_PROFILE).required
            here = (model_id for model_id in store.catalog.models if store.folder(model_id).is_dir())
            wanted = tuple(dict.fromkeys((*required, *(() if profile else here))))
    bars = Bars()
    for name in wanted:
        try:
            with bars.drawn():
                _check(store, name, bars, accept=accept)
        except CatalogError as error:
            failed = True
            bars.said(f"{name}: {error}")
        else:
            bars.said(f"{name}: right")
    if failed:
        raise typer.Exit(1)


def _check(store: Store, name: str, bars: Bars, *, accept: bool) -> None:
    """Hash one model. Raises CatalogError."""
    if name not in store.catalog.models and ("/" in name or Path(name).exists()):
        adopt(Path(name), thorough=True, accept=accept)
        return
    store.require(name, thorough=True, listener=bars)


def _chosen(store: Store, ids: list[str] | None, profile: str | None) -> tuple[str, ...]:
    """Ids to fetch: those named, each known, and those of a profile that was asked for or of the default one."""
    named = tuple(store.catalog.entry(model_id).id for model_id in ids or ())
    of_profile = store.catalog.profile(profile or DEFAULT_PROFILE).required if profile or not named else ()
    return tuple(dict.fromkeys((*named, *of_profile)))


@contextmanager
def _sentences() -> Iterator[None]:
    """A CatalogError inside ends the command with its sentence and exit status 1."""
    try:
        yield
    except CatalogError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
