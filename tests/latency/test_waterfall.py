import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from edge_agent.latency.budget import ACKNOWLEDGEMENT
from edge_agent.latency.stopwatch import Stamp
from edge_agent.latency.waterfall import turn_card, waterfall


class AsciiFile(io.StringIO):
    encoding = "ascii"


def row(turn, answer_ms=700.0, **more):
    stages = {"speech_end": 0.0, "committed": 300.0, "llm_start": 350.0, "first_clause": answer_ms - 100.0}
    stages |= {"first_pcm": answer_ms - 30.0, "first_answer": answer_ms}
    said = {"transcript": "What is it?", "reply": "It is.", "heard": "It is."}
    return {"turn": turn, "first_audio_ms": answer_ms, "first_answer_ms": answer_ms, "stages": stages} | said | more


ROWS = [
    row(1),
    row(2, 1200.0, breach="llm", rungs=["llm: greedy", ACKNOWLEDGEMENT], first_audio_ms=600.0),
    {"turn": 3, "stages": {"speech_end": 0.0, "committed": 400.0}, "cancelled": "asr: no words"},
    row(40, 9000.0, breach="asr"),
]


def printed(renderable, width=100, file=None, **options):
    console = Console(file=file or io.StringIO(), width=width, **options)
    console.print(renderable)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_one_bar_a_turn_and_one_line_through_all(width):
    lines = printed(waterfall(ROWS, 800), width)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines[:5]] == ["turn", "1", "2", "3", "40"]
    assert "800" in lines[0]
    assert len({line.index("│") for line in lines[1:5]}) == 1


def test_totals_and_the_stage_that_overspent_stand_beside_the_bars():
    lines = printed(waterfall(ROWS, 800))
    assert lines[1].split()[-1] == "700"
    assert "1200  llm" in lines[2]
    assert "✕ asr: no words" in lines[3]
    assert "9000  asr" in lines[4]


def test_textures_tell_the_stages_apart_without_colour():
    lines = printed(waterfall(ROWS, 800))
    bar = lines[2]
    assert bar.index("░") < bar.index("▒") < bar.index("#") < bar.index("█") < bar.index("▪")
    assert "◆" in bar
    assert "»" in lines[4]
    legend = " ".join(lines[5:])
    assert all(word in legend for word in ("endpoint", "playout", "overspent", "800 ms", "acknowledgement"))


def test_the_legend_has_only_what_occurs():
    legend = " ".join(printed(waterfall(ROWS[:1], 800))[2:])
    assert "endpoint" in legend
    assert not any(word in legend for word in ("overspent", "acknowledgement", "cancelled", "left out"))


def test_only_what_overspent_is_red():
    console = Console(file=io.StringIO(), width=100, color_system="truecolor", force_terminal=True, no_color=False)
    console.print(waterfall(ROWS[:2], 800))
    first, second = console.file.getvalue().splitlines()[1:3]
    red = "\x1b[1;31m"
    assert red not in first
    assert f"{red}█" in second
    assert "░" not in first + second


def test_no_color_has_textures_and_no_colour():
    lines = printed(waterfall(ROWS, 800), color_system="truecolor", force_terminal=True, no_color=True)
    assert "░" in lines[1]
    assert not any(code in "".join(lines) for code in ("[31m", ";31m", "38;5"))


def test_plain_ascii_terminals_are_served():
    lines = printed(waterfall(ROWS, 800), file=AsciiFile())
    assert all(line.isascii() for line in lines)
    assert lines[1].index(".") < lines[1].index(":") < lines[1].index("=") < lines[1].index("|")


def test_a_given_width_is_kept():
    assert max(len(line) for line in printed(waterfall(ROWS, 800, width=70), 160)) <= 70


def test_nothing_is_drawn_of_nothing():
    assert printed(waterfall([], 800))[0].startswith("turn")


STAGES_MS = st.dictionaries(st.sampled_from([s.name.lower() for s in Stamp]), st.floats(-1e3, 1e5))


@settings(deadline=None)
@given(st.lists(STAGES_MS, max_size=5), st.integers(20, 220), st.integers(100, 3_000))
def test_any_turn_at_any_width_can_be_drawn(stages, width, budget_ms):
    rows = [
        {"turn": turn, "stages": ms, "first_answer_ms": ms.get("first_answer"), "cancelled": "llm: " + "x" * 90}
        for turn, ms in enumerate(stages)
    ]
    lines = printed(waterfall(rows, budget_ms), width)
    assert sum(line.lstrip().split(" ")[0].isdigit() for line in lines[1 : len(rows) + 1]) == len(rows)


def test_the_card_tells_the_turn_in_full():
    card = "\n".join(printed(turn_card(ROWS[1] | {"heard": "It"}, 800), 80))
    for words in ("What is it?", "It is.", "heard  It", "committed 300", "first clause 1100", "llm: greedy"):
        assert words in card
    assert "cancelled" not in card


def test_the_card_of_a_cancelled_turn_says_why():
    card = "\n".join(printed(turn_card(ROWS[2], 800), 60))
    assert "asr: no words" in card
    assert "(nothing)" in card


def test_words_cannot_steer_the_terminal():
    card = printed(turn_card(row(1, transcript="a\x1b[2Jb\nc", rungs=["llm: \x1b]0;x\x07"]), 800))
    assert not any("\x1b" in line or "\x07" in line for line in card)
    assert not any("[red]" in line for line in printed(turn_card(row(1, reply="[/red]"), 800)))
