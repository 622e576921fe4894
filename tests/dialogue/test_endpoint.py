import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import Config
from edge_agent.dialogue.endpoint import EndpointPolicy
from edge_agent.dialogue.turns import FRAME_MS, Action, Timing, TurnMachine

POLICY = EndpointPolicy(sure_ms=400, unsure_ms=650, patient_ms=1200, sure_at=0.8, unsure_at=0.5)
PAUSE = Timing().pause_frames

probabilities = st.floats(0, 1)


@pytest.mark.parametrize(
    ("probability", "wait_ms"),
    [(1.0, 400), (0.8, 400), (0.79, 650), (0.5, 650), (0.49, 1200), (0.0, 1200), (float("nan"), 1200)],
)
def test_how_long_is_waited(probability, wait_ms):
    assert POLICY.end_frames(probability) == -(-wait_ms // FRAME_MS)


@given(probabilities, probabilities)
def test_the_surer_the_sooner(one, other):
    low, high = sorted((one, other))
    assert POLICY.end_frames(high) <= POLICY.end_frames(low)


@given(probabilities, st.integers(32, 10_000), st.integers(1, 5_000), st.integers(1, 5_000))
def test_the_wait_is_never_shorter_than_asked_for_and_less_than_a_frame_longer(probability, sure_ms, more, most):
    policy = EndpointPolicy(sure_ms, sure_ms + more, sure_ms + more + most, 0.8, 0.5)
    waited_ms = policy.end_frames(probability) * FRAME_MS
    asked_ms = sure_ms if probability >= 0.8 else sure_ms + more if probability >= 0.5 else sure_ms + more + most
    assert asked_ms <= waited_ms < asked_ms + FRAME_MS


def test_a_sure_verdict_outlasts_the_pauses_at_which_the_detector_is_wrong():
    endpoint = Config().endpoint
    assert endpoint.sure_ms > 224
    assert endpoint.sure_ms > endpoint.pause_ms


def test_the_detector_is_asked_again_at_even_distances_until_it_is_sure():
    asked = [silent for silent in range(200) if POLICY.ask_again(silent, PAUSE, 0.3)]
    assert asked == list(range(PAUSE + 8, 200, 8))
    assert not any(POLICY.ask_again(silent, PAUSE, 0.8) for silent in range(200))


def test_the_pause_itself_is_not_asked_about_twice():
    assert not POLICY.ask_again(PAUSE, PAUSE, 0.0)


@given(st.lists(probabilities, min_size=6, max_size=6))
def test_whatever_the_detector_says_the_turn_ends_in_time(verdicts):
    """Silence ends a turn no sooner than the surest verdict allows and no later than patience lasts."""
    machine = TurnMachine(Timing())
    for _ in range(20):
        machine.step(True)
    probability = 0.0
    for _ in range(100):
        done = machine.step(False)
        if Action.ANNOUNCE in done or POLICY.ask_again(machine.silent_frames, PAUSE, probability):
            probability = verdicts.pop(0)
            machine.end_frames = POLICY.end_frames(probability)
        if Action.COMMIT in done:
            break
    assert POLICY.sure_ms <= machine.silent_frames * FRAME_MS < POLICY.patient_ms + 2 * FRAME_MS
