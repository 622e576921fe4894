"""The real models, loaded once, and a person who speaks through Piper."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from edge_agent.engines.piper import PiperEngine
from edge_agent.engines.silero import SileroVad
from edge_agent.engines.smart_turn import SmartTurn
from edge_agent.engines.whisper import WhisperEngine

ROOT = Path(__file__).parents[2]
RATE_HZ = 16_000

Speak = Callable[..., np.ndarray]


def model(*parts: str) -> Path:
    path = Path(os.environ.get("EDGE_AGENT_MODELS", ROOT / "models")).joinpath(*parts)
    if not path.exists():
        pytest.fail(f"{path} is missing: run ./install.sh, or set EDGE_AGENT_MODELS to the folder with the models")
    return path


@pytest.fixture(scope="session")
def voice_path() -> Path:
    return model("piper-en_US-joe-medium", "en_US-joe-medium.onnx")


@pytest.fixture(scope="session")
def piper(voice_path: Path) -> PiperEngine:
    return PiperEngine(voice_path, device="cpu")


@pytest.fixture(scope="session")
def whisper() -> WhisperEngine:
    return WhisperEngine(model("whisper-base"), device="cpu")


@pytest.fixture(scope="session")
def english() -> WhisperEngine:
    return WhisperEngine(model("whisper-tiny.en"), device="cpu")


@pytest.fixture(scope="session")
def smart_turn() -> SmartTurn:
    return SmartTurn(model("smart-turn-v3.2", "smart-turn-v3.2-cpu.onnx"))


@pytest.fixture(scope="session")
def silero() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="session")
def even_piper(voice_path: Path, tmp_path_factory: pytest.TempPathFactory) -> PiperEngine:
    """The same voice without its random variation: it says a text the same way each time."""
    folder = tmp_path_factory.mktemp("voice")
    settings = json.loads(Path(f"{voice_path}.json").read_text(encoding="utf-8"))
    settings["inference"] |= {"noise_scale": 0.0, "noise_w": 0.0}
    (folder / "even.onnx").symlink_to(voice_path.resolve())
    (folder / "even.onnx.json").write_text(json.dumps(settings), encoding="utf-8")
    return PiperEngine(folder / "even.onnx", device="cpu")


@pytest.fixture(scope="session")
def speak(even_piper: PiperEngine) -> Speak:
    """Speech as a worker receives it: float32 at 16 kHz, 300 ms of faint noise before it and `after_s` behind it."""

    def spoken(text: str, *, after_s: float = 0.15, scale: float = 1.0) -> np.ndarray:
        utterance = even_piper.synthesize(text, length_scale=scale, tail_s=0.0)
        speech = soxr.resample(utterance.pcm / 32768.0, utterance.rate_hz, RATE_HZ)
        pcm = np.concatenate([np.zeros(int(0.3 * RATE_HZ)), speech, np.zeros(int(after_s * RATE_HZ))])
        return (pcm + np.random.default_rng(0).normal(0.0, 1e-4, len(pcm))).astype(np.float32)

    return spoken
