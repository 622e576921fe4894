import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigError
from edge_agent.latency import budget as b
from edge_agent.latency.budget import LADDERS, Budget, rungs_for
from edge_agent.latency.critical_path import STAGES

SHARES = {"endpoint": 400, "asr": 100, "llm": 180, "tts": 90, "playout": 30}
BUDGET = Budget(800, SHARES)
PATHS = st.fixed_dictionaries({stage: st.floats(0, 5_000) for stage in STAGES})


def test_in_time_is_no_breach_even_when_one_stage_overspent():
    assert BUDGET.breach({"endpoint": 100, "asr": 400, "llm": 180, "tts": 90, "playout": 30}) is None


def test_the_stage_furthest_over_its_share_is_named_not_the_longest():
    assert BUDGET.breach({"endpoint": 450, "asr": 100, "llm": 300, "tts": 90, "playout": 30}) == "llm"


def test_of_several_alike_the_earliest_is_named():
    assert BUDGET.breach({"endpoint": 450, "asr": 150, "llm": 180, "tts": 90, "playout": 30}) == "endpoint"


def test_a_cancelled_turn_that_was_late_already_is_a_breach():
    assert BUDGET.breach({"endpoint": 300, "asr": 700}) == "asr"
    assert BUDGET.breach({}) is None


@given(PATHS)
def test_a_breach_is_exactly_a_turn_over_the_total(path):
    breach = BUDGET.breach(path)
    assert (breach is not None) == (sum(path.values()) > 800)
    if breach is not None:
        assert BUDGET.overspent_ms(breach, path) == max(path[stage] - SHARES[stage] for stage in STAGES)


def test_what_is_kept_for_the_stages_behind():
    assert [BUDGET.behind_ms(stage) for stage in STAGES] == [400, 300, 120, 30, 0]


@pytest.mark.parametrize(
    ("total_ms", "shares"),
    [
        (800, {"endpoint": 400}),
        (800, {}),
        (800, SHARES | {"dance": 1}),
        (800, SHARES | {"asr": -1}),
        (800, SHARES | {"asr": math.nan}),
        (0, SHARES),
        (math.inf, SHARES),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(total_ms, shares):
    with pytest.raises(ConfigError) as caught:
        Budget(total_ms, shares)
    assert caught.value.code == "config.budget"


GAINS = {b.SHORTER_CLAUSE: 60.0, b.GREEDY: 5.0, b.SHORTER_REPLY: 20.0, b.ACKNOWLEDGEMENT: math.inf}


@pytest.mark.parametrize(
    ("left_ms", "rungs"),
    [
        (300, []),
        (299, [b.SHORTER_CLAUSE]),
        (240, [b.SHORTER_CLAUSE]),
        (236, [b.SHORTER_CLAUSE, b.GREEDY]),
        (220, [b.SHORTER_CLAUSE, b.GREEDY, b.SHORTER_REPLY]),
        (100, list(LADDERS["llm"])),
        (-500, list(LADDERS["llm"])),
    ],
)
def test_the_language_model_steps_down_as_far_as_it_must(left_ms, rungs):
    assert rungs_for("llm", left_ms, predicted_ms=180, behind_ms=120, gains=GAINS) == rungs


def test_a_rung_that_saves_nothing_is_not_taken():
    assert rungs_for("llm", 0, 180, 120, {b.GREEDY: 0.0, b.SHORTER_REPLY: 10.0}) == [b.SHORTER_REPLY]


def test_the_other_ladders():
    assert rungs_for("asr", 100, 200, 300, {b.SMALLER_WINDOW: 50.0}) == [b.SMALLER_WINDOW]
    assert rungs_for("asr", 600, 200, 300, {b.SMALLER_WINDOW: 50.0}) == []
    assert rungs_for("tts", -100, 200, 300, {}) == []


TIMES = st.floats(-2_000, 2_000)


@given(TIMES, TIMES, st.dictionaries(st.sampled_from(LADDERS["llm"]), st.floats(-10, 500)))
def test_less_time_never_means_fewer_rungs(one_ms, other_ms, gains):
    less_ms, more_ms = sorted((one_ms, other_ms))
    tight, loose = (rungs_for("llm", left_ms, 180, 120, gains) for left_ms in (less_ms, more_ms))
    assert tight[: len(loose)] == loose


def test_each_rung_names_its_stage():
    assert all(rung.startswith(f"{stage}: ") for stage, rungs in LADDERS.items() for rung in rungs)
