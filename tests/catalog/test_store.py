"""What is found before a worker starts: missing, truncated and corrupted files, and what the stamps save."""

from __future__ import annotations

import json
import os

import pytest

from edge_agent.catalog import stamps as stamping
from edge_agent.catalog.document import DEFAULT_PATH
from edge_agent.catalog.store import STAMPS, Store, default_root
from edge_agent.errors import CatalogError

from .conftest import listed, noise

VOICE = noise(50_000)
NOWHERE = {"type": "hub", "repository": "a/b", "revision": "main", "path": "voice.onnx"}


@pytest.fixture
def store(make_store, folder):
    """A store whose model was put in place by hand."""
    store = make_store(listed("voice.onnx", VOICE, NOWHERE))
    folder.mkdir(parents=True)
    (folder / "voice.onnx").write_bytes(VOICE)
    return store


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were read and hashed."""
    names = []
    real = stamping.sha256_of
    monkeypatch.setattr(stamping, "sha256_of", lambda path, moved=None: names.append(path.name) or real(path, moved))
    return names


def refusal(store, **options) -> CatalogError:
    with pytest.raises(CatalogError) as caught:
        store.require("speak", **options)
    return caught.value


def test_a_right_model_is_hashed_once(store, folder, hashed):
    assert store.require("speak") == folder / "voice.onnx"
    assert store.require("speak") == folder / "voice.onnx"
    assert hashed == ["voice.onnx"]
    store.require("speak", thorough=True)
    assert hashed == ["voice.onnx"] * 2


def test_an_engine_that_opens_a_folder_gets_the_folder(store, folder):
    hear = folder.parent / "hear"
    hear.mkdir()
    (hear / "x.bin").write_bytes(b"x")
    assert store.require("hear") == hear


def test_a_missing_model_says_which_command_gets_it(store, folder, monkeypatch):
    (folder / "voice.onnx").unlink()
    error = refusal(store)
    assert error.code == "catalog.missing"
    assert str(error).endswith(f"run `edge-agent models pull speak --models-dir {folder.parent}`")
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(folder.parent))
    assert str(refusal(store)).endswith("run `edge-agent models pull speak`")


def test_a_truncated_file_is_found(store, folder):
    store.require("speak")
    os.truncate(folder / "voice.onnx", 1000)
    error = refusal(store)
    assert error.code == "catalog.corrupt"
    assert "has 1000 bytes instead of 50000" in str(error)


def test_a_changed_file_of_the_same_size_is_found(store, folder):
    store.require("speak")
    (folder / "voice.onnx").write_bytes(VOICE[:-1] + b"?")
    assert "wrong content" in str(refusal(store))
    assert store.state("speak") == "broken"


def test_damage_that_left_size_and_time_is_found_by_the_thorough_check(store, folder):
    store.require("speak")
    path = folder / "voice.onnx"
    before = path.stat()
    path.write_bytes(VOICE[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    store.require("speak")
    assert refusal(store, thorough=True).code == "catalog.corrupt"


def test_a_stamp_of_another_digest_does_not_count(store, folder, hashed):
    store.require("speak")
    record = json.loads((folder / STAMPS).read_text())
    record["voice.onnx"]["sha256"] = "0" * 64
    (folder / STAMPS).write_text(json.dumps(record))
    assert "wrong content" in str(refusal(store))


@pytest.mark.parametrize("nonsense", ["", "[]", '{"voice.onnx": 3}', '{"voice.onnx": {"size": 1}}', "\0"])
def test_a_stamp_file_that_is_nonsense_costs_one_hash(store, folder, hashed, nonsense):
    (folder / STAMPS).write_text(nonsense)
    store.require("speak")
    store.require("speak")
    assert hashed == ["voice.onnx"]


def test_stamps_that_cannot_be_kept_do_not_stop_a_start(store, folder, hashed):
    (folder / STAMPS).mkdir()
    store.require("speak")
    store.require("speak")
    assert hashed == ["voice.onnx"] * 2


def test_a_file_that_cannot_be_read_is_said(store, folder):
    (folder / "voice.onnx").unlink()
    (folder / "voice.onnx").symlink_to("voice.onnx")
    error = refusal(store)
    assert error.code == "catalog.corrupt"
    assert "cannot be read" in str(error)


def test_where_models_live(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGE_AGENT_MODELS", raising=False)
    assert default_root() == DEFAULT_PATH.parent
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path))
    assert Store().root == tmp_path
    assert Store(tmp_path / "other").root == tmp_path / "other"
