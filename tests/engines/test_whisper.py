"""Recognition of real speech, of short answers, of long ones, and of no speech at all."""

import re

import jiwer
import numpy as np
import pytest
from faster_whisper import WhisperModel

from edge_agent.engines.whisper import CHUNK_S, WhisperEngine, choose_language, pieces, raised
from edge_agent.errors import EngineError
from tests.engines.conftest import RATE_HZ, model

QUESTIONS = [
    "What is the capital of France?",
    "Please set a timer for ten minutes.",
    "Could you explain how a refrigerator works in simple words?",
    "Remind me to call my mother on Sunday afternoon.",
    "Who was the first person to walk on the moon?",
    "My flight was cancelled and I need to find another one before Friday.",
]
MORE_QUESTIONS = [
    "How many days are there in a leap year?",
    "Turn off the lights in the living room.",
    "Where can I find a good bakery around here?",
    "What are the main ingredients of a pancake?",
    "How long does it take to fly from London to New York?",
    "Tell me something interesting about whales.",
]
ANSWERS = ["Yes.", "No.", "Stop.", "Okay.", "Thank you.", "Go on.", "Never mind."]


def plain(text):
    return " ".join(re.sub(r"[^\w ]", " ", text.lower().replace("'", "").replace("10", "ten")).split())


def word_error_rate(said, heard):
    return jiwer.wer([plain(text) for text in said], [plain(text) or "-" for text in heard])


@pytest.mark.models
@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en"])
def test_as_good_as_faster_whisper_with_its_full_window(request, speak, name):
    """One sentence of the dozen may go wrong: the word error rates themselves need a larger corpus (`bench asr`)."""
    engine = request.getfixturevalue("whisper" if name == "whisper-base" else "english")
    said = QUESTIONS + MORE_QUESTIONS
    theirs = WhisperModel(str(model(name)), device="cpu", compute_type="int8", cpu_threads=1)
    clips = [speak(text, scale=(0.8, 0.9, 1.0, 1.1, 1.2)[at % 5]) for at, text in enumerate(said)]
    ours = [engine.transcribe(clip, language="en") for clip in clips]
    full = [" ".join(part.text for part in theirs.transcribe(clip, language="en", beam_size=5)[0]) for clip in clips]
    assert word_error_rate(said, [each.text for each in ours]) <= word_error_rate(said, full) + 0.05
    assert all(each.window_s == pytest.approx(10.0) and not each.retried for each in ours)
    assert all(-1.0 < each.avg_logprob < 0.0 and each.no_speech_probability < 0.5 for each in ours)


@pytest.mark.models
@pytest.mark.parametrize("engine", ["whisper", "english"])
def test_short_answers_survive(request, speak, engine):
    transcribe = request.getfixturevalue(engine).transcribe
    heard = [plain(transcribe(speak(text), language="en").text) for text in ANSWERS]
    assert heard == [plain(text) for text in ANSWERS]


@pytest.mark.models
@pytest.mark.parametrize("seconds", [0.6, 4.0])
def test_silence_and_noise_are_not_speech(whisper, english, seconds):
    random = np.random.default_rng(2)
    count = int(seconds * RATE_HZ)
    envelope = np.sin(np.pi * np.arange(count) / count) ** 2
    clicks = np.where(random.random(count) < 1e-3, 0.3, 0.0)
    chord = sum(np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ) for hz in (261.6, 329.6, 392.0)) / 10
    sounds = [np.zeros(count), random.normal(0, 1e-3, count), random.normal(0, 0.1, count) * envelope, clicks, chord]
    for engine in (whisper, english):
        for sound in sounds:
            assert engine.transcribe(sound.astype(np.float32), language="en").text == ""


@pytest.mark.models
def test_nothing_at_all_is_no_text(whisper):
    for count in (0, 1, 399):
        heard = whisper.transcribe(np.zeros(count, np.float32))
        assert (heard.text, heard.tokens, heard.window_s) == ("", 0, 0.0)


@pytest.mark.models
def test_two_minutes_are_written_down_whole(english, speak):
    said = QUESTIONS * 6
    clip = np.concatenate([speak(text) for text in said])
    assert len(clip) > 90 * RATE_HZ
    paces = []
    heard = english.transcribe(clip, progress=lambda: paces.append(1))
    assert len(paces) >= 3
    assert word_error_rate([" ".join(said)], [heard.text]) < 0.12, "a lost piece would be a fifth of it"


@pytest.mark.models
def test_a_whisper_is_heard(whisper, speak):
    faint = 0.01 * speak(QUESTIONS[4])
    assert plain(whisper.transcribe(faint, language="en").text) == plain(QUESTIONS[4])


@pytest.mark.models
def test_language_is_detected_restricted_and_kept(whisper, speak):
    clip = speak(QUESTIONS[2])
    detected = whisper.transcribe(clip)
    assert detected.language == "en"
    assert detected.language_probability > 0.8
    assert whisper.transcribe(clip, allowed=["de", "fr"]).language in ("de", "fr")
    assert whisper.transcribe(clip, previous_language="de").language == "en", "it is sure"
    given = whisper.transcribe(clip, language="en")
    assert (given.language, given.language_probability) == ("en", 1.0)
    assert {"de", "ja", "hi", "zh"} < whisper.languages
    assert len(whisper.languages) == 99


@pytest.mark.models
def test_english_models_know_english_only(english, speak):
    assert not english.multilingual
    assert english.transcribe(speak("Why is the sky blue?")).language == "en"
    with pytest.raises(EngineError, match="English only") as caught:
        english.transcribe(np.zeros(RATE_HZ, np.float32), language="de")
    assert caught.value.code == "engine.whisper.language"


@pytest.mark.models
def test_too_short_a_window_is_repaired_or_left_alone(whisper, speak):
    """Without padding Whisper may loop; what comes back is never a loop."""
    for text in QUESTIONS[:3]:
        clip = speak(text, after_s=0.0)
        heard = whisper.transcribe(clip, language="en", window_s=len(clip) / RATE_HZ)
        assert heard.compression_ratio < 2.4
        assert word_error_rate([text], [heard.text]) < 0.5


@pytest.mark.models
def test_earlier_text_is_taken_as_context(whisper, speak):
    clip = speak("Who wrote Romeo and Juliet?")
    assert "juliet" in plain(whisper.transcribe(clip, language="en", previous_text="We spoke of plays.").text)


def test_missing_and_broken_models_are_errors_with_the_remedy(tmp_path):
    with pytest.raises(EngineError, match="models pull") as caught:
        WhisperEngine(tmp_path, device="cpu")
    assert caught.value.code == "engine.whisper.missing"
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(EngineError, match=r"cannot be loaded .*models verify") as caught:
        WhisperEngine(tmp_path, device="cpu")
    assert caught.value.code == "engine.whisper.load"


def test_long_sound_is_cut_where_it_is_quiet():
    loud = np.random.default_rng(0).normal(0, 0.1, 70 * RATE_HZ).astype(np.float32)
    gaps = [(24.0, 24.4), (46.0, 46.4)]
    for start, stop in gaps:
        loud[int(start * RATE_HZ) : int(stop * RATE_HZ)] = 0.0
    cut = pieces(loud)
    ends_s = np.cumsum([len(piece) for piece in cut]) / RATE_HZ
    assert [start < end < stop for (start, stop), end in zip(gaps, ends_s, strict=False)] == [True, True]
    assert all(len(piece) <= CHUNK_S * RATE_HZ for piece in cut)
    assert np.array_equal(np.concatenate(cut), loud)


def test_only_faint_sound_is_raised():
    loud = np.array([0.0, 0.5, -0.2], np.float32)
    assert raised(loud) is loud
    assert np.abs(raised(loud * 0.1)).max() == pytest.approx(0.1)
    assert np.abs(raised(loud * 1e-6)).max() == pytest.approx(1.5e-5)
    assert not raised(np.zeros(3, np.float32)).any()


def test_a_conversation_keeps_its_language_unless_another_is_far_likelier():
    assert choose_language({"en": 0.2, "nl": 0.6, "de": 0.2}, (), None) == ("nl", 0.6)
    assert choose_language({"en": 0.2, "nl": 0.6, "de": 0.2}, (), "en") == ("en", 0.2)
    assert choose_language({"en": 0.02, "nl": 0.9, "de": 0.08}, (), "en") == ("nl", 0.9)
    assert choose_language({"en": 0.3, "nl": 0.6, "de": 0.1}, ("en", "de"), None)[0] == "en"
    assert choose_language({"en": 0.5, "nl": 0.5}, ("en",), "fr") == ("en", 1.0)
