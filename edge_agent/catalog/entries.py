"""What stands in the catalog: models, their files, where each file comes from, and profiles.

An entry is one model. It lists files (name, size, sha256); each file lists sources, tried in order. A source is a
model hub (repository, revision, path) or the members of wheels on the configured Python package index, joined.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints, model_validator

Kind = Literal["asr", "llm", "tts", "turn"]
KINDS: tuple[Kind, ...] = ("asr", "llm", "tts", "turn")

# No separators, no leading dot: a name of the catalog can never point out of the models folder.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+.-]*(/[A-Za-z0-9_][A-Za-z0-9_+.-]*)*$")
]
Repository = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
Sentence = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    """A table of the catalog: immutable, exactly typed, no key that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WheelMember(Table):
    """One file inside the wheel of `package` `version`; the package is never installed."""

    package: Name
    version: Name
    path: RelativePath


class PackageSource(Table):
    """Wheels on the configured package index; several members are joined in the order given."""

    type: Literal["package"]
    members: Annotated[tuple[WheelMember, ...], Strict(False), Field(min_length=1)]

    def __str__(self) -> str:
        return "package " + " + ".join(dict.fromkeys(f"{member.package} {member.version}" for member in self.members))


class HubSource(Table):
    """A file of a model hub repository at a fixed revision."""

    type: Literal["hub"]
    repository: Repository
    revision: RelativePath
    path: RelativePath

    def __str__(self) -> str:
        return f"hub {self.repository}"


Source = Annotated[PackageSource | HubSource, Field(discriminator="type")]


class ModelFile(Table):
    """One file of a model: `path` is its name in the model's folder, `size` is in bytes."""

    path: Name
    size: PositiveCount
    sha256: Sha256
    sources: Annotated[tuple[Source, ...], Strict(False), Field(min_length=1)]


class Chat(Table):
    """How a language model is prompted and sampled, and how much of the conversation it sees.

    `examples` are exchanges (user, assistant) shown to it before every conversation, as long as its own `system` prompt
    is used; they count towards `history_tokens`.
    """

    system: Sentence
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Count  # 0: no limit
    repeat_penalty: Annotated[float, Field(gt=0, le=2)]
    max_tokens: PositiveCount
    history_exchanges: Count
    history_tokens: Count
    context_tokens: PositiveCount
    examples: Annotated[tuple[Annotated[tuple[Sentence, Sentence], Strict(False)], ...], Strict(False)] = ()

    @model_validator(mode="after")
    def _fits_the_context(self) -> Chat:
        if self.history_tokens + self.max_tokens > self.context_tokens:
            raise ValueError("history_tokens + max_tokens must fit in context_tokens")
        return self


class Model(Table):
    """What every entry has. `id` is its key in the catalog and the name of its folder."""

    id: Name
    title: Sentence
    licence: Sentence
    files: Annotated[tuple[ModelFile, ...], Strict(False), Field(min_length=1)]

    @model_validator(mode="after")
    def _names_once(self) -> Model:
        names = [file.path for file in self.files]
        if len(set(names)) != len(names):
            raise ValueError("a file is listed twice")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def opens(self) -> str:
        """What the engine opens, relative to the model's folder: the first file listed, or `.` for the folder."""
        return self.files[0].path


class AsrModel(Model):
    """A speech recognizer; its engine opens the folder."""

    kind: Literal["asr"]
    languages: Literal["multilingual"] | Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]

    @property
    def opens(self) -> str:
        """The folder itself."""
        return "."


class LlmModel(Model):
    """A language model in one GGUF file."""

    kind: Literal["llm"]
    chat: Chat


class TtsModel(Model):
    """A voice: an ONNX file, listed first, and its settings beside it."""

    kind: Literal["tts"]
    language: Sentence
    rate_hz: PositiveCount


class TurnModel(Model):
    """A turn detector in one ONNX file."""

    kind: Literal["turn"]


Entry = Annotated[AsrModel | LlmModel | TtsModel | TurnModel, Field(discriminator="kind")]


class Profile(Table):
    """One model of each kind, and others that go well with them but are fetched only when asked for."""

    title: Sentence
    asr: Name
    llm: Name
    tts: Name
    turn: Name
    optional: Annotated[tuple[Name, ...], Strict(False)] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Ids of the models the profile runs with, in the order of `KINDS`."""
        return (self.asr, self.llm, self.tts, self.turn)
