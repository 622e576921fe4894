"""The machine that a figure was taken on, and what ran on it: without these a figure says nothing."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from edge_agent.config import Config

PACKAGES = (
    "edge-agent",
    "faster-whisper",
    "ctranslate2",
    "llama-cpp-python",
    "piper-tts",
    "silero-vad",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "soxr",
)
_CPU_INFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")  # arm64 boards name themselves here; their cpuinfo names no model
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and its software.

    Attributes:
        date: when it was looked at, ISO 8601, UTC.
        cpu: model of the processor, or of the board.
        cores: logical cores that this process may use.
        memory_bytes: of the machine.
        gpus: NVIDIA GPUs that the driver lists.
        load: runnable processes, the mean of the last minute: on a busy machine figures are worse.
        system: kernel and architecture.
        python: version of the interpreter.
        packages: versions of the engines that are installed.
        models: configured model by role; of an owner's own model only the name of the file.
        config_sha256: of the whole configuration.
    """

    date: str
    cpu: str
    cores: int
    memory_bytes: int
    gpus: tuple[str, ...]
    load: float
    system: str
    python: str
    packages: dict[str, str]
    models: dict[str, str]
    config_sha256: str

    @classmethod
    def here(cls, config: Config) -> Machine:
        """The machine that this runs on, with this configuration."""
        models = config.models.model_dump(exclude={"dir"})
        return cls(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=psutil.virtual_memory().total,
            gpus=_gpus(),
            load=round(os.getloadavg()[0], 2),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
            models={role: Path(name).name for role, name in models.items()},
            config_sha256=hashlib.sha256(config.to_json().encode()).hexdigest(),
        )

    def __str__(self) -> str:
        gpus = "".join(f", {gpu}" for gpu in self.gpus)
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_bytes / 2**30:.1f} GiB{gpus}; {self.system}, "
            f"Python {self.python}; load {self.load:g}; {', '.join(self.models.values())}"
        )


def _cpu() -> str:
    model = re.search(r"^model name\s*:\s*(.+)$", _text(_CPU_INFO), re.MULTILINE)
    return (model[1] if model else _text(_BOARD)).strip(" \0\n") or platform.machine()


def _gpus() -> tuple[str, ...]:
    found = (re.search(r"^Model:\s*(.+)$", _text(path), re.MULTILINE) for path in sorted(_GPUS.glob("*/information")))
    return tuple(model[1].strip() for model in found if model)


def _text(path: Path) -> str:
    """What the kernel says there; nothing where it says nothing."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
