"""The configuration: one TOML file, every option with a default, every mistake named with its line.

`edge-agent.example.toml` documents each option for owners; a test keeps it equal to the models below. The file is the
first of: the one asked for, $EDGE_AGENT_CONFIG, ./edge-agent.toml, edge-agent.toml in the user's configuration folder.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from platformdirs import user_config_path, user_state_dir
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from edge_agent.errors import ConfigError

APP: Final = "edge-agent"
FILE_NAME: Final = "edge-agent.toml"
ENVIRONMENT_VARIABLE: Final = "EDGE_AGENT_CONFIG"
MAX_FILE_BYTES: Final = 64 * 1024

Device = Literal["auto", "cpu", "cuda"]
KeyPath = tuple[str, ...]

_SHOWN_CHARS = 60  # of a wrong value, in a message
_KEY_DEPTH = 3  # [budget.shares] llm is the deepest option
_STATEMENT_TRIES = 200  # each may cost milliseconds
_VALUE_END = re.compile(r"[\]}]|\"{3}|'{3}")  # of a value of several lines
_MS = "milliseconds"
_MODEL = "the id of a model in the catalog, or the path of one"
_FOLDER = 'the path of a folder, or "" for the usual one'


def _whole(default: int, low: int, high: int, unit: str = "") -> int:
    kind = f"a whole number of {unit}" if unit else "a whole number"
    return Field(default, ge=low, le=high, json_schema_extra={"allowed": f"{kind} from {low} to {high}"})


def _number(default: float, low: float, high: float) -> float:
    return Field(default, ge=low, le=high, json_schema_extra={"allowed": f"a number from {low} to {high}"})


def _text(default: str, allowed: str, least: int = 0, most: int = 4096, form: str = r"^[^\x00]*$") -> str:
    return Field(default, min_length=least, max_length=most, pattern=form, json_schema_extra={"allowed": allowed})


def _usable_path(value: str) -> str:
    try:
        Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError("~ names a user without a home folder") from error
    return value


FilePath = Annotated[str, AfterValidator(_usable_path)]


class Section(BaseModel):
    """A table of the file: immutable, exactly typed, no option that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class House(Section):
    """What is fixed when the house starts: session slots, where state lives, how much is logged."""

    slots: int = _whole(4, 1, 16)
    state_dir: FilePath = _text("", _FOLDER)
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Persona(Section):
    """Who answers: its name, its system prompt ("" for the model's own), the language spoken with it."""

    name: str = _text("assistant", "text of 1 to 64 characters", least=1, most=64)
    instructions: str = _text("", "text of at most 8000 characters", most=8000)
    language: str = _text("auto", '"auto" or a two-letter ISO 639-1 code such as "en"', form="^(auto|[a-z]{2})$")


class Models(Section):
    """Which models run: catalog ids, or paths of the owner's own. `dir` is where they lie, "" for the usual folder."""

    dir: FilePath = _text("", _FOLDER)
    asr: FilePath = _text("whisper-base", _MODEL, least=1)
    llm: FilePath = _text("smollm2-135m-instruct", _MODEL, least=1)
    tts: FilePath = _text("piper-en_US-joe-medium", _MODEL, least=1)
    turn: FilePath = _text("smart-turn-v3.2", _MODEL, least=1)


class Devices(Section):
    """Where each engine runs."""

    asr: Device = "auto"
    llm: Device = "auto"
    tts: Device = "auto"


class Threads(Section):
    """CPU threads of each worker's engine."""

    ears: int = _whole(1, 1, 64)
    asr: int = _whole(1, 1, 64)
    llm: int = _whole(2, 1, 64)
    tts: int = _whole(2, 1, 64)


class Endpoint(Section):
    """When the user has begun, paused and finished: silences in milliseconds, turn detector probabilities."""

    onset_ms: int = _whole(96, 32, 500, _MS)
    pause_ms: int = _whole(64, 32, 500, _MS)
    sure_ms: int = _whole(352, 32, 10_000, _MS)
    unsure_ms: int = _whole(650, 32, 10_000, _MS)
    patient_ms: int = _whole(1200, 32, 10_000, _MS)
    unsure_at: float = _number(0.5, 0.0, 1.0)
    sure_at: float = _number(0.8, 0.0, 1.0)
    utterance_max_s: int = _whole(60, 5, 120, "seconds")

    @field_validator("sure_ms", "unsure_ms", "patient_ms", "sure_at")
    @classmethod
    def _increasing(cls, value: float, info: ValidationInfo) -> float:
        name = info.field_name or ""
        order = ("pause_ms", "sure_ms", "unsure_ms", "patient_ms") if name.endswith("_ms") else ("unsure_at", "sure_at")
        before = [(info.data[other], other) for other in order[: order.index(name)] if other in info.data]
        if before and value <= max(before)[0]:
            least, other = max(before)
            sentence = f"is {value}; it must be more than endpoint.{other}, which is {least}"
            raise PydanticCustomError("relation", "{sentence}", {"sentence": sentence, "also": other})
        return value


class Reply(Section):
    """How the agent speaks: `max_tokens` 0 is the model's own, `speed` 1.0 the voice's own rate."""

    max_tokens: int = _whole(0, 0, 4096, "tokens")
    first_clause: Literal["natural", "eager"] = "natural"
    speed: float = _number(1.0, 0.5, 2.0)
    interruptible: bool = True


class Shares(Section):
    """How the budget is divided between the stages, in milliseconds."""

    endpoint: int = _whole(400, 1, 10_000, _MS)
    asr: int = _whole(100, 1, 10_000, _MS)
    llm: int = _whole(180, 1, 10_000, _MS)
    tts: int = _whole(90, 1, 10_000, _MS)
    playout: int = _whole(30, 1, 10_000, _MS)


class Budget(Section):
    """What a turn may take, from the last sample of the user's speech to the first audible one of the answer."""

    total_ms: int = _whole(800, 100, 10_000, _MS)
    ladder: bool = True
    acknowledgements: bool = False
    shares: Shares = Shares()

    @field_validator("shares")
    @classmethod
    def _fill_total(cls, shares: Shares, info: ValidationInfo) -> Shares:
        """Shares that were not given divide what the others leave, in proportion to their defaults."""
        if "total_ms" not in info.data:
            return shares
        total_ms: int = info.data["total_ms"]
        given: dict[str, int] = shares.model_dump(include=shares.model_fields_set)
        defaults = {name: field.default for name, field in Shares.model_fields.items() if name not in given}
        taken_ms, weight, filled = sum(given.values()), sum(defaults.values()), dict(given)
        left_ms = total_ms - taken_ms
        for name, default in defaults.items():  # what is left shrinks with its weight, so rounding never loses any
            filled[name] = round(left_ms * default / weight)
            left_ms, weight = left_ms - filled[name], weight - default
        if left_ms or min(filled.values()) < 1:
            rest = f" and leave too little for {', '.join(defaults)}" if defaults else ""
            sentence = f"add up to {taken_ms} milliseconds{rest}; they must make budget.total_ms, which is {total_ms}"
            raise PydanticCustomError("relation", "{sentence}", {"sentence": sentence, "also": "total_ms"})
        return Shares(**filled)


class Journal(Section):
    """What is kept of conversations, and for how many days (0: for ever)."""

    enabled: bool = True
    keep_days: int = _whole(30, 0, 36_500, "days")


class Config(Section):
    """Everything an owner can choose. Immutable; travels to worker processes as JSON."""

    house: House = House()
    persona: Persona = Persona()
    models: Models = Models()
    devices: Devices = Devices()
    threads: Threads = Threads()
    endpoint: Endpoint = Endpoint()
    reply: Reply = Reply()
    budget: Budget = Budget()
    journal: Journal = Journal()

    @property
    def state_dir(self) -> Path:
        """Where the journal, logs and learnt predictions live.

        Raises:
            ConfigError: `config.home` when no option says so and this user has no home folder.
        """
        folder = self.house.state_dir or user_state_dir(APP)
        try:
            return Path(folder).expanduser()
        except RuntimeError as error:
            needed = f"{folder} needs a home folder, and this user has none; set house.state_dir."
            raise ConfigError("home", needed) from error

    def to_json(self) -> str:
        """What another process needs to have the same configuration."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Config:
        """The configuration that `to_json` wrote.

        Raises:
            ConfigError: `config.invalid` when it did not.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError("invalid", _sentences("the configuration handed over", error, {})) from error


def load(path: Path | None = None) -> Config:
    """Read the configuration file: `path`, or the first one found where the module says, or else all defaults.

    Raises:
        ConfigError: `config.missing` when a file that was asked for does not exist, `config.unreadable` when one cannot
            be read, `config.syntax` when it is not TOML, `config.invalid` with a line for every option that is wrong.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    origin = f", which ${ENVIRONMENT_VARIABLE} names," if path is None else ""
    if path is None and named:
        path = Path(named)
    for place in [path] if path else [Path(FILE_NAME), user_config_path(APP) / FILE_NAME]:
        text = _read(place)
        if text is not None:
            return _parse(_printable(place), text)
    if path:
        raise ConfigError("missing", f"The configuration file {_printable(path)}{origin} does not exist.")
    return Config()


def _read(path: Path) -> str | None:
    """The text of the file; None when there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("unreadable", f"{_printable(path)} cannot be read: {reason}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError("unreadable", f"{_printable(path)} is longer than {MAX_FILE_BYTES // 1024} KiB.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("syntax", f"{_printable(path)}, line {line}: the file must be text in UTF-8.") from error


def _parse(name: str, text: str) -> Config:
    try:
        return Config.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError("invalid", _sentences(name, error, key_lines(text))) from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a number of thousands of digits, deep nesting
        raise ConfigError("syntax", _syntax_sentence(name, text, str(error))) from error


def _syntax_sentence(name: str, text: str, reason: str) -> str:
    place = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", reason, re.DOTALL)
    if place is None:
        return f"{name} is not valid TOML: {_printable(reason)}."
    lines = text.split("\n")
    line, column = place[2] or len(lines), place[3] or len(lines[-1]) + 1
    hint = "; text stands in double quotes" if place[1] == "Invalid value" else ""
    return f"{name}, line {line}, column {column} is not valid TOML: {_printable(place[1])}{hint}."


def _sentences(name: str, error: ValidationError, lines: dict[KeyPath, int]) -> str:
    """One line for each mistake, in the order of the file."""
    found: list[tuple[int, str]] = []
    for mistake in error.errors(include_url=False):
        path = tuple(str(step) for step in mistake["loc"])
        related = (*path[:-1], mistake.get("ctx", {}).get("also", ""))  # the option that this one contradicts
        tables = [path[:length] for length in range(len(path) - 1, 0, -1)]
        line = next((lines[place] for place in (path, related, *tables) if place in lines), 0)
        where = f"{name}, line {line}" if line else name
        found.append((line, f"{where}: {_sentence(path, mistake, lines)}"))
    return "\n".join(sentence for _, sentence in sorted(found, key=lambda item: item[0]))


def _sentence(path: KeyPath, mistake: ErrorDetails, lines: dict[KeyPath, int]) -> str:
    option = _dotted(path)
    if mistake["type"] == "extra_forbidden":
        return _unknown(path, is_section=isinstance(mistake["input"], dict))
    if mistake["type"] == "relation":
        default = "" if path in lines or not lines else ", which the file leaves at its default,"
        return f"{option}{default} {mistake['msg']}."
    allowed = dict(_options()).get(path, f"a table, [{option}]" if path else "a JSON object")
    return f"{option or 'all of it'} is {_shown(mistake['input'])}; it must be {allowed}."


def _unknown(path: KeyPath, is_section: bool) -> str:
    """What to say about a key that is no option: the nearest one, else all there are."""
    table, key = path[:-1], path[-1]
    known = sorted({option[len(table)] for option, _ in _options() if option[: len(table)] == table})
    near = [(*table, name) for name in get_close_matches(key, known, n=1)]
    near = near or [option for option, _ in _options() if option[-1] == key]
    if near:
        hint = f"did you mean {' or '.join(_dotted(option) for option in near)}?"
    else:
        hint = f"{f'[{_dotted(table)}]' if table else 'the file'} has {', '.join(known)}."
    return f"there is no {'section' if is_section else 'option'} {_dotted(path)}; {hint}"


def _options(section: type[Section] = Config, table: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every option with what is allowed in it."""
    for name, field in section.model_fields.items():
        kind, extra = field.annotation, field.json_schema_extra
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _options(kind, (*table, name))
        elif isinstance(extra, dict):
            yield (*table, name), str(extra["allowed"])
        else:
            *most, last = [f'"{choice}"' for choice in get_args(kind)] or ["true", "false"]
            yield (*table, name), f"{', '.join(most)} or {last}"


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of the statement in which each key and each table of a valid TOML document first stands.

    A statement is the fewest lines that are valid by themselves, so tomllib finds its end; one that tries its patience
    hides what follows. Indices of arrays of tables are no part of a path.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()  # of the last header
    statement, start, tries = "", 1, 0
    for number, line in enumerate(text.split("\n"), 1):
        statement += f"{line}\n"
        if tries == _STATEMENT_TRIES or (number > start and not _VALUE_END.search(line)):
            continue
        try:
            paths = list(_key_paths(tomllib.loads(statement)))
        except (ValueError, RecursionError):
            tries += 1
            continue
        is_header = statement.lstrip().startswith("[")
        for path in paths:
            lines.setdefault(path if is_header else (*table, *path), start)
        table = paths[-1] if is_header else table
        statement, start, tries = "", number + 1, 0
    return lines


def _key_paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every key in a document, parents first, as deep as options go."""
    if path:
        yield path
    for table in value if isinstance(value, list) else [value]:
        if isinstance(table, dict) and len(path) < _KEY_DEPTH:
            for key, inner in table.items():
                yield from _key_paths(inner, (*path, key))


def _dotted(path: KeyPath) -> str:
    return ".".join(key if re.fullmatch(r"[\w-]{1,60}", key, re.ASCII) else _shown(key) for key in path)


def _shown(value: object) -> str:
    """A wrong value, as one short piece of a line."""
    if isinstance(value, dict | list | Section):
        return "a list" if isinstance(value, list) else "a table"
    if isinstance(value, bool | str):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = "a huge number" if isinstance(value, int) and abs(value) >= 10**20 else str(value)
    return _printable(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")


def _printable(text: object) -> str:
    """`text` on one line: what cannot be printed is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text))
