import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.latency.critical_path import STAGES, segments, segments_of
from edge_agent.latency.stopwatch import Stamp

START_NS = 5_000_000_000


def stamps(**at_ms):
    """A fixed array of nanoseconds from milliseconds after speech end."""
    noted = [0] * len(Stamp)
    noted[Stamp.SPEECH_END] = START_NS
    for name, ms in at_ms.items():
        noted[Stamp[name]] = START_NS + round(ms * 1e6)
    return noted


ANSWERED = {
    "PAUSE": 100,
    "ASR_START": 102,
    "ASR_DONE": 420,
    "COMMITTED": 300,
    "LLM_START": 425,
    "FIRST_TOKEN": 530,
    "FIRST_CLAUSE": 600,
    "TTS_START": 601,
    "FIRST_PCM": 660,
    "FIRST_AUDIO": 690,
    "FIRST_ANSWER": 690,
}


def test_recognition_costs_what_lies_after_the_commit():
    assert segments(stamps(**ANSWERED)) == {"endpoint": 300, "asr": 125, "llm": 175, "tts": 60, "playout": 30}


def test_recognition_that_hides_behind_the_wait_costs_only_the_hand_over():
    path = segments(stamps(**ANSWERED | {"ASR_DONE": 250, "LLM_START": 303}))
    assert path == {"endpoint": 300, "asr": 3, "llm": 297, "tts": 60, "playout": 30}


def test_what_was_ready_before_the_commit_costs_nothing():
    early = {"LLM_START": 150, "ASR_DONE": 140, "FIRST_TOKEN": 200, "FIRST_CLAUSE": 220, "FIRST_PCM": 280}
    path = segments(stamps(**ANSWERED | early | {"TTS_START": 221, "FIRST_ANSWER": 320}))
    assert path == {"endpoint": 300, "asr": 0, "llm": 0, "tts": 0, "playout": 20}


def test_an_acknowledgement_is_not_on_the_path():
    late = {"FIRST_AUDIO": 400, "FIRST_CLAUSE": 1000, "TTS_START": 1001, "FIRST_PCM": 1050, "FIRST_ANSWER": 1080}
    assert sum(segments(stamps(**ANSWERED | late)).values()) == 1080


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ((), {}),
        (("PAUSE",), {"endpoint": 100}),
        (("PAUSE", "ASR_START"), {"endpoint": 100, "asr": 2}),
        (("PAUSE", "ASR_START", "ASR_DONE"), {"endpoint": 100, "asr": 320}),
        (("PAUSE", "ASR_START", "COMMITTED"), {"endpoint": 300, "asr": 0}),
        (("PAUSE", "COMMITTED", "ASR_DONE", "LLM_START", "FIRST_TOKEN"), {"endpoint": 300, "asr": 125, "llm": 105}),
    ],
)
def test_a_cancelled_turn_has_the_stages_that_it_reached(names, path):
    assert segments(stamps(**{name: ANSWERED[name] for name in names})) == path


def test_a_typed_turn_has_no_recognition():
    typed = {name: ms for name, ms in ANSWERED.items() if not name.startswith("ASR") and name != "PAUSE"}
    assert segments(stamps(**typed)) == segments(stamps(**ANSWERED))


def test_without_speech_end_there_is_no_path():
    assert segments([0, *stamps(**ANSWERED)[1:]]) == {}


def test_milliseconds_by_name_give_the_same_path():
    by_name = {name.lower(): float(ms) for name, ms in ANSWERED.items()} | {"speech_end": 0.0, "unheard_of": 5.0}
    assert segments_of(by_name) == segments(stamps(**ANSWERED))


MOMENTS = st.dictionaries(st.sampled_from([which.name for which in Stamp][1:]), st.integers(-2_000, 20_000))


@given(MOMENTS, st.integers(0, 20_000))
def test_segments_add_up_whatever_the_order(moments, answer_ms):
    path = segments(stamps(**moments | {"FIRST_ANSWER": answer_ms}))
    assert tuple(path) == STAGES
    assert min(path.values()) >= 0
    assert sum(path.values()) == pytest.approx(answer_ms)


@given(MOMENTS.filter(lambda moments: "FIRST_ANSWER" not in moments))
def test_segments_of_a_cancelled_turn_reach_no_farther_than_its_last_stamp(moments):
    path = segments(stamps(**moments))
    assert tuple(path) == STAGES[: len(path)]
    assert all(ms >= 0 for ms in path.values())
    assert sum(path.values()) <= max([0, *moments.values()])


def test_an_answer_before_the_end_of_speech_took_no_time():
    assert sum(segments(stamps(**ANSWERED | {"FIRST_ANSWER": -40})).values()) == 0
