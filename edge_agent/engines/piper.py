"""Speech from text: Piper (VITS), with the sample at which each word ends.

The network is VITS (Kim et al. 2021); its duration predictor says how long each phoneme becomes (see `durations`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.engines.device import Device, first_line, load_library, onnx_session, release_memory
from edge_agent.engines.durations import with_durations
from edge_agent.errors import EngineError

LEAD_S = 0.010  # silence left in front of the first audible sample
AUDIBLE_DBFS = -50.0  # a 5 ms block louder than this is audible
SENTENCE_PAUSE_S = 0.25
PAUSES_S = (
    dict.fromkeys(".!?…。！？", SENTENCE_PAUSE_S)  # noqa: RUF001 (full-width marks of Chinese and Japanese)
    | dict.fromkeys(";:；：", 0.20)  # noqa: RUF001
    | dict.fromkeys(",，、", 0.14)  # noqa: RUF001
)
PLAIN_PAUSE_S = 0.05  # between clauses that no punctuation divides

_BLOCK_S = 0.005
_FADE_S = 0.005
_SPEECH_RMS = 0.08  # -22 dBFS, the level of the calibration sentence
_KNEE = 0.8  # above it peaks are rounded off instead of clipped
_CALIBRATION_TEXT = "1, 2, 3, 4, 5, 6, 7, 8, 9."  # digits are spoken in every language
_SILENT = frozenset(" ˈˌ.,;:!?¿¡…'\"()-—^$_")  # symbols that are no sound of their own
_PLAIN_WORD = re.compile(r"\W*[^\W\d_]+(?:['\u2019][^\W\d_]+)?[^\w&@%$€£°]*")  # read as one word
_WORDS_KEPT = 2048  # words whose phonemes are remembered


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was spoken.

    Attributes:
        pcm: int16[n] mono at `rate_hz`.
        rate_hz: sample rate of the voice.
        word_ends: for each whitespace-separated word of the text, the sample of `pcm` at which it ends; never falls.
    """

    pcm: NDArray[np.int16]
    rate_hz: int
    word_ends: tuple[int, ...]


class PiperEngine:
    """One voice.

    Args:
        onnx_path: the voice; its configuration is the file of the same name with `.json` appended.
        device: where to run it.
        threads: threads inside one operator.
        speaker: number of the speaker, for voices that have several.

    Raises:
        EngineError: `onnx.missing`, `onnx.load`, `piper.config` or `library.missing`.
    """

    def __init__(
        self, onnx_path: Path, *, device: Device = "auto", threads: int = 1, speaker: int | None = None
    ) -> None:
        piper = load_library("piper")
        settings = _settings(onnx_path)
        try:
            config = piper.PiperConfig.from_dict(settings)
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError("piper.config", _config_message(onnx_path, f"it lacks {error}")) from error
        with with_durations(onnx_path) as model:
            session = onnx_session(model, device=device, threads=threads, name=str(onnx_path))
        release_memory()
        self._voice: Any = piper.PiperVoice(session=session, config=config)
        self._style: Any = piper.SynthesisConfig
        self._speaker = speaker
        self._word_symbols = lru_cache(maxsize=_WORDS_KEPT)(self._phonemize_word)
        self.rate_hz: int = config.sample_rate
        self.language: str = str(settings.get("language", {}).get("code") or config.espeak_voice)
        self._gain = 1.0
        self._gain = self._calibrated_gain()

    def synthesize(self, text: str, *, length_scale: float = 1.0, tail_s: float | None = None) -> Utterance:
        """Speak `text`, one or more sentences.

        Args:
            text: what to say; without anything speakable in it no samples come back.
            length_scale: 1 is the voice's own pace, larger is slower.
            tail_s: silence after the last audible sample; None chooses it by the last punctuation mark.

        Raises:
            EngineError: `piper.run` when the voice fails on this text.
        """
        words = text.split()
        try:
            spoken = [self._speak(symbols, length_scale) for symbols in self._voice.phonemize(text) if symbols]
        except Exception as error:  # espeak-ng, onnxruntime and Piper each raise their own
            raise EngineError(
                "piper.run", f"The voice could not speak {text[:60]!r} ({first_line(error)}); choose another voice."
            ) from error
        if not spoken:
            return Utterance(np.zeros(0, np.int16), self.rate_hz, (0,) * len(words))
        tail = pause_s(text) if tail_s is None else tail_s
        sentences = [
            _trimmed(sentence, self.rate_hz, SENTENCE_PAUSE_S if sentence is not spoken[-1] else tail)
            for sentence in spoken
        ]
        pcm = np.concatenate([sentence.pcm for sentence in sentences])
        return Utterance(_to_int16(pcm), self.rate_hz, self._word_ends(words, sentences))

    def warm_up(self) -> None:
        """Run the voice once, so that the first reply does not pay for it."""
        self.synthesize(_CALIBRATION_TEXT)

    def _speak(self, symbols: list[str], length_scale: float) -> _Sentence:
        """One sentence as the network gives it, at the voice's level."""
        known = [symbol for symbol in symbols if symbol in self._voice.config.phoneme_id_map]
        ids = self._voice.phonemes_to_ids(known)
        style = self._style(speaker_id=self._speaker, length_scale=length_scale * self._voice.config.length_scale)
        audio, samples = self._voice.phoneme_ids_to_audio(ids, style, include_alignments=True)
        pcm = np.atleast_1d(audio).astype(np.float32) * np.float32(self._gain)
        return _Sentence(pcm, known, _symbol_ends(known, self._voice.config.phoneme_id_map, samples, len(pcm)))

    def _calibrated_gain(self) -> float:
        """One gain for the voice: normalising each clause would make the level jump from clause to clause."""
        utterance = self.synthesize(_CALIBRATION_TEXT, tail_s=0.0)
        rms = float(np.sqrt(np.mean(np.square(utterance.pcm / 32768.0)))) if len(utterance.pcm) else 0.0
        return _SPEECH_RMS / rms if rms > 0.0 else 1.0

    def _phonemize_word(self, word: str) -> tuple[str, ...]:
        """The sounds of one word spoken alone."""
        return tuple(s for sentence in self._voice.phonemize(word) for s in sentence if s not in _SILENT)

    def _word_ends(self, words: Sequence[str], sentences: Sequence[_Sentence]) -> tuple[int, ...]:
        """The sample at which each word ends.

        espeak-ng runs some words together ("of the") and makes several of others ("2024"). Where it does neither,
        each group of phonemes is a word; elsewhere the words' own phonemes are matched against what was spoken.
        """
        sounds, ends, group_stops = _flatten(sentences)
        if not sounds:
            return (0,) * len(words)
        if len(group_stops) == len(words) and all(_PLAIN_WORD.fullmatch(word) for word in words):
            stops = group_stops
        else:
            stops = _matched_stops([self._word_symbols(word) for word in words], sounds)
        return tuple(int(ends[stop - 1]) if stop else 0 for stop in stops)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Audio of one sentence and the sample at which each of its phoneme symbols ends."""

    pcm: NDArray[np.float32]
    symbols: list[str]
    ends: NDArray[np.int64]


def pause_s(text: str) -> float:
    """The silence that belongs after `text`, by its last mark (closing quotes and brackets do not count)."""
    return PAUSES_S.get(text.rstrip().rstrip("\"'\u201d\u2019»)]}*")[-1:], PLAIN_PAUSE_S)


def _symbol_ends(
    symbols: Sequence[str], id_map: dict[str, list[int]], samples: NDArray[np.int64] | None, length: int
) -> NDArray[np.int64]:
    """Where each symbol ends: int64[len(symbols)]; evenly spread when the voice does not tell durations.

    Piper's ids are BOS, PAD, then each symbol's ids followed by PAD, then EOS.
    """
    counts = np.array([len(id_map[symbol]) + 1 for symbol in symbols], dtype=np.int64)
    lead = len(id_map["^"]) + 1
    if samples is None or np.size(samples) != lead + counts.sum() + len(id_map["$"]):
        return np.linspace(0, length, len(symbols) + 1)[1:].astype(np.int64)
    last_ids = lead + np.cumsum(counts) - 1
    return np.cumsum(samples)[last_ids].astype(np.int64)


def _trimmed(sentence: _Sentence, rate_hz: int, tail_s: float) -> _Sentence:
    """The sentence from 10 ms before its first audible sample to `tail_s` after its last, which may add silence."""
    block = int(rate_hz * _BLOCK_S)
    whole = len(sentence.pcm) // block
    power = np.mean(np.square(sentence.pcm[: whole * block].reshape(whole, block)), axis=1)
    audible = np.flatnonzero(power > 10.0 ** (AUDIBLE_DBFS / 10.0))
    if not len(audible):
        return _Sentence(sentence.pcm[:0], sentence.symbols, np.zeros_like(sentence.ends))
    start = max(0, int(audible[0]) * block - int(LEAD_S * rate_hz))
    stop = (int(audible[-1]) + 1) * block
    length = stop - start + int(tail_s * rate_hz)
    pcm = np.zeros(length, dtype=np.float32)
    kept = sentence.pcm[start : start + length]
    pcm[: len(kept)] = kept
    fade = min(int(_FADE_S * rate_hz), len(kept))
    pcm[len(kept) - fade : len(kept)] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return _Sentence(pcm, sentence.symbols, np.clip(sentence.ends - start, 0, stop - start))


def _to_int16(pcm: NDArray[np.float32]) -> NDArray[np.int16]:
    """16-bit samples; peaks above the knee are bent towards full scale."""
    over = np.abs(pcm) > _KNEE
    if over.any():
        room = 1.0 - _KNEE
        bent = _KNEE + room * np.tanh((np.abs(pcm[over]) - _KNEE) / room)
        pcm[over] = np.copysign(bent, pcm[over])
    samples: NDArray[np.int16] = np.rint(pcm * 32767.0).astype(np.int16)
    return samples


def _flatten(sentences: Sequence[_Sentence]) -> tuple[list[str], list[int], list[int]]:
    """All sounds in a row, the sample at which each ends, and how many sounds there are up to each group's end."""
    sounds: list[str] = []
    ends: list[int] = []
    stops: list[int] = []
    offset = 0
    for sentence in sentences:
        for symbol, end in zip([*sentence.symbols, " "], [*sentence.ends, 0], strict=True):
            if symbol not in _SILENT:
                sounds.append(symbol)
                ends.append(offset + int(end))
            elif symbol == " " and len(sounds) > (stops[-1] if stops else 0):
                stops.append(len(sounds))
        offset += len(sentence.pcm)
    return sounds, ends, stops


def _matched_stops(words: Sequence[Sequence[str]], spoken: Sequence[str]) -> list[int]:
    """For each word, how many of the spoken sounds there are up to its end.

    Longest matching blocks (Ratcliff and Obershelp 1988) tie the words' own sounds to those spoken; between two
    blocks the position is interpolated.
    """
    single = [sound for word in words for sound in word]
    if not single:
        return [len(spoken)] * len(words)
    blocks = SequenceMatcher(None, single, spoken, autojunk=False).get_matching_blocks()
    ties = [(0, 0)]
    for block in blocks:
        ties += [(block.a, block.b), (block.a + block.size, block.b + block.size)]
    ties.append((len(single), len(spoken)))
    stops = np.cumsum([len(word) for word in words])
    xs, ys = zip(*ties, strict=True)
    return [int(stop) for stop in np.rint(np.interp(stops, xs, ys))]


def _settings(onnx_path: Path) -> dict[str, Any]:
    """The voice's configuration file."""
    path = onnx_path.with_name(onnx_path.name + ".json")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError("piper.config", _config_message(onnx_path, first_line(error))) from error
    if not isinstance(settings, dict):
        raise EngineError("piper.config", _config_message(onnx_path, "it is not a JSON object"))
    return settings


def _config_message(onnx_path: Path, reason: str) -> str:
    return (
        f"The voice configuration {onnx_path}.json cannot be used ({reason}); put the file that came with the voice "
        "beside it, or run `edge-agent models pull`."
    )
