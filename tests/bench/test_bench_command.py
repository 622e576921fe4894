import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from edge_agent.bench import v2v
from edge_agent.cli import bench as command
from edge_agent.cli.app import app
from edge_agent.errors import BenchError, ConfigError


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.zeros(1600), 16_000)
    return folder


@pytest.fixture
def held(monkeypatch, a_result):
    """Conversations are not held; each run has these latencies, and its arguments are kept."""
    found = SimpleNamespace(answers_ms=(500.0, 600.0), asked=None)

    def run(config, said, **asked):
        found.asked = SimpleNamespace(config=config, said=said, **asked)
        result = a_result(*found.answers_ms)
        asked["loading"]("ears", True)
        asked["told"](0, 2, ())
        for number, line in enumerate(result.held.lines, 1):
            asked["told"](number, 2, [line])
        return result

    monkeypatch.setattr(v2v, "run", run)
    return found


def invoke(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], terminal_width=200)


def test_help_teaches_and_offers_what_there_is():
    said = invoke("--help").output
    for name in ("v2v", "answers", "ring"):
        assert name in said
        assert f"edge-agent bench {name}" in invoke(name, "--help").output
    assert invoke("soak").exit_code == 2


class TestV2V:
    def test_prints_every_turn_and_the_report(self, corpus, held):
        result = invoke("v2v", "--corpus", corpus, "--turns", 2)
        assert result.exit_code == 0, result.output
        assert "turn 1 of 2: 500 ms" in result.output
        assert "judged in the recording" in result.output
        assert held.asked.turns == 2 and held.asked.record is None
        assert len(held.asked.said.recordings) == 1

    def test_writes_everything_that_was_found(self, corpus, held, tmp_path):
        pytest.importorskip("matplotlib")
        outputs = [tmp_path / name for name in ("v.json", "v.png", "v.wav")]
        options = zip(("--json", "--png", "--record"), outputs, strict=True)
        result = invoke("v2v", "--corpus", corpus, *[part for option in options for part in option])
        assert result.exit_code == 0, result.output
        found = json.loads(outputs[0].read_text())
        assert found["over_budget"] is None and found["enforced"] is False
        assert found["judged"]["p95_ms"] == 600
        assert outputs[1].read_bytes().startswith(b"\x89PNG")
        assert held.asked.record == outputs[2]

    def test_enforces_when_asked(self, corpus, held, tmp_path):
        held.answers_ms = (500.0, 900.0)
        assert invoke("v2v", "--corpus", corpus).exit_code == 0
        assert invoke("v2v", "--corpus", corpus, "--enforce", "--margin-ms", 100).exit_code == 0
        result = invoke("v2v", "--corpus", corpus, "--enforce", "--json", tmp_path / "v.json")
        assert result.exit_code == 1
        assert "edge-agent: The p95 in the recording is 900 ms, over the budget of 800 ms." in result.output
        assert "900 ms" in json.loads((tmp_path / "v.json").read_text())["over_budget"]

    def test_an_unanswered_turn_is_said(self, corpus, held):
        held.answers_ms = (500.0, None)
        assert "turn 2 of 2: no answer" in invoke("v2v", "--corpus", corpus).output

    @pytest.mark.parametrize("option", ["--json", "--png", "--record"])
    def test_finds_out_first_that_a_result_cannot_be_written(self, corpus, held, tmp_path, option):
        for place in (tmp_path / "none" / "file", tmp_path):
            result = invoke("v2v", "--corpus", corpus, option, place)
            assert isinstance(result.exception, BenchError)
            assert result.exception.code == "bench.output"
        assert held.asked is None

    def test_a_picture_needs_matplotlib(self, corpus, held, tmp_path, monkeypatch):
        monkeypatch.setattr(command, "find_spec", lambda _: None)
        result = invoke("v2v", "--corpus", corpus, "--png", tmp_path / "v.png")
        assert isinstance(result.exception, BenchError)
        assert result.exception.code == "bench.plot"

    def test_errors_go_up(self, held, tmp_path):
        assert isinstance(invoke("v2v", "--corpus", tmp_path / "none").exception, BenchError)
        assert isinstance(invoke("v2v", "--config", tmp_path / "none.toml").exception, ConfigError)
        assert invoke("v2v", "--turns", 0).exit_code == 2


class TestRing:
    @pytest.fixture
    def found(self, monkeypatch):
        from edge_agent.bench import ring

        report = SimpleNamespace(to_json=lambda: '{"sound": true}', integrity=SimpleNamespace(sound=True), quick=None)

        def run(*, quick, console):
            report.quick = quick
            return report

        monkeypatch.setattr(ring, "run", run)
        monkeypatch.setattr(ring, "print_report", lambda _, console: console.print("the report"))
        return report

    def test_prints_and_writes(self, found, tmp_path):
        result = invoke("ring", "--quick", "--json", tmp_path / "r.json")
        assert result.exit_code == 0, result.output
        assert "the report" in result.output
        assert found.quick is True
        written = json.loads((tmp_path / "r.json").read_text())
        assert written["sound"] is True and written["machine"]["cpu"]

    def test_a_ring_that_is_not_sound_fails(self, found):
        found.integrity.sound = False
        assert invoke("ring").exit_code == 1


class TestAnswers:
    @pytest.fixture
    def asked(self, monkeypatch):
        pytest.importorskip("llama_cpp")
        from edge_agent.bench import answers
        from edge_agent.engines import llama
        from edge_agent.supervisor.models import OWN_MODEL_CHAT, ChosenModels

        seen = SimpleNamespace(chat=None, engine=None)

        class Engine:
            def __init__(self, path, **options):
                seen.engine = {"path": path, **options}

            def __enter__(self):
                return self

            def __exit__(self, *_):
                seen.engine["closed"] = True

            def warm_up(self):
                seen.engine["warm"] = True

        def run(engine, chat, console):
            seen.chat = chat
            return SimpleNamespace(to_json=lambda: {"tallies": {}})

        monkeypatch.setattr(llama, "LlamaEngine", Engine)
        monkeypatch.setattr(command, "choose", lambda _: ChosenModels({"llm": "own.gguf"}, OWN_MODEL_CHAT))
        monkeypatch.setattr(answers, "run_with_bar", run)
        monkeypatch.setattr(answers, "show", lambda _, console: console.print("the answers"))
        return seen

    def test_asks_the_configured_model_with_the_configured_prompt(self, asked, tmp_path):
        (tmp_path / "c.toml").write_text('[persona]\ninstructions = "Be brief."\n[threads]\nllm = 3\n')
        result = invoke("answers", "--config", tmp_path / "c.toml", "--json", tmp_path / "a.json")
        assert result.exit_code == 0, result.output
        assert "the answers" in result.output
        assert asked.chat.system == "Be brief."
        assert str(asked.engine["path"]) == "own.gguf"
        assert (asked.engine["threads"], asked.engine["slots"]) == (3, 1)
        assert asked.engine["warm"] and asked.engine["closed"]
        assert json.loads((tmp_path / "a.json").read_text())["benchmark"] == "answers"
