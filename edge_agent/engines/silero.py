"""Voice activity: Silero VAD v6, a speech probability for each 32 ms frame."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.engines.device import OnnxSession, onnx_session
from edge_agent.errors import EngineError

RATE_HZ = 16_000
FRAME_SAMPLES = 512  # 32 ms, the only frame length of the 16 kHz model

_CONTEXT_SAMPLES = 64  # the end of the frame before, which the model sees again
_STATE_SHAPE = (2, 1, 128)


class SileroVad:
    """The model, shared by all sessions of a process; each session's memory is a `VadStream`.

    Raises:
        EngineError: `silero.missing` when the silero-vad package or its model file is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._session = onnx_session(_model_path(), device="cpu", threads=threads, fixed_shapes=True)

    def stream(self) -> VadStream:
        """A listener that starts from silence."""
        return VadStream(self._session)


class VadStream:
    """One session's ear: recurrent state and the last 4 ms of the frame before."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session
        self._rate = np.array(RATE_HZ, dtype=np.int64)
        self._input = np.zeros((1, _CONTEXT_SAMPLES + FRAME_SAMPLES), dtype=np.float32)
        self._state = np.zeros(_STATE_SHAPE, dtype=np.float32)

    def probability(self, frame: NDArray[np.float32]) -> float:
        """How likely `frame` holds speech.

        Args:
            frame: float32[512] at 16 kHz in [-1, 1], following the frame of the call before without a gap.

        Returns:
            Probability from 0 to 1.
        """
        self._input[0, :_CONTEXT_SAMPLES] = self._input[0, -_CONTEXT_SAMPLES:]
        self._input[0, _CONTEXT_SAMPLES:] = frame
        feeds: dict[str, NDArray[Any]] = {"input": self._input, "state": self._state, "sr": self._rate}
        probability, self._state = self._session.run(None, feeds)
        return float(probability[0, 0])

    def reset(self) -> None:
        """Forget what was heard, as after a gap in the sound."""
        self._input.fill(0.0)
        self._state = np.zeros(_STATE_SHAPE, dtype=np.float32)


def _model_path() -> Path:
    """The ONNX file inside the installed package, found without importing it (importing it needs torch)."""
    spec = importlib.util.find_spec("silero_vad")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    for folder in folders:
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise EngineError(
        "silero.missing",
        "The voice activity model data/silero_vad.onnx of the silero-vad package is not installed; run ./install.sh.",
    )
