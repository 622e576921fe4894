"""A sound file as a microphone would give it: 16 kHz mono int16, in frames, whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from edge_agent.errors import AudioError
from edge_agent.records import CAPTURE_RATE_HZ

BLOCK_S = 1.0  # read at a time: memory stays flat for any length
FORMATS = "WAV, FLAC, OGG, MP3 or AIFF"


class SoundFileSource:
    """Opens a file, checks it, and gives its sound in frames.

    Any format, sample rate, width and number of channels that libsndfile reads; channels are averaged.

    Attributes:
        path: the file.
        duration_s: its length in seconds as its header says.

    Raises:
        AudioError: `audio.missing`, `audio.unreadable` or `audio.empty`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise AudioError("missing", f"There is no file {path}. Name an existing recording ({FORMATS}).")
        if path.is_dir():
            raise AudioError("unreadable", f"{path} is a folder. Name the recordings in it one by one.")
        if path.stat().st_size == 0:
            raise AudioError("empty", f"{path} is an empty file of 0 bytes. Record something into it.")
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
            raise AudioError("unreadable", f"{path} cannot be read as sound ({reason}). Give {FORMATS}.") from error
        if self._file.frames == 0:
            self._file.close()
            raise AudioError("empty", f"{path} holds no samples. Record something into it.")
        self.duration_s = self._file.frames / self._file.samplerate

    def frames(self, samples: int) -> Iterator[NDArray[np.int16]]:
        """The sound in order, int16[samples] each; the last one is filled up with silence.

        Raises:
            AudioError: `audio.unreadable`, when the file turns out to be broken further in.
        """
        rest = np.zeros(0, np.int16)
        for block in self._blocks():
            rest = np.concatenate([rest, block])
            whole = len(rest) // samples * samples
            for at in range(0, whole, samples):
                yield rest[at : at + samples]
            rest = rest[whole:]
        if len(rest):
            yield np.pad(rest, (0, samples - len(rest)))

    def _blocks(self) -> Iterator[NDArray[np.int16]]:
        rate_hz = self._file.samplerate
        resampler = soxr.ResampleStream(rate_hz, CAPTURE_RATE_HZ, 1, dtype="float32", quality="HQ")
        size = int(rate_hz * BLOCK_S)
        try:
            with self._file:
                while True:
                    block = self._file.read(size, dtype="float32", always_2d=True)
                    last = len(block) < size
                    mono = np.nan_to_num(block.mean(axis=1), nan=0.0, posinf=1.0, neginf=-1.0)
                    if rate_hz != CAPTURE_RATE_HZ:
                        mono = resampler.resample_chunk(mono, last=last)
                    yield (np.clip(mono, -1.0, 1.0) * 32767).astype(np.int16)
                    if last:
                        return
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioError("unreadable", f"{self.path} is broken ({error}). Record it again.") from error

    def close(self) -> None:
        """Close the file; `frames` does it too when it reached the end."""
        self._file.close()
