import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_agent.latency.budget import ACKNOWLEDGEMENT, Budget
from edge_agent.latency.report import Spread, V2VReport, percentile

BUDGET = Budget(800, {"endpoint": 400, "asr": 100, "llm": 180, "tts": 90, "playout": 30})


def answered(turn, answer_ms, audio_ms=None, breach=None, rungs=()):
    stages = {"speech_end": 0.0, "committed": 300.0, "llm_start": 310.0, "first_clause": answer_ms - 100.0}
    stages |= {"first_pcm": answer_ms - 30.0, "first_answer": answer_ms}
    return {
        "turn": turn,
        "transcript": "Hello?",
        "first_audio_ms": audio_ms or answer_ms,
        "first_answer_ms": answer_ms,
        "stages": stages,
        "rungs": list(rungs),
        "breach": breach,
    }


def unanswered(turn, cancelled, transcript="Hello?"):
    stages = {"speech_end": 0.0, "pause": 100.0}
    return {"turn": turn, "transcript": transcript, "stages": stages, "cancelled": cancelled}


ROWS = [
    answered(1, 600.0),
    answered(2, 700.0, rungs=["llm: greedy"]),
    answered(3, 1100.0, audio_ms=650.0, breach="llm", rungs=["llm: greedy", ACKNOWLEDGEMENT]),
    unanswered(4, "asr: no words", transcript=""),
]


def test_percentiles_are_nearest_rank():
    assert percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert percentile([1, 2, 3, 4], 0.5) == 3
    assert percentile(list(range(20)), 0.95) == 19
    assert percentile([1], 0.0) == percentile([1], 1.0) == 1


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_was_measured(values, quantile):
    assert percentile(values, quantile) in values


def test_the_report_counts():
    report = V2VReport.of(ROWS, cut_ins=1)
    assert (report.turns, report.answered, report.unanswered, report.cut_ins) == (4, 3, 0, 1)
    assert report.first_answer_ms == Spread(3, 700, 1100, 1100)
    assert report.first_audio_ms == Spread(3, 650, 700, 700)
    assert report.stages_ms["endpoint"] == Spread(3, 300, 300, 300)
    assert report.stages_ms["llm"] == Spread(3, 290, 690, 690)
    assert report.breaches == {"llm": 1}
    assert report.rungs == {"llm: greedy": 2, ACKNOWLEDGEMENT: 1}
    assert report.cancelled == {"asr: no words": 1}


def test_the_report_of_nothing():
    report = V2VReport.of([])
    assert (report.turns, report.first_answer_ms, report.stages_ms) == (0, None, {})
    assert "no turn" in report.enforce(800)


def test_the_report_is_json():
    report = json.loads(json.dumps(V2VReport.of(ROWS).to_json()))
    assert report["first_answer_ms"] == {"count": 3, "p50": 700, "p95": 1100, "worst": 1100}
    assert report["answers_ms"] == [600, 700, 1100]
    assert report["cut_ins"] is None


def test_in_time_is_fine():
    assert V2VReport.of(ROWS).enforce(1100) is None
    assert V2VReport.of(ROWS).enforce(1000, margin_ms=100) is None
    assert V2VReport.of(ROWS).enforce(700, quantile=0.5) is None


def test_a_quantile_over_budget_is_a_sentence():
    assert V2VReport.of(ROWS).enforce(800, margin_ms=50) == (
        "The p95 of the first answer is 1100 ms, over the budget of 800 ms plus a margin of 50 ms, "
        "most often llm (1 turn)."
    )


def test_a_turn_that_was_never_answered_is_late():
    rows = [*ROWS[:2], unanswered(5, "llm: the engine failed")]
    assert V2VReport.of(rows).enforce(5_000) == (
        "1 of 3 turns had no answer, which puts the p95 over any budget, most often llm: the engine failed (1 turn)."
    )
    assert V2VReport.of(rows).enforce(800, quantile=0.5) is None


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []])
def test_the_table_and_its_lines(rows):
    report = V2VReport.of(rows, cut_ins=2)
    console = Console(file=io.StringIO(), width=80)
    console.print(report.table(BUDGET))
    printed = console.file.getvalue()
    if rows:
        assert [line.split()[0] for line in printed.splitlines()[1:6]] == list(BUDGET.shares)
        assert "first answer" in printed
    assert report.lines()[:2] == [f"{report.answered} of {len(rows)} turns answered", "2 cut-ins"]


def test_the_lines_name_what_was_left_out_and_cancelled():
    assert V2VReport.of(ROWS).lines()[1:] == [
        "llm: greedy (2)",
        "llm: acknowledgement (1)",
        "cancelled by asr: no words (1)",
    ]
