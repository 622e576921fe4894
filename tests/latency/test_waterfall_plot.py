import sys

import pytest

from edge_agent.errors import BenchError
from edge_agent.latency.budget import ACKNOWLEDGEMENT
from edge_agent.latency.plot import plot


def row(turn, answer_ms=700.0, **more):
    stages = {"speech_end": 0.0, "committed": 300.0, "llm_start": 350.0, "first_clause": answer_ms - 100.0}
    stages |= {"first_pcm": answer_ms - 30.0, "first_answer": answer_ms}
    return {"turn": turn, "first_audio_ms": answer_ms, "first_answer_ms": answer_ms, "stages": stages} | more


LATE = row(2, 1200.0, breach="llm", rungs=[ACKNOWLEDGEMENT], first_audio_ms=600.0)
CANCELLED = {"turn": 3, "stages": {"speech_end": 0.0, "committed": 400.0}, "cancelled": "asr: no words"}


@pytest.mark.parametrize("order", ["turn", "latency"])
@pytest.mark.parametrize(
    "rows",
    [
        [
            row(1, transcript="Is it $5 or $10_000?"),
            LATE,
            CANCELLED,
            row(4, 9000.0, breach="asr", transcript="東京は?"),
        ],
        [CANCELLED],
        [{"turn": 1}],
        [row(turn, 500.0 + turn) for turn in range(100)],
    ],
    ids=["mixed", "cancelled", "empty", "many"],
)
def test_a_picture_is_written(tmp_path, rows, order):
    pytest.importorskip("matplotlib")
    path = tmp_path / "waterfalls.png"
    plot(rows, path, 800, order=order, title="東京")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_nothing_is_refused(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(BenchError, match="no turn"):
        plot([], tmp_path / "waterfalls.png")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(BenchError, match="cannot be written") as caught:
        plot([row(1)], tmp_path / "none" / "waterfalls.png")
    assert caught.value.code == "bench.plot"


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(BenchError, match=r"pip install edge-agent\[bench\]") as caught:
        plot([row(1)], tmp_path / "waterfalls.png")
    assert caught.value.code == "bench.plot"
