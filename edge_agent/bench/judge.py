"""Voice-to-voice latency heard from outside: from the stereo recording of a conversation, and from nothing else.

Left is what the user said, right what the agent's loudspeaker played. An utterance is speech on the left (Silero VAD at
0.5, 32 ms frames) without a gap longer than a given one. Its latency runs from the end of its last voiced frame to the
first audible sample of the agent after it; the agent cuts in when it begins to speak inside an utterance.

No trace is looked at, so the pipeline cannot flatter itself: what it claims and what is judged are compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from edge_agent.engines.silero import FRAME_SAMPLES, RATE_HZ, SileroVad
from edge_agent.errors import BenchError
from edge_agent.latency.report import Spread

GAP_S = 1.2  # a longer silence of the user ends an utterance
VOICED = 0.5
PEAK = 0.5  # the user's side is brought to this peak first: a soft recording is no less speech

_FRAME_S = FRAME_SAMPLES / RATE_HZ
_AGENT_STEP_S = 0.005
_AGENT_GAP_S = 0.4  # a longer silence of the agent begins a new stretch
_AGENT_RANGE_DB = 40.0  # below the agent's loudest 5 ms it is not audible,
_AGENT_FLOOR_DBFS = -60.0  # nor below this
_SHORTEST_S = 0.15  # what is shorter is a click, on either side
_EARLY_S = 0.02  # before the end of an utterance, by which an answer may begin and still be one
_LATE_IN_S = 0.2  # after the beginning of an utterance: what the agent says up to here was no cut-in, the user began
_BLOCK_S = 10  # read at a time: memory stays flat for any length


@dataclass(frozen=True, slots=True)
class Exchange:
    """One utterance, and how the agent answered it. Seconds count from the beginning of the recording.

    Attributes:
        start_s: where its first voiced frame begins.
        end_s: where its last voiced frame ends.
        onset_s: first audible sample of the agent after it and before the next utterance; None when there is none.
        cut_in: whether the agent began to speak inside it.
    """

    start_s: float
    end_s: float
    onset_s: float | None
    cut_in: bool

    @property
    def latency_ms(self) -> int | None:
        """From the end of the utterance to the answer, in milliseconds; a little below 0 for a very early one."""
        return None if self.onset_s is None else round((self.onset_s - self.end_s) * 1e3)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was heard in one recording."""

    exchanges: tuple[Exchange, ...]

    @property
    def latencies_ms(self) -> list[float]:
        """Of the answered utterances, in order."""
        return [ms for exchange in self.exchanges if (ms := exchange.latency_ms) is not None]

    @property
    def spread(self) -> Spread | None:
        """Percentiles of the latencies; None when nothing was answered."""
        return Spread.of(self.latencies_ms)

    @property
    def unanswered(self) -> int:
        """How many utterances no sound of the agent followed."""
        return len(self.exchanges) - len(self.latencies_ms)

    @property
    def cut_ins(self) -> int:
        """How many utterances the agent spoke into."""
        return sum(exchange.cut_in for exchange in self.exchanges)

    def to_json(self) -> dict[str, object]:
        """The judgement as a JSON object."""
        spread = self.spread
        return {
            "utterances": len(self.exchanges),
            "answered": len(self.latencies_ms),
            "cut_ins": self.cut_ins,
            "p50_ms": spread and spread.p50,
            "p95_ms": spread and spread.p95,
            "worst_ms": spread and spread.worst,
            "exchanges": [
                {"start_s": one.start_s, "end_s": one.end_s, "latency_ms": one.latency_ms, "cut_in": one.cut_in}
                for one in self.exchanges
            ],
        }


def judge(path: Path, *, gap_s: float = GAP_S, vad: SileroVad | None = None) -> Judgement:
    """Listen to a recording.

    Args:
        path: a stereo sound file, left the user, right the agent.
        gap_s: the longest silence inside an utterance.
        vad: the model, when it is loaded already.

    Raises:
        BenchError: `bench.recording`, when it cannot be read or is not stereo.
        EngineError: when the voice activity model is not installed.
    """
    peak, levels_dbfs, step_s = _survey(path)
    voiced = _voiced(path, PEAK / max(1e-6, peak), vad or SileroVad())
    user = stretches(voiced, gap_s, _FRAME_S)
    agent = stretches(_audible(levels_dbfs), _AGENT_GAP_S, step_s)
    return Judgement(exchanges(user, agent))


def exchanges(user: Sequence[tuple[float, float]], agent: Sequence[tuple[float, float]]) -> tuple[Exchange, ...]:
    """What follows from who spoke when; both sides as (start, end) in seconds, in order."""
    found: list[Exchange] = []
    for index, (start_s, end_s) in enumerate(user):
        next_s = user[index + 1][0] if index + 1 < len(user) else float("inf")
        onset_s = next((onset for onset, _ in agent if end_s - _EARLY_S <= onset < next_s), None)
        cut_in = any(start_s + _LATE_IN_S < onset < end_s - _EARLY_S for onset, _ in agent)
        found.append(Exchange(start_s, end_s, onset_s, cut_in))
    return tuple(found)


def stretches(active: NDArray[np.bool_], gap_s: float, step_s: float) -> list[tuple[float, float]]:
    """Where something is going on: (start, end) in seconds of each stretch.

    Args:
        active: for each step of `step_s`, whether something is.
        gap_s: pauses up to this belong to a stretch.
        step_s: length of a step.
    """
    bounds: list[list[int]] = []
    for index in np.flatnonzero(active).tolist():
        if bounds and (index - bounds[-1][1]) * step_s <= gap_s:
            bounds[-1][1] = index
        else:
            bounds.append([index, index])
    return [(first * step_s, (last + 1) * step_s) for first, last in bounds if (last - first) * step_s > _SHORTEST_S]


def _audible(levels_dbfs: NDArray[np.float64]) -> NDArray[np.bool_]:
    if not len(levels_dbfs):
        return np.zeros(0, np.bool_)
    return levels_dbfs > max(float(levels_dbfs.max()) - _AGENT_RANGE_DB, _AGENT_FLOOR_DBFS)


def _survey(path: Path) -> tuple[float, NDArray[np.float64], float]:
    """The user's peak at 16 kHz, the agent's level in dBFS for each step of 5 ms, and the step's exact length."""
    peak = 0.0
    levels: list[NDArray[np.float64]] = []
    with _opened(path) as file:
        step = max(1, int(file.samplerate * _AGENT_STEP_S))
        step_s = step / file.samplerate
        for left, right in _sides(path, file, step):
            peak = max(peak, float(np.abs(left).max(initial=0.0)))
            squares = np.square(right[: len(right) // step * step].reshape(-1, step))
            levels.append(20.0 * np.log10(np.sqrt(squares.mean(axis=1)) + 1e-9))
    return peak, np.concatenate(levels), step_s


def _voiced(path: Path, gain: float, vad: SileroVad) -> NDArray[np.bool_]:
    """For each 32 ms of the user's side, whether it is speech."""
    stream = vad.stream()
    voiced: list[bool] = []
    rest = np.zeros(0, np.float32)
    with _opened(path) as file:
        for left, _ in _sides(path, file, 1):
            rest = np.concatenate([rest, left * np.float32(gain)])
            whole = len(rest) // FRAME_SAMPLES * FRAME_SAMPLES
            voiced += [stream.probability(frame) > VOICED for frame in rest[:whole].reshape(-1, FRAME_SAMPLES)]
            rest = rest[whole:]
    return np.array(voiced, np.bool_)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        message = f"{path} cannot be judged: it is no sound file that can be read ({reason})."
        raise BenchError("recording", message) from error
    with file:
        if file.channels != 2 or not file.frames:
            message = (
                f"{path} cannot be judged: it has {file.channels} channels and {file.frames} samples; "
                "give a stereo recording as `edge-agent converse --record` writes it."
            )
            raise BenchError("recording", message)
        yield file


def _sides(
    path: Path, file: soundfile.SoundFile, step: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The recording in order: the user at 16 kHz, the agent at the file's own rate in whole steps but for the last."""
    rate_hz = file.samplerate
    resampler = soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32", quality="HQ")
    size = max(1, rate_hz * _BLOCK_S // step) * step
    last = False
    while not last:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise BenchError("recording", f"{path} cannot be judged: it is broken ({error}).") from error
        last = len(block) < size
        left = np.ascontiguousarray(block[:, 0])
        yield (resampler.resample_chunk(left, last=last) if rate_hz != RATE_HZ else left), block[:, 1]
