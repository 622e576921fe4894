"""End of turn from sound alone: smart-turn v3 (Pipecat), a Whisper-tiny encoder with a classifier on the last 8 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.engines.device import onnx_session
from edge_agent.engines.mel import RATE_HZ, log_mel

WINDOW_S = 8.0

_WINDOW_SAMPLES = int(WINDOW_S * RATE_HZ)
_VARIANCE_FLOOR = 1e-7  # as in transformers' zero_mean_unit_var_norm


class SmartTurn:
    """The model, shared by all sessions of a process; it keeps nothing between calls.

    Args:
        path: smart-turn-v3.x-cpu.onnx.
        threads: threads inside one operator.

    Raises:
        EngineError: `onnx.missing` or `onnx.load`.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._session = onnx_session(path, device="cpu", threads=threads, fixed_shapes=True)

    def probability(self, pcm: NDArray[np.float32]) -> float:
        """How likely the speaker is done, from 0 to 1.

        Args:
            pcm: float32[n] at 16 kHz, ending now; the last 8 s are used, less is padded with silence in front.
        """
        return float(self._session.run(None, {"input_features": features(pcm)[None]})[0][0, 0])


def features(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the model hears: float32[80, 800] of the last 8 s, the whole window (padding too) at unit variance.

    Follows `WhisperFeatureExtractor(chunk_length=8)(..., do_normalize=True)` of the transformers library, on which
    the model was trained. The spectrum is taken in float64 as it is there: the model rounds to 8 bits inside, and a
    difference of 1e-6 in its input can move an undecided probability by 0.2.
    """
    window = np.zeros(_WINDOW_SAMPLES, dtype=np.float32)
    tail = pcm[-_WINDOW_SAMPLES:]
    window[_WINDOW_SAMPLES - len(tail) :] = tail
    window -= window.mean()
    window /= np.sqrt(window.var() + np.float32(_VARIANCE_FLOOR))
    return log_mel(window.astype(np.float64))
