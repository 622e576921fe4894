"""One decode of speech by Whisper, and whether to believe it.

Whisper always writes something. What it writes about silence, breath, keys or music has a low probability, a high
"no speech" probability, or is one of the captions it learned. The thresholds divide synthesized noise and music of
many levels from single spoken words down to 10 dB of noise.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

_LOOP_COMPRESSION = 2.4  # with the log probability and the silence below: Radford et al. 2022, section 4.5
_FAST_TOKENS_PER_S = 5.0  # hurried English; the sound handed in includes some silence
_PHRASE_TOKENS = 4
_DOUBTFUL_LOGPROB = -1.0
_SILENCE_PROBABILITY = 0.6
_GUESS_LOGPROB = -1.25  # speech, single words at 10 dB included, stays above -1.0; breath goes down to -2.5
_HINT_OF_SILENCE = 0.3  # speech stays below it, but for a few faint single words
_UNSURE_LANGUAGE = 0.7  # noise is heard as Nynorsk or Welsh with less
_UNSURE_LOGPROB = -0.8
_CAPTIONS = frozenset(  # what the model learned to write under silence and music
    {"thank you", "thank you very much", "thank you so much", "thanks for watching", "thank you for watching",
     "please subscribe", "bye", "bye bye", "you"}
)  # fmt: skip
_ANNOTATION = re.compile(r"[\[(\uff08【*♪♫][^\])\uff09】*♪♫]*[\])\uff09】*♪♫]?")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Voice:
    """What is known of a piece of speech before it is decoded.

    Attributes:
        length_s: seconds of sound.
        language: code of its language.
        language_probability: how sure that is; 1 when it was given.
    """

    length_s: float
    language: str
    language_probability: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decode of one window.

    Attributes:
        text: as the model wrote it.
        token_ids: its text tokens.
        avg_logprob: mean log probability of the tokens and of the end of text.
        no_speech_probability: the model's own "no speech" token.
        voice: what was known before.
        capped: whether the decode was stopped by its limit of tokens.
        window_s: seconds of features that were encoded.
    """

    text: str
    token_ids: list[int]
    avg_logprob: float
    no_speech_probability: float
    voice: Voice
    capped: bool
    window_s: float

    @property
    def compression_ratio(self) -> float:
        """Bytes of the text over their zlib size: repetition compresses well."""
        raw = self.text.encode()
        return len(raw) / len(zlib.compress(raw))

    @property
    def looped(self) -> bool:
        """Whether it ran into the cap or repeats itself."""
        return self.capped or self.compression_ratio > _LOOP_COMPRESSION or self._said_twice()

    def _said_twice(self) -> bool:
        """Whether a phrase stands twice in a row in more text than there was time for.

        Without padding behind the speech Whisper says a short question twice, which compresses too little to show.
        """
        ids = self.token_ids
        if len(ids) < _FAST_TOKENS_PER_S * self.voice.length_s:
            return False
        spans = range(_PHRASE_TOKENS, len(ids) // 2 + 1)
        return any(
            ids[at : at + span] == ids[at + span : at + 2 * span]
            for span in spans
            for at in range(len(ids) - 2 * span + 1)
        )

    @property
    def doubtful(self) -> bool:
        """Whether another decode of a longer window may do better."""
        return self.looped or self.avg_logprob < _DOUBTFUL_LOGPROB

    @property
    def silent(self) -> bool:
        """Whether the model wrote something about a sound that holds no speech."""
        if self.no_speech_probability < _HINT_OF_SILENCE:
            return False
        if self.avg_logprob < _GUESS_LOGPROB:
            return True
        if self.voice.language_probability < _UNSURE_LANGUAGE and self.avg_logprob < _UNSURE_LOGPROB:
            return True
        caption = self.text.strip(" .!?,").lower().replace("-", " ") in _CAPTIONS
        sure_of_silence = self.no_speech_probability > _SILENCE_PROBABILITY
        return sure_of_silence and (caption or self.doubtful)


def spoken_text(text: str) -> str:
    """`text` without descriptions of sounds ("[Music]", "(applause)", notes); empty when no word is left."""
    plain = " ".join(_ANNOTATION.sub(" ", text).split())
    return plain if _WORD.search(plain) else ""
