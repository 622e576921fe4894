"""Every error that a person may see, in one tree.

EdgeAgentError
├── ConfigError      the configuration file or an option in it is wrong
├── CatalogError     a model is missing, broken or cannot be fetched
├── RingError        shared memory is misused or gone
├── AudioError       a sound file or stream cannot be used
├── EngineError      a model library refused to load or run
├── WorkerError      a worker process failed
├── SupervisorError  the house cannot be started or kept up
├── JournalError     the journal cannot be read or written
├── FrontendError    a conversation cannot be held
└── BenchError       a benchmark cannot run or missed what it enforces

Each carries a machine code (`ring.full`) and one sentence: what failed, what was expected, what to do.
"""

from __future__ import annotations


class EdgeAgentError(Exception):
    """Base of the tree. `code` is for programs, the message is for people.

    Args:
        code: dotted lower-case identifier, stable between versions.
        message: one or two sentences: what failed, what was expected, what to do.
    """

    subsystem = "edge_agent"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"{self.subsystem}.{code}"

    def __reduce__(self) -> tuple[type[EdgeAgentError], tuple[str, str]]:
        return type(self), (self.code.split(".", 1)[1], str(self))


class ConfigError(EdgeAgentError):
    """The configuration file, or an option in it, is wrong."""

    subsystem = "config"


class CatalogError(EdgeAgentError):
    """A model is missing, broken, or cannot be fetched."""

    subsystem = "catalog"


class RingError(EdgeAgentError):
    """Shared memory is misused or gone."""

    subsystem = "ring"


class AudioError(EdgeAgentError):
    """A sound file or stream cannot be used."""

    subsystem = "audio"


class EngineError(EdgeAgentError):
    """A model library refused to load or to run."""

    subsystem = "engine"


class WorkerError(EdgeAgentError):
    """A worker process failed."""

    subsystem = "worker"


class SupervisorError(EdgeAgentError):
    """The house cannot be started or kept up."""

    subsystem = "supervisor"


class JournalError(EdgeAgentError):
    """The journal cannot be read or written."""

    subsystem = "journal"


class FrontendError(EdgeAgentError):
    """A conversation cannot be held."""

    subsystem = "frontend"


class BenchError(EdgeAgentError):
    """A benchmark cannot run, or missed what it enforces."""

    subsystem = "bench"
