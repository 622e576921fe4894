"""The catalog as a document: read from TOML, checked, with the line that is wrong; looked up by id."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from edge_agent.catalog.entries import (
    KINDS,
    AsrModel,
    Entry,
    LlmModel,
    Name,
    Profile,
    Table,
    TtsModel,
    TurnModel,
)
from edge_agent.errors import CatalogError

DEFAULT_PROFILE = "embedded"
DEFAULT_PATH = Path(__file__).resolve().parents[2] / "models" / "catalog.toml"

Location = tuple[str | int, ...]


class Catalog(Table):
    """Every model that can be fetched, and the profiles made of them."""

    profiles: Annotated[dict[Name, Profile], Field(min_length=1)]
    models: dict[Name, Entry]

    @model_validator(mode="after")
    def _profiles_name_models(self) -> Catalog:
        for name, profile in self.profiles.items():
            for kind in KINDS:
                model = self.models.get(getattr(profile, kind))
                if model is None or model.kind != kind:
                    raise ValueError(
                        f"profile {name}: {kind} = {getattr(profile, kind)!r} is no {kind} model listed here"
                    )
            for model_id in profile.optional:
                if model_id not in self.models:
                    raise ValueError(f"profile {name}: optional model {model_id!r} is not listed here")
        return self

    def entry(self, model_id: str) -> AsrModel | LlmModel | TtsModel | TurnModel:
        """The model of that id. Raises CatalogError `unknown_model`, with the nearest id there is."""
        try:
            return self.models[model_id]
        except KeyError:
            hint = _nearest(model_id, list(self.models), "`edge-agent models list` shows every model")
            raise CatalogError("unknown_model", f"no model is called {model_id!r}; {hint}") from None

    def profile(self, name: str = DEFAULT_PROFILE) -> Profile:
        """The profile of that name. Raises CatalogError `unknown_profile`."""
        try:
            return self.profiles[name]
        except KeyError:
            hint = _nearest(name, list(self.profiles), f"there are {', '.join(self.profiles)}")
            raise CatalogError("unknown_profile", f"no profile is called {name!r}; {hint}") from None

    def profiles_of(self, model_id: str) -> tuple[str, ...]:
        """Names of the profiles that run with this model; an optional model's stand in brackets."""
        running = [name for name, profile in self.profiles.items() if model_id in profile.required]
        offered = [f"({name})" for name, profile in self.profiles.items() if model_id in profile.optional]
        return (*running, *offered)


def load_catalog(path: Path | None = None) -> Catalog:
    """Read a catalog, by default the one that came with this clone.

    Raises CatalogError `no_catalog` when the file cannot be read, `bad_catalog` with the line that is wrong.
    """
    path = path or DEFAULT_PATH
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(
            "no_catalog", f"the model catalog {path} cannot be read ({error}); restore it from the repository"
        ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError("bad_catalog", f"{path} is not valid TOML: {error}; correct that line") from error
    for model_id, model in _tables(document.get("models")):
        model.setdefault("id", model_id)
        if model["id"] != model_id:
            line = line_of(text, ("models", model_id, "id"))
            raise CatalogError("bad_catalog", f"{path} line {line}: the id of a model is its key; remove `id`")
    try:
        return Catalog.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the document"
        reason = first["msg"].removeprefix("Value error, ")
        line = line_of(text, first["loc"] or _profile_named(reason))
        raise CatalogError("bad_catalog", f"{path} line {line}: {where}: {reason}; correct that line") from error


def line_of(text: str, location: Location) -> int:
    """Line number, from 1, of what a validation error points at: its key where it stands, else its table's header.

    The location may name more than the document does (the variant of a union), so a header matches when its path
    is contained in it in order; the longest match wins.
    """
    best, best_length, rest = 1, 0, location
    lines = text.splitlines()
    for number, header in _headers(lines):
        left = _after(location, header)
        if left is not None and len(header) > best_length:
            best, best_length, rest = number, len(header), left
    for number in range(best + 1, len(lines) + 1):
        line = lines[number - 1]
        if line.lstrip().startswith("["):
            break
        key = re.match(r"\s*([\w-]+)\s*=", line)
        if key and key[1] in rest:
            return number
    return best


def _tables(value: object) -> list[tuple[str, dict[str, Any]]]:
    """The sub-tables of a table; nothing when it is none, which the schema will say."""
    if not isinstance(value, dict):
        return []
    return [(key, table) for key, table in value.items() if isinstance(table, dict)]


def _headers(lines: list[str]) -> list[tuple[int, Location]]:
    """Every table header with its line, from 1, and its path; elements of arrays of tables carry their index."""
    found: list[tuple[int, Location]] = []
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(lines, 1):
        match = re.match(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(#.*)?$", line)
        if not match:
            continue
        names = tuple(bare or quoted for quoted, bare in re.findall(r'"([^"]*)"|([\w-]+)', match[2]))
        if match[1] == "[[":
            counts[names] = counts.get(names, -1) + 1
        path: list[str | int] = []
        for depth, name in enumerate(names, 1):
            path.append(name)
            if names[:depth] in counts:
                path.append(counts[names[:depth]])
        found.append((number, tuple(path)))
    return found


def _after(location: Location, header: Location) -> Location | None:
    """What of `location` follows `header`, or None when the header is not contained in it in order."""
    position = 0
    for step in header:
        try:
            position = location.index(step, position) + 1
        except ValueError:
            return None
    return location[position:]


def _profile_named(reason: str) -> Location:
    """Where a profile's own complaint belongs: `profile embedded: asr = ...` is about profiles.embedded.asr."""
    match = re.match(r"profile (\S+): (\w+)", reason)
    return ("profiles", match[1], match[2]) if match else ()


def _nearest(name: str, known: list[str], otherwise: str) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else otherwise
