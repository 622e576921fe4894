"""Log-mel spectrogram as Whisper defines it, for every model that hears through it (Whisper, smart-turn).

Radford et al. 2022, section 2.2: 25 ms Hann windows every 10 ms, power spectrum, triangular filters on the Slaney mel
scale with equal area, log10 floored 8 below the loudest value, then (x + 4) / 4.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms
FRAMES_PER_S = RATE_HZ // HOP_SAMPLES

_FFT_SAMPLES = 400  # 25 ms
_BLOCK_FRAMES = 32  # at a time: what lies between stays in the cache, and malloc asks the system for no pages
_FLOOR = 1e-10  # power below which the logarithm is cut
_RANGE = 8.0  # decades kept below the loudest value
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0  # Slaney: linear below, logarithmic above
_MEL_PER_HZ = _KNEE_MEL / _KNEE_HZ
_MEL_PER_LOG_HZ = 27.0 / np.log(6.4)


def log_mel(pcm: NDArray[np.floating[Any]], *, bands: int = 80) -> NDArray[np.float32]:
    """Whisper's features, computed in the precision of `pcm`.

    Args:
        pcm: float32[n] or float64[n] at 16 kHz, n >= 400, in [-1, 1] or normalised.
        bands: number of mel bands (80; 128 for large-v3 and its descendants).

    Returns:
        float32[bands, n // 160], one column for each 10 ms.
    """
    padded = np.pad(pcm, _FFT_SAMPLES // 2, mode="reflect")
    windows = sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES][: len(pcm) // HOP_SAMPLES]
    hann, filters = _hann().astype(pcm.dtype), _filters(bands).astype(pcm.dtype)
    decades = np.empty((bands, len(windows)), dtype=pcm.dtype)
    for at in range(0, len(windows), _BLOCK_FRAMES):
        spectrum = np.fft.rfft(windows[at : at + _BLOCK_FRAMES] * hann)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        decades[:, at : at + _BLOCK_FRAMES] = np.log10(np.maximum(filters @ power.T, _FLOOR))
    features = (np.maximum(decades, decades.max() - _RANGE) + 4.0) / 4.0
    return np.ascontiguousarray(features, dtype=np.float32)


@cache
def _hann() -> NDArray[np.float64]:
    """Periodic Hann window, float64[400]."""
    return np.hanning(_FFT_SAMPLES + 1)[:-1]


@cache
def _filters(bands: int) -> NDArray[np.float64]:
    """Triangular filters of equal area, float64[bands, 201]."""
    bins_hz = np.linspace(0.0, RATE_HZ / 2, _FFT_SAMPLES // 2 + 1)
    top_mel = _KNEE_MEL + np.log(RATE_HZ / 2 / _KNEE_HZ) * _MEL_PER_LOG_HZ
    corners_hz = _to_hz(np.linspace(0.0, top_mel, bands + 2))
    low, middle, high = (corners_hz[k : k + bands, None] for k in range(3))
    rising = (bins_hz - low) / (middle - low)
    falling = (high - bins_hz) / (high - middle)
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return triangles


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale, inverted."""
    logarithmic = _KNEE_HZ * np.exp((mel - _KNEE_MEL) / _MEL_PER_LOG_HZ)
    return np.where(mel < _KNEE_MEL, mel / _MEL_PER_HZ, logarithmic)
