"""Whether to believe a decode, without a model."""

import pytest

from edge_agent.engines.attempt import Attempt, Voice, spoken_text


def attempt(text="Yes.", logprob=-0.3, no_speech=0.05, language_probability=1.0, capped=False, tokens=(1, 2)):
    return Attempt(text, list(tokens), logprob, no_speech, Voice(1.0, "en", language_probability), capped, 10.0)


def test_clear_speech_is_believed():
    assert not attempt().silent
    assert not attempt().doubtful


@pytest.mark.parametrize(
    ("logprob", "no_speech"),
    [(-0.99, 0.2), (-0.8, 0.77), (-1.2, 0.5), (-2.0, 0.25)],  # single words in noise, and speech that is hard to read
)
def test_doubtful_speech_is_kept(logprob, no_speech):
    assert not attempt("Please.", logprob, no_speech).silent


@pytest.mark.parametrize(
    "heard",
    [
        attempt("I'm gonna have to go.", -1.88, 0.57),  # breath
        attempt("I don't know what that means.", -1.5, 0.6),  # keys
        attempt("Thank you.", -0.8, 0.91),  # music
        attempt("you", -0.2, 0.7),
        attempt("1.0.1.1.1.1.1.", -0.92, 0.79, language_probability=0.37),  # noise, taken for a language
        attempt("2-3-4-4-4-4", -0.29, 0.67, capped=True),
    ],
)
def test_what_is_written_about_noise_is_not_believed(heard):
    assert heard.silent


def test_thanks_that_were_spoken_are_kept():
    assert not attempt("Thank you.", -0.3, 0.4).silent


def test_repetition_is_a_loop():
    assert attempt("and then and then " * 20).looped
    assert attempt(capped=True).looped
    assert not attempt("The quick brown fox jumps over the lazy dog.").looped


def test_a_phrase_twice_in_a_row_is_a_loop_when_it_was_too_fast_to_be_said():
    twice = [1, 2, 3, 4, 1, 2, 3, 4]
    assert attempt(tokens=twice).looped  # in one second
    assert not attempt(tokens=[1, 2, 3, 4, 5, 6, 7, 8]).looped
    slowly = Attempt("Yes.", twice, -0.3, 0.05, Voice(2.0, "en", 1.0), False, 10.0)
    assert not slowly.looped


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("[Music]", ""),
        ("(upbeat music)", ""),
        ("♪♪♪", ""),
        ("*coughs*", ""),
        ("...", ""),
        (" . ! ", ""),
        ("[BLANK_AUDIO", ""),
        ("(sighs) All right, then.", "All right, then."),
        ("3.5 times 2", "3.5 times 2"),
        ("你好世界", "你好世界"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
    ],
)
def test_descriptions_of_sounds_are_not_spoken(written, spoken):
    assert spoken_text(written) == spoken
