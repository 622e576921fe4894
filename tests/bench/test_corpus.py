import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_agent.bench import corpus
from edge_agent.bench.corpus import GAINS_DB, LENGTH_SCALES, QUESTIONS, load, spoken
from edge_agent.errors import BenchError

MODELS = Path(os.environ.get("EDGE_AGENT_MODELS", Path(__file__).parents[2] / "models"))


def a_sound(path: Path) -> Path:
    soundfile.write(path, np.zeros(1600), 16_000)
    return path


def test_questions_are_thirty_different_ones_at_several_paces_and_levels():
    assert len(set(QUESTIONS)) == 30
    assert min(LENGTH_SCALES) == 0.85 and max(LENGTH_SCALES) == 1.25
    assert len({(i % len(LENGTH_SCALES), i % len(GAINS_DB)) for i in range(30)}) == 30


class TestLoad:
    def test_takes_recordings_by_name_with_their_transcripts(self, tmp_path):
        a_sound(tmp_path / "b.wav").with_suffix(".txt").write_text("﻿What is\n it? ", encoding="utf-8")
        a_sound(tmp_path / "a.FLAC")
        a_sound(tmp_path / "c.ogg").with_suffix(".txt").write_text(" \n")
        (tmp_path / "notes.md").write_text("no recording")
        found = load(tmp_path)
        assert [one.path.name for one in found.recordings] == ["a.FLAC", "b.wav", "c.ogg"]
        assert [one.transcript for one in found.recordings] == [None, "What is it?", None]
        assert found.recordings[0].duration_s == pytest.approx(0.1)
        assert found.name == str(tmp_path)

    def test_turns_go_round(self, tmp_path):
        a_sound(tmp_path / "a.wav")
        a_sound(tmp_path / "b.wav")
        found = load(tmp_path)
        assert [one.path.stem for one in found.turns()] == ["a", "b"]
        assert [one.path.stem for one in found.turns(1)] == ["a"]
        assert [one.path.stem for one in found.turns(5)] == ["a", "b", "a", "b", "a"]

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(BenchError, match="does not exist") as refused:
            load(tmp_path / "none")
        assert refused.value.code == "bench.corpus"

    def test_a_file_is_no_folder(self, tmp_path):
        with pytest.raises(BenchError, match="is a file"):
            load(a_sound(tmp_path / "a.wav"))

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(BenchError, match="holds no recording"):
            load(tmp_path)

    def test_a_broken_recording_is_named(self, tmp_path):
        a_sound(tmp_path / "a.wav")
        (tmp_path / "b.wav").write_bytes(b"RIFF")
        with pytest.raises(BenchError, match=r"b\.wav"):
            load(tmp_path)

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a" * (corpus.MAX_TRANSCRIPT_BYTES + 1)])
    def test_a_broken_transcript_is_named(self, tmp_path, content):
        a_sound(tmp_path / "a.wav").with_suffix(".txt").write_bytes(content)
        with pytest.raises(BenchError, match=r"a\.txt"):
            load(tmp_path)

    def test_too_many_recordings(self, tmp_path, monkeypatch):
        monkeypatch.setattr(corpus, "MAX_RECORDINGS", 1)
        a_sound(tmp_path / "a.wav")
        a_sound(tmp_path / "b.wav")
        with pytest.raises(BenchError, match="2 recordings"):
            load(tmp_path)


class TestSpoken:
    def test_a_missing_voice(self, tmp_path):
        with pytest.raises(BenchError, match="cannot be read"):
            spoken(tmp_path / "none.onnx", kept_in=tmp_path)

    def test_what_was_spoken_before_is_not_spoken_again(self, tmp_path):
        voice = tmp_path / "voice.onnx"
        voice.write_bytes(b"a voice")
        folder = tmp_path / "kept" / corpus._key(voice)
        folder.mkdir(parents=True)
        a_sound(folder / "01.wav")
        found = spoken(voice, kept_in=tmp_path / "kept")
        assert found.name == "30 questions spoken by voice"
        assert len(found.recordings) == 1

    @pytest.mark.models
    def test_speaks_every_question_once(self, tmp_path, monkeypatch):
        voice = MODELS / "piper-en_US-joe-medium" / "en_US-joe-medium.onnx"
        if not voice.is_file():
            pytest.fail(f"{voice} is missing: run ./install.sh, or set EDGE_AGENT_MODELS to the folder with the models")
        told = []
        found = spoken(voice, kept_in=tmp_path, progress=lambda number, of: told.append((number, of)))
        assert told == [(number, 30) for number in range(1, 31)]
        assert tuple(one.transcript for one in found.recordings) == QUESTIONS
        assert all(0.5 < one.duration_s < 8 for one in found.recordings)
        assert [path.name for path in tmp_path.iterdir()] == [found.recordings[0].path.parent.name]
        monkeypatch.setattr(corpus, "_make", lambda *_: pytest.fail("spoken again"))
        assert spoken(voice, kept_in=tmp_path) == found

    @pytest.mark.models
    def test_a_voice_that_cannot_be_loaded_leaves_nothing(self, tmp_path):
        voice = tmp_path / "voice.onnx"
        voice.write_bytes(b"no voice")
        with pytest.raises(Exception, match=r"voice\.onnx") as refused:
            spoken(voice, kept_in=tmp_path / "kept")
        assert refused.value.code.startswith("engine.")
        assert list((tmp_path / "kept").iterdir()) == []
