import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import WorkerError
from edge_agent.latency.prediction import KEPT, LIMIT_MS, WINDOW, Predictor, restore, store

ANYTHING = st.floats(allow_nan=True, allow_infinity=True)


def fresh(stage="asr", model="base", device="cpu", base_ms=50.0, slope_ms=20.0):
    return Predictor(stage, model, device, base_ms, slope_ms)


def taught(base_ms, slope_ms, count=60, seed=0, noise=0.08, outliers=0.1):
    chance = random.Random(seed)
    predictor = fresh()
    for _ in range(count):
        size = chance.uniform(1, 20)
        spoiled = chance.uniform(3, 10) if chance.random() < outliers else 1
        predictor.observe(size, (base_ms + slope_ms * size) * chance.lognormvariate(0, noise) * spoiled)
    return predictor


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 500), st.floats(0, 100), st.integers(0, 1_000))
def test_a_line_is_recovered_under_noise_and_outliers(base_ms, slope_ms, seed):
    predictor = taught(base_ms, slope_ms, seed=seed)
    for size in (2, 10, 20):
        true_ms = base_ms + slope_ms * size
        assert predictor.predict(size, 0.5) == pytest.approx(true_ms, rel=0.25, abs=0.15 * (base_ms + 10 * slope_ms))


def test_the_quantile_covers_what_it_says():
    predictor = taught(100, 20, count=WINDOW, noise=0.2, outliers=0)
    chance = random.Random(1)
    runs = [(size := chance.uniform(1, 20), (100 + 20 * size) * chance.lognormvariate(0, 0.2)) for _ in range(2_000)]
    covered = sum(ms <= predictor.predict(size, 0.8) for size, ms in runs) / len(runs)
    assert 0.68 < covered < 0.92


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(ANYTHING, ANYTHING), max_size=60),
    ANYTHING,
    ANYTHING,
    st.tuples(ANYTHING, ANYTHING),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_prediction_is_always_a_sane_number(runs, base_ms, slope_ms, sizes, quantiles):
    predictor = fresh(base_ms=base_ms, slope_ms=slope_ms)
    for size, duration_ms in runs:
        predictor.observe(size, duration_ms)
    predictions = [predictor.predict(size, quantile) for size in sizes for quantile in quantiles]
    assert all(math.isfinite(ms) and 0 <= ms <= LIMIT_MS for ms in predictions)
    smaller, bigger = sorted(0.0 if math.isnan(size) else size for size in sizes)
    assert predictor.predict(smaller) <= predictor.predict(bigger)
    assert predictor.predict(1.0, min(quantiles)) <= predictor.predict(1.0, max(quantiles))
    assert predictor.saving_ms(bigger, smaller) >= 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10_000)), max_size=80))
def test_the_state_survives_json(runs):
    one, other = fresh(), fresh()
    for size, duration_ms in runs:
        one.observe(size, duration_ms)
    assert other.adopt(json.loads(json.dumps(one.state())))
    assert other.predict(7.0) == one.predict(7.0)
    assert other.observations == one.observations == min(len(runs), WINDOW)


def test_the_prior_holds_until_there_is_something_to_learn_from():
    assert fresh().predict(10, 0.5) == 250
    assert fresh().predict(10, 0.9) > 250


def test_one_cold_start_does_not_spoil_the_prediction():
    predictor = fresh()
    predictor.observe(10, 5_000)
    assert predictor.predict(10, 0.5) < 400


def test_sizes_that_are_all_alike_scale_the_prior():
    predictor = fresh()
    for _ in range(20):
        predictor.observe(10, 500)
    assert predictor.predict(10, 0.5) == pytest.approx(500)
    assert predictor.predict(20, 0.5) == pytest.approx(900)  # the prior's 450, twice


def test_a_machine_that_became_busy_is_followed():
    predictor = taught(100, 20, count=WINDOW, outliers=0)
    chance = random.Random(2)
    for _ in range(24):
        size = chance.uniform(1, 20)
        predictor.observe(size, 2 * (100 + 20 * size))
    assert predictor.predict(10, 0.8) > 550


def test_files_keep_each_device_apart(tmp_path):
    path = tmp_path / "state" / "predictions.json"
    cpu, gpu = fresh(), fresh(device="cuda")
    cpu.observe(10, 400)
    gpu.observe(10, 40)
    store(path, [cpu])
    store(path, [gpu])
    again, other, unknown = fresh(), fresh(device="cuda"), fresh(model="tiny")
    assert restore(path, [again, other, unknown]) == 2
    assert (again.state(), other.state(), unknown.observations) == (cpu.state(), gpu.state(), 0)
    assert [entry.name for entry in path.parent.iterdir()] == ["predictions.json"]


def test_the_file_is_bounded(tmp_path):
    path = tmp_path / "predictions.json"
    for index in range(KEPT + 5):
        store(path, [fresh(model=str(index))])
    assert len(json.loads(path.read_text())) == KEPT
    assert restore(path, [fresh(model="0")]) == 0
    assert restore(path, [fresh(model=str(KEPT + 4))]) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"asr | base | cpu": null}',
        b'{"asr | base | cpu": {"seen": 3}}',
        b'{"asr | base | cpu": {"seen": [[1]]}}',
        b'{"asr | base | cpu": {"seen": [[1, "x"]]}}',
        b'{"asr | base | cpu": {"seen": [[1, NaN]]}}',
        b'{"asr | base | cpu": {"seen": [[1, -5]]}}',
        b'{"asr | base | cpu": {"seen": [[1, Infinity]]}}',
    ],
)
def test_a_broken_file_means_to_start_afresh(tmp_path, content):
    path = tmp_path / "predictions.json"
    path.write_bytes(content)
    predictor = fresh()
    assert restore(path, [predictor]) == 0
    assert predictor.observations == 0
    store(path, [predictor])
    assert restore(path, [predictor]) == 1


def test_a_missing_file_is_nothing_to_complain_about(tmp_path, caplog):
    assert restore(tmp_path / "none.json", [fresh()]) == 0
    assert not caplog.records


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkerError) as caught:
        store(tmp_path / "file" / "predictions.json", [fresh()])
    assert caught.value.code == "worker.predictions"
