"""Speech: its edges, its level, and where its words end."""

import shutil

import numpy as np
import pytest

from edge_agent.engines.piper import AUDIBLE_DBFS, PiperEngine, pause_s
from edge_agent.errors import EngineError

pytestmark = pytest.mark.models

PLAIN = [
    "Sure.",
    "The capital city is London, which lies on a river.",
    "Penguins cannot fly but they swim very well!",
]
UNEVEN = [  # espeak-ng runs words together and makes several of one
    "I can help you with the list of the day.",
    "In 2024, Dr. Smith paid $5.20 — twice; e.g. to the U.S.A.",
    "It's 3:45 p.m. and 20°C outside. Really? Yes!",
    "- one, two - three -",
    "don't can't of the in a",
]


def audible(pcm, rate_hz):
    """First and last audible 5 ms block, in seconds."""
    block = rate_hz // 200
    blocks = pcm[: len(pcm) // block * block].reshape(-1, block) / 32768.0
    loud = np.flatnonzero(10 * np.log10(np.mean(np.square(blocks), axis=1) + 1e-12) > AUDIBLE_DBFS)
    return loud[0] * 0.005, (loud[-1] + 1) * 0.005


def rms_db(pcm):
    return 10 * np.log10(np.mean(np.square(pcm / 32768.0)))


def test_the_voice_says_what_it_is(piper):
    assert piper.rate_hz == 22_050
    assert piper.language.startswith("en")


def test_one_end_for_each_word_in_order(piper):
    for text in PLAIN + UNEVEN:
        utterance = piper.synthesize(text)
        ends = utterance.word_ends
        assert len(ends) == len(text.split()), text
        assert list(ends) == sorted(ends)
        assert utterance.pcm.dtype == np.int16
        _, last_s = audible(utterance.pcm, utterance.rate_hz)
        assert ends[-1] / utterance.rate_hz == pytest.approx(last_s, abs=0.15), text


def test_words_that_run_together_still_end_apart(piper):
    ends = piper.synthesize("I can help you with the list of the day.").word_ends
    assert np.diff(ends).min() > 0.03 * piper.rate_hz


def test_a_word_ends_where_the_sound_changes(piper):
    """A pause divides the words around it: the first ends before it, the second after it."""
    utterance = piper.synthesize("Certainly. Bananas.")
    first_s, second_s = (end / utterance.rate_hz for end in utterance.word_ends)
    block = utterance.rate_hz // 200
    loud = np.abs(utterance.pcm[: len(utterance.pcm) // block * block].reshape(-1, block)).max(axis=1) > 300
    silent = np.flatnonzero(~loud)
    runs = np.split(silent, np.flatnonzero(np.diff(silent) > 1) + 1)
    gap = max((run for run in runs if 20 < run[0] < len(loud) - 80), key=len)
    assert gap[0] * 0.005 - 0.08 < first_s < gap[-1] * 0.005
    assert second_s > gap[-1] * 0.005 + 0.3


def test_the_two_ways_to_find_word_ends_agree_on_plain_words(piper, monkeypatch):
    import edge_agent.engines.piper as module

    text = "Penguins cannot fly but they swim very well."
    spoken = [piper._speak(symbols, 1.0) for symbols in piper._voice.phonemize(text)]
    words = text.split()
    by_groups = np.array(piper._word_ends(words, spoken))
    monkeypatch.setattr(module, "_PLAIN_WORD", module.re.compile("never"))
    by_matching = np.array(piper._word_ends(words, spoken))
    assert np.abs(by_groups - by_matching).max() < 0.06 * piper.rate_hz


def test_silence_is_trimmed_in_front_and_measured_behind(piper):
    for text in PLAIN:
        utterance = piper.synthesize(text)
        first_s, last_s = audible(utterance.pcm, utterance.rate_hz)
        assert first_s <= 0.0151
        assert len(utterance.pcm) / utterance.rate_hz - last_s == pytest.approx(pause_s(text), abs=0.012)
    tight = piper.synthesize("Sure.", tail_s=0.0)
    assert len(tight.pcm) / tight.rate_hz - audible(tight.pcm, tight.rate_hz)[1] < 0.012


def test_pauses_follow_the_last_mark():
    assert pause_s("Yes.") == pause_s('He said "yes."') > pause_s("Well,") > pause_s("and then")


def test_clauses_have_one_level_and_do_not_clip(piper):
    texts = [*PLAIN[1:], "Well, that is quite a long way from here.", "I am not sure about the other one."]
    spoken = [piper.synthesize(text, tail_s=0.0).pcm for text in texts]
    levels = [rms_db(pcm) for pcm in spoken]
    assert max(levels) - min(levels) < 5.0
    assert -27.0 < np.mean(levels) < -17.0
    assert all(np.abs(pcm).max() < 32767 for pcm in spoken)


def test_slower_speech_is_longer(piper):
    text = PLAIN[1]
    slow, fast = (len(piper.synthesize(text, length_scale=scale).pcm) for scale in (1.3, 0.8))
    assert slow > 1.3 * fast


@pytest.mark.parametrize("text", ["", "   ", "...", "— …", "\n"])
def test_nothing_speakable_gives_no_samples(piper, text):
    utterance = piper.synthesize(text)
    assert len(utterance.pcm) == 0
    assert utterance.word_ends == (0,) * len(text.split())


def test_foreign_text_and_emoji_do_no_harm(piper):
    for text in ["日本語 です", "¿Qué tal?", "Hi 😀 there", "a\u0301 \u200b b", "[[ broken"]:
        assert len(piper.synthesize(text).word_ends) == len(text.split())


def test_missing_and_broken_voices_are_errors_with_the_remedy(tmp_path, voice_path):
    voice = tmp_path / "voice.onnx"
    settings = tmp_path / "voice.onnx.json"

    def code() -> str:
        with pytest.raises(EngineError, match=r"models (pull|verify)") as caught:
            PiperEngine(voice, device="cpu")
        return caught.value.code

    assert code() == "engine.piper.config"
    settings.write_text("{")
    assert code() == "engine.piper.config"
    settings.write_text("{}")
    assert code() == "engine.piper.config"
    shutil.copy(f"{voice_path}.json", settings)
    assert code() == "engine.onnx.missing"
    voice.write_bytes(b"")
    assert code() == "engine.onnx.load"
    voice.write_bytes(b"not a model" * 1000)
    assert code() == "engine.onnx.load"
    voice.write_bytes(voice_path.read_bytes()[:1_000_000])
    assert code() == "engine.onnx.load"
