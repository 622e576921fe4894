"""The WAV-file frontend: recordings are played into the house in real time, as a person would speak them.

The device is simulated, the clock is real. A microphone frame of 20 ms is given when its last sample is due; a
loudspeaker block of 10 ms is fetched when its first sample is due, and a block that is fetched too late is silence, as
it would be at a device. Both sides are recorded on that one clock: left what the user said, right what was played,
each sample where it was due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from edge_agent.audio.playout import BLOCK_MS
from edge_agent.clock import MS, SECOND, now_ns
from edge_agent.errors import FrontendError
from edge_agent.frontends.session import Session
from edge_agent.records import CAPTURE_RATE_HZ

DEVICE_RATE_HZ = 24_000
FRAME_MS = 20
FRAME_SAMPLES = CAPTURE_RATE_HZ * FRAME_MS // 1000
LATE_BLOCKS_MAX = 1  # a device holds one block in reserve


class Recording:
    """The stereo file, written as the conversation goes on, so that a sudden end loses a second at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = soundfile.SoundFile(path, "w", DEVICE_RATE_HZ, 2, "PCM_16", format="WAV")
        except (soundfile.SoundFileError, OSError) as error:
            message = f"The recording {path} cannot be written ({error}). Choose a writable file."
            raise FrontendError("recording", message) from error
        self._up = soxr.ResampleStream(CAPTURE_RATE_HZ, DEVICE_RATE_HZ, 1, dtype="int16", quality="HQ")
        self._left: list[NDArray[np.int16]] = []
        self._right: list[NDArray[np.int16]] = []
        self._seconds = 0.0

    def user(self, pcm: NDArray[np.int16]) -> None:
        """What the microphone gave next."""
        self._left.append(self._up.resample_chunk(pcm))

    def agent(self, pcm: NDArray[np.int16]) -> None:
        """What the loudspeaker played next."""
        self._right.append(pcm)
        self._seconds += len(pcm) / DEVICE_RATE_HZ
        if self._seconds >= 1.0:
            self._write()

    def _write(self, *, last: bool = False) -> None:
        if last:
            self._left.append(self._up.resample_chunk(np.zeros(0, np.int16), last=True))
        left, right = np.concatenate([*self._left, []]), np.concatenate([*self._right, []])
        length = max(len(left), len(right)) if last else min(len(left), len(right))
        sides = [np.pad(side[:length], (0, length - len(side[:length]))) for side in (left, right)]
        try:
            self._file.write(np.stack(sides, axis=1).astype(np.int16))
            self._file.flush()
        except (soundfile.SoundFileError, OSError) as error:
            message = f"The recording {self.path} broke off ({error}). Free some disk space."
            raise FrontendError("recording", message) from error
        self._left, self._right = [left[length:].astype(np.int16)], [right[length:].astype(np.int16)]
        self._seconds = 0.0

    def close(self) -> None:
        """Write what is left and close the file."""
        self._write(last=True)
        self._file.close()


class SimulatedDevice:
    """Microphone and loudspeaker of one session, in real time from the moment it is entered.

    Args:
        session: the session that it serves.
        recording: where both sides go, if anywhere.

    Attributes:
        late_blocks: loudspeaker blocks that came too late and were silence.
    """

    def __init__(self, session: Session, recording: Recording | None = None) -> None:
        self._session = session
        self._recording = recording
        self._silence = np.zeros(FRAME_SAMPLES, np.int16)
        self._zero_ns = 0
        self._frame = 0  # microphone frames given
        self._block = 0  # loudspeaker blocks fetched
        self.late_blocks = 0

    def __enter__(self) -> SimulatedDevice:
        self._zero_ns = now_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recording is not None:
            self._recording.close()

    @property
    def now_s(self) -> float:
        """Seconds of the device's clock."""
        return (now_ns() - self._zero_ns) / SECOND

    def say(self, frames: Iterator[NDArray[np.int16]]) -> None:
        """Let the user say `frames` (int16[320] each) in real time."""
        for frame in frames:
            self._advance(frame)

    def listen(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Let the user be silent until a condition holds; False when `timeout_s` passed first."""
        end_ns = now_ns() + int(timeout_s * SECOND)
        while not until():
            if now_ns() >= end_ns:
                return False
            self._advance(self._silence)
        return True

    def _advance(self, frame: NDArray[np.int16]) -> None:
        """One microphone frame and the loudspeaker blocks of the same 20 ms."""
        for _ in range(FRAME_MS // BLOCK_MS):
            self._fetch()
        self._wait_until(self._zero_ns + (self._frame + 1) * FRAME_MS * MS)
        time_ns = self._zero_ns + self._frame * FRAME_MS * MS
        self._session.capture(frame, self._frame * FRAME_SAMPLES, time_ns)
        if self._recording is not None:
            self._recording.user(frame)
        self._frame += 1

    def _fetch(self) -> None:
        due_ns = self._zero_ns + self._block * BLOCK_MS * MS
        self._wait_until(due_ns)
        late = now_ns() - due_ns > LATE_BLOCKS_MAX * BLOCK_MS * MS
        self.late_blocks += late
        pcm = np.zeros(self._session.block_samples, np.int16) if late else self._session.block(due_ns)
        if self._recording is not None:
            self._recording.agent(pcm)
        self._block += 1

    @staticmethod
    def _wait_until(due_ns: int) -> None:
        left_ns = due_ns - now_ns()
        if left_ns > 0:
            time.sleep(left_ns / SECOND)
