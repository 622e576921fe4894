"""What is said in a benchmark: a folder of recordings, or thirty everyday questions spoken by the installed voice.

The recordings of a folder are taken in the order of their names, in any format that libsndfile reads. NAME.txt beside
NAME.wav holds what is said in it; with that, recognition is scored as well.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray
from platformdirs import user_cache_path

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.config import APP
from edge_agent.errors import AudioError, BenchError

if TYPE_CHECKING:
    from edge_agent.engines.piper import PiperEngine

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"})
MAX_RECORDINGS = 10_000
MAX_TRANSCRIPT_BYTES = 64 * 1024

QUESTIONS = (
    "What is the capital of Portugal?",
    "Could you tell me how many days there are in a week?",
    "Who wrote Romeo and Juliet?",
    "Which planet is known as the red planet?",
    "What colour do you get when you mix blue and yellow?",
    "Hello, how are you today?",
    "What do bees make?",
    "Why is the sky blue on a clear day?",
    "Tell me something interesting about elephants.",
    "What is the tallest mountain in the world?",
    "Which month comes after June?",
    "I would like to cook something quick tonight, what do you suggest?",
    "What is frozen water called?",
    "How long does it take to boil an egg?",
    "Which language do people speak in Brazil?",
    "What is the largest ocean on Earth?",
    "Can penguins fly?",
    "What should I wear when it rains?",
    "Who painted the Mona Lisa?",
    "My name is Anna, and I live in a small house by the sea.",
    "What is the opposite of happy?",
    "How do I keep bread fresh for longer?",
    "Which animal is the fastest on land?",
    "What do plants need to grow?",
    "Name a fruit that is yellow.",
    "In which country are the pyramids of Giza?",
    "What can I do when I cannot fall asleep?",
    "Which organ pumps blood through the body?",
    "Is a tomato a fruit or a vegetable?",
    "Thank you very much, that was all for today.",
)
LENGTH_SCALES = (1.0, 0.9, 1.15, 0.85, 1.25, 1.05)  # of Piper: above 1 is slower
GAINS_DB = (0.0, -3.0, -6.0, -1.5, -4.5)
_TAIL_S = 0.3  # silence behind a question, as a recording has it

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a corpus.

    Attributes:
        path: the sound file.
        duration_s: its length.
        transcript: what is said in it; None when nobody wrote it down.
    """

    path: Path
    duration_s: float
    transcript: str | None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Recordings in the order in which they are said.

    Attributes:
        name: for people: the folder, or the voice that spoke the questions.
        recordings: at least one.
    """

    name: str
    recordings: tuple[Recording, ...]

    def turns(self, count: int | None = None) -> list[Recording]:
        """The first `count` recordings, from the beginning again when there are fewer; all of them once for None."""
        if count is None:
            return list(self.recordings)
        return list(islice(cycle(self.recordings), count))


def load(folder: Path, name: str | None = None) -> Corpus:
    """The corpus in a folder, every recording of it opened once.

    Raises:
        BenchError: `bench.corpus`, when the folder is missing, holds no recording, or one that cannot be used.
    """
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise BenchError("corpus", f"The corpus {folder} {kind}; name a folder with recordings.")
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise BenchError("corpus", f"The corpus {folder} cannot be read ({error.strerror}).") from error
    if not found:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise BenchError("corpus", f"The corpus {folder} holds no recording; put some into it ({kinds}).")
    if len(found) > MAX_RECORDINGS:
        message = f"The corpus {folder} holds {len(found)} recordings; {MAX_RECORDINGS} are the most that can be used."
        raise BenchError("corpus", message)
    return Corpus(name or str(folder), tuple(_recording(path) for path in found))


def _recording(path: Path) -> Recording:
    try:
        source = SoundFileSource(path)
        source.close()
    except AudioError as error:
        raise BenchError("corpus", f"The corpus cannot be used: {error}") from error
    text = path.with_suffix(".txt")
    if not text.exists():
        return Recording(path, source.duration_s, None)
    try:
        with text.open("rb") as file:
            content = file.read(MAX_TRANSCRIPT_BYTES + 1)
        if len(content) > MAX_TRANSCRIPT_BYTES:
            message = (
                f"The transcript {text} is longer than {MAX_TRANSCRIPT_BYTES // 1024} KiB; it is of one utterance."
            )
            raise BenchError("corpus", message)
        transcript = " ".join(content.decode("utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        message = f"The transcript {text} cannot be read ({error}); write plain text in UTF-8, or remove it."
        raise BenchError("corpus", message) from error
    return Recording(path, source.duration_s, transcript or None)


def spoken(voice_path: Path, *, kept_in: Path | None = None, progress: Progress = lambda *_: None) -> Corpus:
    """The thirty questions as an installed Piper voice speaks them, at several paces and levels.

    They are spoken once and kept in the user's cache folder, so every run hears the same sound; another voice, or other
    questions, have a folder of their own.

    Args:
        voice_path: the voice's ONNX file.
        kept_in: where to keep them; None for the usual place.
        progress: told how many of how many questions are spoken.

    Raises:
        BenchError: `bench.corpus`, when the voice speaks no English or the cache folder cannot be written.
        EngineError: when the voice cannot be loaded.
    """
    folder = (kept_in or user_cache_path(APP) / "corpus") / _key(voice_path)
    if not folder.is_dir():
        try:
            _make(voice_path, folder, progress)
        except (soundfile.SoundFileError, OSError) as error:
            message = f"The spoken questions cannot be kept in {folder.parent} ({error}); free some disk space there."
            raise BenchError("corpus", message) from error
    return load(folder, f"{len(QUESTIONS)} questions spoken by {voice_path.stem}")


def _key(voice_path: Path) -> str:
    """The same for the same sound."""
    try:
        with voice_path.open("rb") as file:
            voice = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BenchError("corpus", f"The voice {voice_path} cannot be read ({error.strerror}).") from error
    recipe = json.dumps([voice, QUESTIONS, LENGTH_SCALES, GAINS_DB, _TAIL_S])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def _make(voice_path: Path, folder: Path, progress: Progress) -> None:
    """Speak the questions into `folder`, which appears when all are there.

    A process of its own speaks them: the benchmark's own memory is part of what is measured.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    scales = [LENGTH_SCALES[index % len(LENGTH_SCALES)] for index in range(len(QUESTIONS))]
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for index, (pcm, rate_hz) in enumerate(pool.map(_say, repeat(voice_path), QUESTIONS, scales)):
                gain = 10 ** (GAINS_DB[index % len(GAINS_DB)] / 20)
                path = making / f"{index + 1:02}.wav"
                soundfile.write(path, pcm / 32768.0 * gain, rate_hz, "PCM_16")
                path.with_suffix(".txt").write_text(QUESTIONS[index] + "\n", encoding="utf-8")
                progress(index + 1, len(QUESTIONS))
        try:
            making.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another run was quicker
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


@cache
def _voice(path: Path) -> PiperEngine:
    from edge_agent.engines.piper import PiperEngine  # only in the process that speaks

    voice = PiperEngine(path, device="cpu")
    if not voice.language.lower().startswith("en"):
        message = (
            f"The voice {path.stem} speaks {voice.language}, and the questions are in English; "
            "give recordings of your own with --corpus."
        )
        raise BenchError("corpus", message)
    return voice


def _say(voice_path: Path, question: str, length_scale: float) -> tuple[NDArray[np.int16], int]:
    """One question as int16 samples, and their rate."""
    utterance = _voice(voice_path).synthesize(question, length_scale=length_scale, tail_s=_TAIL_S)
    return utterance.pcm, utterance.rate_hz
