import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.bench.claims import Claim, compare
from edge_agent.bench.judge import Exchange
from edge_agent.bench.machine import Machine
from edge_agent.bench.memory import Memory, of_processes
from edge_agent.bench.v2v import lines_of, show, transcripts
from edge_agent.bench.words import word_errors
from edge_agent.config import Config
from edge_agent.errors import BenchError
from edge_agent.frontends.interview import Outcome
from edge_agent.latency.report import V2VReport
from edge_agent.latency.stopwatch import Stamp
from edge_agent.records import Trace


def a_trace(**stamps_ms: int) -> Trace:
    stamps = [0] * len(Stamp)
    for name, at_ms in stamps_ms.items():
        stamps[Stamp[name.upper()]] = at_ms * 1_000_000
    return Trace(0, "c", 7, 0, stamps, 800, [], None, None, True)


class TestClaims:
    def test_are_on_the_clock_of_the_device(self):
        claim = Claim.of(a_trace(speech_end=5_000, first_audio=5_600), zero_ns=1_000_000_000)
        assert claim == Claim(7, 4.0, 4.6)
        assert claim.latency_ms == pytest.approx(600)

    def test_there_is_none_where_nothing_was_audible(self):
        assert Claim.of(a_trace(speech_end=5_000), 0) is None
        assert Claim.of(a_trace(first_audio=5_000), 0) is None

    def test_the_difference_tells_who_says_it_was_quicker(self):
        agreement = compare([Claim(1, 2.9, 3.5)], [Exchange(1, 3, 3.62, False)])
        (only,) = agreement.comparisons
        assert (only.claimed_ms, only.judged_ms, only.difference_ms) == (600, 620, -20)
        assert (only.speech_end_ms, only.audible_ms) == (-100, -120)
        assert agreement.worst_ms == 20
        assert agreement.to_json()["worst_difference_ms"] == 20

    def test_what_only_one_side_knows_is_counted(self):
        agreement = compare(
            [Claim(1, 3, 3.5), Claim(2, 11, 11.5)], [Exchange(1, 3, None, False), Exchange(20, 22, 23, False)]
        )
        assert (agreement.comparisons, agreement.only_claimed, agreement.only_judged) == ((), 2, 1)
        assert agreement.worst_ms is None

    def test_a_cut_in_is_not_taken_for_the_answer(self):
        agreement = compare([Claim(1, 2, 2.5), Claim(2, 5, 5.6)], [Exchange(1, 5, 5.6, True)])
        assert [one.turn for one in agreement.comparisons] == [2]
        assert agreement.only_claimed == 1

    def test_of_nothing(self):
        assert compare([], []).worst_ms is None


class TestLines:
    def test_say_where_they_come_from(self):
        (line,) = lines_of(3, Outcome(Path("a/b.wav"), [{"turn": 5, "transcript": "x"}], False), "X")
        assert line == {
            "utterance": 3,
            "recording": "b.wav",
            "reference": "X",
            "words": True,
            "turn": 5,
            "transcript": "x",
        }

    def test_what_nobody_heard_is_owed_an_answer(self):
        lines = lines_of(1, Outcome(Path("a.wav"), [], False), None)
        assert V2VReport.of(lines).unanswered == 1
        assert V2VReport.of(lines).cancelled == {"house: no words were heard": 1}

    def test_so_is_a_turn_that_never_ended(self):
        lines = lines_of(1, Outcome(Path("a.wav"), [], True), None)
        assert V2VReport.of(lines).cancelled == {"house: the turn never ended": 1}

    def test_transcripts_of_one_utterance_are_joined(self):
        path = Path("a.wav")
        lines = [
            *lines_of(1, Outcome(path, [{"turn": 1, "transcript": "a"}, {"turn": 2, "transcript": "b"}], False), "A b"),
            *lines_of(2, Outcome(path, [{"turn": 3, "transcript": "c"}], False), "A b"),
            *lines_of(3, Outcome(path, [{"turn": 4, "transcript": "d"}], False), None),
            *lines_of(4, Outcome(path, [], False), "never heard"),
            *lines_of(5, Outcome(path, [], True), "never ended"),
        ]
        assert transcripts(lines) == [("A b", "a b"), ("A b", "c"), ("never heard", "")]


class TestWordErrors:
    def test_are_counted_over_all_words(self):
        pytest.importorskip("jiwer")
        found = word_errors([("What is the capital?", "what's the Capital"), ("Yes, please.", "")])
        assert found.words == 6
        assert (found.substitutions, found.deletions, found.insertions) == (1, 2, 0)
        assert found.rate == 0.5

    def test_case_marks_and_figures_are_no_errors(self):
        pytest.importorskip("jiwer")
        assert word_errors([("Is it seven or eight?", "is it 7, or 8")]).rate == 0

    def test_of_nothing(self):
        pytest.importorskip("jiwer")
        assert word_errors([("...", "hello")]) is None
        assert word_errors([]) is None

    def test_without_jiwer(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "jiwer", None)
        with pytest.raises(BenchError, match="pip install"):
            word_errors([("a", "a")])


class TestEnforce:
    def test_passes_in_time(self, a_result):
        assert a_result(*[500.0] * 20).enforce() is None

    def test_one_late_turn_of_forty_is_allowed(self, a_result):
        assert a_result(*[500.0] * 39, 2000.0).enforce() is None

    def test_p95_over_the_budget(self, a_result):
        assert a_result(500.0, 900.0).enforce() == ("The p95 in the recording is 900 ms, over the budget of 800 ms.")

    def test_the_margin_is_named(self, a_result):
        assert a_result(500.0, 900.0).enforce(margin_ms=100) is None
        assert "plus a margin of 50 ms" in a_result(500.0, 900.0).enforce(margin_ms=50)

    def test_the_recording_is_believed_where_the_traces_flatter(self, a_result):
        assert "900 ms" in a_result(700.0, slower_ms=200).enforce()

    def test_the_traces_count_as_well(self, a_result):
        assert "first answer is 900 ms" in a_result(900.0, slower_ms=-200).enforce()

    def test_an_unanswered_turn_is_infinitely_late(self, a_result):
        assert "1 of 2 utterances in the recording have no answer" in a_result(500.0, None).enforce()

    def test_nothing_said_proves_nothing(self, a_result):
        assert a_result().enforce() is not None


def test_the_result_goes_into_json(a_result):
    found = json.loads(json.dumps(a_result(500.0, None).to_json()))
    assert found["claimed"]["answered"] == found["judged"]["answered"] == 1
    assert found["agreement"]["worst_difference_ms"] == 0
    assert found["memory"]["after"]["total_pss_mib"] == 101.5
    assert found["machine"]["cores"] >= 1
    assert [turn["recording"] for turn in found["turns"]] == ["1.wav", "2.wav"]


@pytest.mark.parametrize("answers_ms", [(500.0, 900.0, None), (None,), ()])
def test_the_result_is_shown(a_result, answers_ms):
    screen = io.StringIO()
    show(a_result(*answers_ms, slower_ms=3.0), Console(file=screen, width=100))
    said = screen.getvalue()
    assert "judged in the recording" in said
    assert "3 loudspeaker blocks too late" in said
    assert ("differ by 3 ms at most over 2 answers" in said) == (len(answers_ms) == 3)
    assert "+2" in said


def test_memory_of_a_process_is_shared_out():
    here = of_processes({"here": os.getpid(), "gone": 2**22 + 1})
    assert list(here.pss_mib) == list(here.rss_mib) == ["here"]
    assert 0 < here.total_pss_mib <= here.total_rss_mib
    assert Memory({"a": 1.0, "b": 2.5}, {"a": 2.0, "b": 4.0}).to_json()["total_rss_mib"] == 6.0


def test_the_machine_is_described_without_naming_its_folders():
    config = Config.model_validate({"models": {"llm": "/some/where/own.gguf"}})
    machine = Machine.here(config)
    assert machine.cpu and machine.memory_bytes > 0 and machine.python.startswith("3.")
    assert machine.models["llm"] == "own.gguf"
    assert machine.config_sha256 != Machine.here(Config()).config_sha256
    assert "/some" not in str(machine)
