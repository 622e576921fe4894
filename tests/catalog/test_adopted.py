"""A user's own model, given by path."""

from __future__ import annotations

import os

import pytest

from edge_agent.catalog.adopted import adopt
from edge_agent.errors import CatalogError


@pytest.fixture
def record(tmp_path):
    return tmp_path / "state" / "adopted.json"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"weights")
    return path


def code_of(path, record, **options) -> str:
    with pytest.raises(CatalogError) as caught:
        adopt(path, record=record, **options)
    return caught.value.code


def test_a_model_is_recorded_at_first_use_and_fine_while_it_stays(model, record):
    assert adopt(model, record=record) == model
    assert adopt(model, record=record, thorough=True) == model
    os.utime(model)
    assert adopt(model, record=record) == model


def test_a_change_is_found_and_can_be_accepted(model, record):
    adopt(model, record=record)
    model.write_bytes(b"other weights")
    assert code_of(model, record) == "catalog.changed"
    assert code_of(model, record) == "catalog.changed"
    adopt(model, record=record, accept=True)
    assert adopt(model, record=record, thorough=True) == model


def test_a_change_that_kept_size_and_time_needs_the_thorough_check(model, record):
    adopt(model, record=record)
    before = model.stat()
    model.write_bytes(b"WEIGHTS")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    adopt(model, record=record)
    assert code_of(model, record, thorough=True) == "catalog.changed"


def test_a_folder_is_watched_as_a_whole(tmp_path, record):
    folder = tmp_path / "whisper"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "config.json").write_bytes(b"{}")
    adopt(folder, record=record)
    (folder / "config.json").unlink()
    assert code_of(folder, record) == "catalog.changed"
    adopt(folder, record=record, accept=True)
    adopt(folder, record=record)
    (folder / "model.bin").write_bytes(b"others")
    assert code_of(folder, record) == "catalog.changed"


def test_nothing_there(tmp_path, record):
    assert code_of(tmp_path / "none.gguf", record) == "catalog.missing"
    (tmp_path / "empty").mkdir()
    assert code_of(tmp_path / "empty", record) == "catalog.missing"


def test_a_record_that_cannot_be_written_is_said(model, tmp_path):
    (tmp_path / "blocked").write_text("")
    assert code_of(model, tmp_path / "blocked" / "adopted.json") == "catalog.unreadable"
