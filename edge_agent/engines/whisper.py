"""Text from speech: Whisper on CTranslate2, loaded through faster-whisper, with an encoder window that fits the speech.

Whisper was trained on 30 s windows and faster-whisper always encodes 30 s. CTranslate2 encodes any length, so a short
question needs a third of the work; what a short window costs is an occasional loop, which a cap on the tokens
per second stops and a second decode of a wider window repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.engines.attempt import Attempt, Voice, spoken_text
from edge_agent.engines.device import Device, first_line, load_library, release_memory, resolve
from edge_agent.engines.mel import FRAMES_PER_S, HOP_SAMPLES, RATE_HZ, log_mel
from edge_agent.errors import EngineError

FULL_WINDOW_S = 30.0  # what the model was trained on, and the most its positions reach
SHORTEST_WINDOW_S = 10.0
PADDING_S = 2.0  # with less after the speech Whisper repeats itself
CHUNK_S = 28.0  # longer audio is cut at its quietest point

_MOST_TOKENS = 448  # text context of every Whisper model
_PROMPT_TOKENS = 96  # of previous text; each costs a step of the decoder
_SPARE_TOKENS = 12
_TOKENS_PER_S = 9.0  # fast English has 6
_TOKENS_PER_S_DENSE = 30.0  # scripts that Whisper's vocabulary spells by bytes
_DENSE_LANGUAGES = (
    "am ar as bn bo el fa gu ha haw he hi hy ja ka kk km kn ko lo mk ml mn mr my ne pa ps sa sd si ta te tg th tk tt "
    "ur uz vi yi yo yue zh"
)
_UNSPACED_LANGUAGES = "zh ja yue th lo my km"
_FAINT_PEAK = 0.1  # fainter sound is raised to it
_MOST_GAIN = 30.0
_SURE_LOGPROB = -0.35  # of 24 clips in other languages decoded as English, only numbers got better than -0.39
_RETRY_BEAM = 5
_SWITCH_ODDS = 8.0  # how much likelier another language must be before the conversation changes into it
_QUIETEST_S = 0.3  # length of the gap that a cut looks for
_SHORTEST_SAMPLES = 400  # one analysis window


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said.

    Attributes:
        text: empty when nothing was said.
        language: ISO 639 code as Whisper writes it.
        language_probability: 1 when the language was given or the model knows only one.
        avg_logprob: mean log probability of the tokens (natural logarithm; near 0 is sure).
        no_speech_probability: how likely the window holds no speech.
        compression_ratio: bytes of the text over its zlib size; above 2.4 it repeats itself.
        window_s: seconds of features that were encoded, the longest when there were several windows.
        retried: whether a second decode was needed.
        tokens: number of text tokens.
    """

    text: str
    language: str
    language_probability: float
    avg_logprob: float
    no_speech_probability: float
    compression_ratio: float
    window_s: float
    retried: bool
    tokens: int


class _Tokenizer(Protocol):
    """What is used of `faster_whisper.tokenizer.Tokenizer`, which belongs to one language."""

    sot_sequence: list[int]
    non_speech_tokens: tuple[int, ...]
    no_timestamps: int
    eot: int
    sot: int
    sot_prev: int
    sot_lm: int
    transcribe: int
    translate: int
    no_speech: int

    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: list[int]) -> str: ...


class WhisperEngine:
    """One recognition model.

    Args:
        model_dir: a CTranslate2 model: model.bin, config.json, tokenizer.json and its vocabulary.
        device: where to run it.
        threads: threads of one decode on the CPU.
        compute_type: CTranslate2's name of the arithmetic; "auto" is int8 on the CPU and float16 on CUDA.

    Raises:
        EngineError: `whisper.missing` or `whisper.load`, `device.cuda`, `library.missing`.
    """

    def __init__(
        self, model_dir: Path, *, device: Device = "auto", threads: int = 1, compute_type: str = "auto"
    ) -> None:
        for name in ("model.bin", "config.json", "tokenizer.json"):
            if not (model_dir / name).is_file():
                raise EngineError(
                    "whisper.missing",
                    f"There is no {model_dir / name}; run `edge-agent models pull` to fetch the model.",
                )
        resolved = resolve(device, library="ctranslate2")
        arithmetic = {"cpu": "int8", "cuda": "float16"}[resolved] if compute_type == "auto" else compute_type
        library = load_library("faster_whisper")
        if resolved == "cuda":
            # CTranslate2 opens cuBLAS by name, and the wheel that brings it is on no library path.
            load_library("onnxruntime").preload_dlls()
        try:
            loaded = library.WhisperModel(
                str(model_dir), device=resolved, compute_type=arithmetic, cpu_threads=threads, num_workers=1
            )
            self._tokenizer_class: Any = load_library("faster_whisper.tokenizer").Tokenizer
            self._model: Any = loaded.model
            self._vocabulary: Any = loaded.hf_tokenizer
            self._tokenizers: dict[str, _Tokenizer] = {}
            self._suppressed = self._suppressed_tokens()
        except Exception as error:  # CTranslate2 and tokenizers raise RuntimeError, ValueError and plain Exception
            raise EngineError(
                "whisper.load",
                f"The recognition model in {model_dir} cannot be loaded ({first_line(error)}); run `edge-agent models "
                "verify`, then pull it again.",
            ) from error
        release_memory()

    @property
    def multilingual(self) -> bool:
        """Whether the model knows more than English."""
        return bool(self._model.is_multilingual)

    @cached_property
    def languages(self) -> frozenset[str]:
        """The codes of all languages the model knows."""
        if not self.multilingual:
            return frozenset({"en"})
        known = load_library("faster_whisper.tokenizer")._LANGUAGE_CODES
        return frozenset(code for code in known if self._vocabulary.token_to_id(f"<|{code}|>") is not None)

    def transcribe(
        self,
        pcm: NDArray[np.float32],
        *,
        language: str | None = None,
        allowed: Sequence[str] = (),
        previous_language: str | None = None,
        expected_language: str | None = None,
        previous_text: str = "",
        window_s: float | None = None,
        beam_size: int = 1,
        retry: bool = True,
        progress: Callable[[], None] = lambda: None,
    ) -> Transcription:
        """Write down what is said in `pcm`.

        Args:
            pcm: float32[n] at 16 kHz in [-1, 1], any length; above 28 s it is decoded piece by piece.
            language: code of the language; None detects it.
            allowed: languages that detection may choose from; empty means all.
            previous_language: what the conversation was held in so far; detection leaves it only when it is sure.
            expected_language: taken without detection as long as the decode in it is a sure one, which another
                language's speech does not give (numbers apart, which come out right all the same).
            previous_text: what was said just before; it biases spelling and names.
            window_s: seconds of features to encode; None takes max(10, length + 2).
            beam_size: 1 is greedy.
            retry: whether a decode that looped or guessed may be repeated on a wider window with a beam of 5.
            progress: called before every decode after the first, each of which takes its own time.

        Raises:
            EngineError: `whisper.language` for a language the model does not know, `whisper.run` when it fails.
        """
        self._check_languages((*allowed, *((language,) if language else ())))
        parts: list[Attempt] = []
        spoken, probability = language, 1.0
        retried = False
        for piece in pieces(raised(pcm)):
            context = previous_text if not parts else parts[-1].text
            if parts:
                progress()
            try:
                encoded, width_s = self._encode(piece, window_s)
                length_s = len(piece) / RATE_HZ
                attempt = None
                if spoken is None and expected_language is not None:
                    voice = Voice(length_s, expected_language, 1.0)
                    attempt = self._decode(encoded, width_s, voice, context, beam_size)
                if spoken is None and (attempt is None or attempt.avg_logprob < _SURE_LOGPROB):
                    spoken, probability = self._detect(encoded, allowed, previous_language)
                if attempt is None or spoken not in (None, expected_language):
                    voice = Voice(length_s, spoken or "en", probability)
                    attempt = self._decode(encoded, width_s, voice, context, beam_size)
                if retry and attempt.doubtful and not attempt.silent:
                    retried = True
                    progress()
                    wider_s = None if width_s < usual_window_s(voice.length_s) else FULL_WINDOW_S
                    second = self._decode(*self._encode(piece, wider_s), voice, "", _RETRY_BEAM)
                    attempt = min((second, attempt), key=lambda each: (each.looped, -each.avg_logprob))
            except RuntimeError as error:
                raise EngineError(
                    "whisper.run", f"Recognition failed ({first_line(error)}); restart with a smaller model."
                ) from error
            parts.append(attempt)
            if attempt.silent and language is None:  # noise says nothing about the language of what follows
                spoken = None
        return _joined(parts, previous_language or "en", retried)

    def _check_languages(self, codes: Sequence[str]) -> None:
        for code in codes:
            if code not in self.languages:
                known = "English only" if not self.multilingual else f"{len(self.languages)} languages"
                raise EngineError(
                    "whisper.language", f"The recognition model does not know {code!r} (it knows {known}); change it."
                )

    def warm_up(self) -> None:
        """Hear three seconds of noise as if a dozen words were in it, so that the first utterance pays for nothing.

        Noise alone ends at its first token; only a decode of usual length brings every buffer to its size.
        """
        noise = np.random.default_rng(0).normal(0.0, 1e-2, 3 * RATE_HZ).astype(np.float32)
        self.transcribe(noise, retry=False)
        encoded, _ = self._encode(noise, None)
        tokenizer = self._tokenizer("en")
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        endless = [*self._suppressed, tokenizer.eot]
        self._model.generate(encoded, [prompt], beam_size=1, max_length=len(prompt) + 12, suppress_tokens=endless)

    def _encode(self, pcm: NDArray[np.float32], window_s: float | None) -> tuple[object, float]:
        """Encoder output and the seconds of features behind it. Behind the speech the features are zero."""
        length_s = len(pcm) / RATE_HZ
        wanted_s = usual_window_s(length_s) if window_s is None else min(max(window_s, length_s), FULL_WINDOW_S)
        width = 2 * round(wanted_s * FRAMES_PER_S / 2)
        heard = log_mel(np.pad(pcm, (0, HOP_SAMPLES)), bands=self._model.n_mels)[:, :width]
        window = np.zeros((1, self._model.n_mels, width), dtype=np.float32)
        window[0, :, : heard.shape[1]] = heard
        view = load_library("ctranslate2").StorageView.from_array(window)
        return self._model.encode(view), width / FRAMES_PER_S

    def _detect(self, encoded: object, allowed: Sequence[str], previous: str | None) -> tuple[str, float]:
        if not self.multilingual:
            return "en", 1.0
        found = {token[2:-2]: float(p) for token, p in self._model.detect_language(encoded)[0]}
        return choose_language(found, allowed, previous)

    def _decode(self, encoded: object, window_s: float, voice: Voice, context: str, beam_size: int) -> Attempt:
        tokenizer = self._tokenizer(voice.language)
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        if context.strip():
            prompt = [tokenizer.sot_prev, *tokenizer.encode(" " + context.strip())[-_PROMPT_TOKENS:], *prompt]
        rate = _TOKENS_PER_S_DENSE if voice.language in _DENSE_LANGUAGES.split() else _TOKENS_PER_S
        cap = min(int(_SPARE_TOKENS + rate * voice.length_s), _MOST_TOKENS // 2)
        result = self._model.generate(
            encoded,
            [prompt],
            beam_size=beam_size,
            max_length=len(prompt) + cap,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        ids = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        # The score is the mean over the text; the end of text counts too (as in faster-whisper).
        logprob = result.scores[0] * len(ids) / (len(ids) + 1)
        text = tokenizer.decode(ids).strip()
        return Attempt(text, ids, float(logprob), float(result.no_speech_prob), voice, len(ids) >= cap, window_s)

    def _tokenizer(self, language: str) -> _Tokenizer:
        if language not in self._tokenizers:
            self._tokenizers[language] = self._tokenizer_class(
                self._vocabulary, self.multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _suppressed_tokens(self) -> list[int]:
        """Speaker tags, notes, sound descriptions and control tokens, which are never spoken."""
        tokenizer = self._tokenizer("en")
        control = (
            tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm,
            tokenizer.no_speech,
        )  # fmt: skip
        return sorted({*tokenizer.non_speech_tokens, *(token for token in control)})


def usual_window_s(length_s: float) -> float:
    """Seconds of features to encode for speech of `length_s`."""
    return min(max(SHORTEST_WINDOW_S, length_s + PADDING_S), FULL_WINDOW_S)


def pieces(pcm: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """`pcm` in pieces of at most 28 s, cut in the middle of the quietest 0.3 s of the last 10 s of each.

    Args:
        pcm: float32[n] at 16 kHz.

    Returns:
        Views of `pcm` in order; none when it is shorter than one analysis window (25 ms).
    """
    found: list[NDArray[np.float32]] = []
    longest = int(CHUNK_S * RATE_HZ)
    while len(pcm) > longest:
        earliest = longest - 10 * RATE_HZ
        blocks = np.square(pcm[earliest:longest]).reshape(-1, HOP_SAMPLES).sum(axis=1)
        width = int(_QUIETEST_S * FRAMES_PER_S)
        energy = np.convolve(blocks, np.ones(width), mode="valid")
        cut = earliest + (int(energy.argmin()) + width // 2) * HOP_SAMPLES
        found.append(pcm[:cut])
        pcm = pcm[cut:]
    if len(pcm) >= _SHORTEST_SAMPLES:
        found.append(pcm)
    return found


def raised(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """`pcm` with a peak of at least 0.1, at most 30 times as loud: under its noise floor Whisper misses words."""
    peak = float(np.abs(pcm).max(initial=0.0))
    return pcm * np.float32(min(_FAINT_PEAK / peak, _MOST_GAIN)) if 0.0 < peak < _FAINT_PEAK else pcm


def choose_language(
    probabilities: Mapping[str, float], allowed: Sequence[str], previous: str | None
) -> tuple[str, float]:
    """The language of an utterance, and its probability among those allowed.

    A short answer ("ja", "no", "si") sounds like many languages, so a conversation leaves its language only for one
    that is eight times as likely.
    """
    candidates = {code: p for code, p in probabilities.items() if not allowed or code in allowed}
    total = sum(candidates.values()) or 1.0
    best = max(candidates, key=lambda code: candidates[code])
    if previous in candidates and candidates[best] < _SWITCH_ODDS * candidates[previous]:
        best = previous
    return best, candidates[best] / total


def _joined(parts: Sequence[Attempt], default_language: str, retried: bool) -> Transcription:
    """One transcription of all pieces; pieces without speech add nothing to it when others have speech."""
    heard = [part for part in parts if not part.silent] or list(parts)
    if not heard:
        return Transcription("", default_language, 1.0, 0.0, 1.0, 0.0, 0.0, retried, 0)
    voice = max(heard, key=lambda part: part.voice.length_s).voice
    texts = ["" if part.silent else spoken_text(part.text) for part in heard]
    glue = "" if voice.language in _UNSPACED_LANGUAGES.split() else " "
    weights = [len(part.token_ids) + 1 for part in heard]
    return Transcription(
        text=glue.join(text for text in texts if text),
        language=voice.language,
        language_probability=voice.language_probability,
        avg_logprob=float(np.average([part.avg_logprob for part in heard], weights=weights)),
        no_speech_probability=min(part.no_speech_probability for part in heard),
        compression_ratio=max(part.compression_ratio for part in heard),
        window_s=max(part.window_s for part in parts),
        retried=retried,
        tokens=sum(len(part.token_ids) for part in heard),
    )
