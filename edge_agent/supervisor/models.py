"""Which model files the house runs with: found and checked before any worker starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.catalog.adopted import adopt
from edge_agent.catalog.entries import Chat, LlmModel
from edge_agent.catalog.store import Store
from edge_agent.config import Config
from edge_agent.errors import CatalogError

ROLES = ("asr", "llm", "tts", "turn")
OWN_MODEL_CHAT = Chat(
    system="You are a helpful voice assistant. Answer in one or two short sentences.",
    temperature=0.0,
    top_p=1.0,
    top_k=0,
    repeat_penalty=1.0,
    max_tokens=120,
    history_exchanges=8,
    history_tokens=1536,
    context_tokens=2048,
)


@dataclass(frozen=True, slots=True)
class ChosenModels:
    """What the engines open, and how the language model is prompted.

    Attributes:
        opens: path by role (asr, llm, tts, turn).
        chat: of the language model's catalog entry, or sensible values for the owner's own model.
    """

    opens: dict[str, str]
    chat: Chat


def choose(config: Config) -> ChosenModels:
    """Find and check the models that the configuration names: by catalog id, else by path.

    Raises:
        CatalogError: a model is missing, broken, of the wrong kind, or named neither in the catalog nor on the disk.
    """
    store = Store(Path(config.models.dir).expanduser() if config.models.dir else None)
    opens: dict[str, str] = {}
    chat = OWN_MODEL_CHAT
    for role in ROLES:
        name: str = getattr(config.models, role)
        path = Path(name).expanduser()
        if name not in store.catalog.models and path.exists():
            opens[role] = str(adopt(path))
            continue
        entry = store.catalog.entry(name)
        if entry.kind != role:
            message = f"models.{role} is {name}, which is a model for {entry.kind}; name one for {role}."
            raise CatalogError("wrong_kind", message)
        opens[role] = str(store.require(name))
        if isinstance(entry, LlmModel):
            chat = entry.chat
    return ChosenModels(opens, chat)
