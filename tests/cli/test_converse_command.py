"""`edge-agent converse` as a person runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

KEYS = {"turn", "transcript", "reply", "heard", "first_audio_ms", "first_answer_ms", "stages", "rungs", "breach"}


def run(*arguments, timeout=200):
    command = [sys.executable, "-c", "from edge_agent.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_help_teaches():
    shown = run("converse", "--help").stdout
    for word in ("--record", "--trace", "--config", "edge-agent converse one.wav two.wav", "Exit status"):
        assert word in shown


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "There is no file"), (b"", "0 bytes"), (b"no sound" * 99, "cannot be read as sound")],
)
def test_a_wrong_file_is_one_sentence_and_nothing_is_started(tmp_path, content, sentence):
    path = tmp_path / "in.wav"
    if content is not None:
        path.write_bytes(content)
    ended = run("converse", path)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_wrong_configuration_names_file_line_and_option(tmp_path):
    wav = tmp_path / "in.wav"
    soundfile.write(wav, np.zeros(1_600), 16_000)
    config = tmp_path / "mine.toml"
    config.write_text('[budget]\n\ntotal_ms = "fast"\n')
    ended = run("converse", wav, "--config", config)
    assert ended.returncode == 2
    assert "mine.toml, line 3: budget.total_ms" in ended.stderr


@pytest.mark.models
def test_two_questions_are_answered_recorded_and_traced(tmp_path, voice):
    config = tmp_path / "edge-agent.toml"
    config.write_text(f'[house]\nslots = 1\nstate_dir = "{tmp_path}/state"\n')
    for number, (text, scale) in enumerate([("What is the capital of France?", 1.0), ("What color is the sky?", 1.2)]):
        soundfile.write(tmp_path / f"{number}.wav", voice(text, scale), 16_000)
    both, turns = tmp_path / "both.wav", tmp_path / "turns.jsonl"
    ended = run(
        "converse", tmp_path / "0.wav", tmp_path / "1.wav", "--record", both, "--trace", turns, "--config", config
    )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in turns.read_text().splitlines()]
    assert [line["turn"] for line in lines] == [1, 2]
    for line, word in zip(lines, ("france", "sky"), strict=True):
        assert set(line) == {*KEYS, "cancelled"}
        assert word in line["transcript"].lower()
        assert line["heard"] == line["reply"] != ""
        assert line["first_audio_ms"] > 0
        assert line["transcript"] in ended.stdout
    assert soundfile.info(both).channels == 2


@pytest.mark.models
def test_silence_has_nothing_to_answer(tmp_path):
    config = tmp_path / "edge-agent.toml"
    config.write_text(f'[house]\nslots = 1\nstate_dir = "{tmp_path}/state"\n')
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    turns = tmp_path / "turns.jsonl"
    ended = run("converse", tmp_path / "silence.wav", "--trace", turns, "--config", config)
    assert ended.returncode == 0
    assert "no speech was heard" in ended.stderr
    assert turns.read_text() == ""
