import json

import pytest

from edge_agent.errors import BenchError
from edge_agent.latency.budget import ACKNOWLEDGEMENT
from edge_agent.latency.critical_path import segments
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.latency.turn_line import TurnLine, trace_line, turn_lines
from edge_agent.records import Trace

START_NS = 7_000_000_000


def trace(cancelled=None, words=True, rungs=(), breach=None, **at_ms):
    watch = Stopwatch.start(START_NS, 800)
    for name, ms in at_ms.items():
        watch.stamp(Stamp[name], START_NS + int(ms * 1_000_000))
    return Trace(0, "talk", 3, 1, watch.stamps, 800, list(rungs), breach, cancelled, words)


ANSWERED = {"PAUSE": 100, "COMMITTED": 300, "ASR_DONE": 250.04, "LLM_START": 303, "FIRST_CLAUSE": 480}
ANSWERED |= {"FIRST_PCM": 560, "FIRST_AUDIO": 590, "FIRST_ANSWER": 590}


def test_the_line_is_the_one_of_the_design():
    line = trace_line(trace(**ANSWERED, rungs=["llm: greedy"]), "Hello?", "Hello there.", "Hello")
    assert json.loads(json.dumps(line)) == {
        "turn": 3,
        "transcript": "Hello?",
        "reply": "Hello there.",
        "heard": "Hello",
        "first_audio_ms": 590.0,
        "first_answer_ms": 590.0,
        "stages": {
            "speech_end": 0.0,
            "pause": 100.0,
            "asr_done": 250.0,
            "committed": 300.0,
            "llm_start": 303.0,
            "first_clause": 480.0,
            "first_pcm": 560.0,
            "first_audio": 590.0,
            "first_answer": 590.0,
        },
        "rungs": ["llm: greedy"],
        "breach": None,
        "cancelled": None,
    }


def test_a_cancelled_turn_has_no_figures():
    line = trace_line(trace(cancelled="asr: no words", PAUSE=100))
    assert (line["first_audio_ms"], line["first_answer_ms"], line["cancelled"]) == (None, None, "asr: no words")


def test_a_turn_without_its_beginning_has_no_stages():
    line = trace_line(Trace(0, "talk", 1, 0, [0] * len(Stamp), 800, [], None, "ears: restarted", False))
    assert (line["stages"], line["first_answer_ms"]) == ({}, None)


def test_an_acknowledgement_is_not_the_answer():
    said = ANSWERED | {"FIRST_AUDIO": 590, "FIRST_ANSWER": 1200}
    (line,) = turn_lines([trace(**said, rungs=[ACKNOWLEDGEMENT], breach="llm")])
    assert (line.acknowledged_ms, line.first_audio_ms, line.first_answer_ms) == (590, 590, 1200)
    (line,) = turn_lines([trace(**ANSWERED)])
    assert line.acknowledged_ms is None


def test_traces_and_lines_read_alike():
    given = trace(**ANSWERED)
    of_trace, of_line = turn_lines([given, json.loads(json.dumps(trace_line(given, "Hello?")))])
    assert of_trace.segments == of_line.segments == pytest.approx(segments(given.stamps), abs=0.11)
    assert of_trace.answered and of_line.answered
    assert turn_lines([of_line]) == [of_line]


def test_stamps_that_are_null_did_not_happen():
    assert TurnLine(turn=1, stages={"pause": 100.0, "committed": None}).segments == {"endpoint": 100.0}


@pytest.mark.parametrize(
    ("row", "owed"),
    [
        (trace(cancelled="asr: no words", words=False, PAUSE=100), False),
        (trace(cancelled="llm: failed", words=True, PAUSE=100), True),
        ({"turn": 1, "transcript": " "}, False),
        ({"turn": 1, "transcript": "Hello?"}, True),
        ({"turn": 1, "first_answer_ms": 500}, True),
    ],
)
def test_an_answer_is_owed_to_words(row, owed):
    assert turn_lines([row])[0].owed is owed


@pytest.mark.parametrize("row", [{}, {"turn": "one"}, {"turn": 1, "stages": [1]}, {"turn": 1, "first_answer_ms": "x"}])
def test_what_is_no_line_is_said(row):
    with pytest.raises(BenchError) as caught:
        turn_lines([row])
    assert caught.value.code == "bench.trace"
