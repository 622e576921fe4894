"""End of turn on real speech."""

import numpy as np
import pytest

from edge_agent.engines.mel import RATE_HZ
from edge_agent.engines.smart_turn import SmartTurn, features
from edge_agent.errors import EngineError

pytestmark = pytest.mark.models


def test_a_finished_question_is_told_from_one_that_goes_on(smart_turn, speak):
    finished = speak("What is the capital of France?", after_s=0.2)
    assert smart_turn.probability(finished) > 0.8
    going_on = speak("I would like to book a table for two at seven o'clock, and", after_s=0.0)
    assert smart_turn.probability(going_on) < 0.5


def test_only_the_last_eight_seconds_count(smart_turn, speak):
    speech = speak("Remind me to call my mother on Sunday afternoon.", after_s=0.2)
    last = np.concatenate([np.zeros(8 * RATE_HZ - len(speech), np.float32), speech])
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ).astype(np.float32)
    expected = smart_turn.probability(last)
    assert smart_turn.probability(np.concatenate([noise, last])) == expected
    assert smart_turn.probability(speech) == expected, "what is missing is silence in front"


def test_features_do_not_depend_on_loudness(speak):
    speech = speak("Can penguins fly?")
    assert features(speech).shape == (80, 800)
    assert np.abs(features(speech) - features(0.1 * speech)).max() < 1e-3


@pytest.mark.parametrize("length", [0, 1, 160])
def test_next_to_nothing_is_heard_without_complaint(smart_turn, length):
    assert 0.0 <= smart_turn.probability(np.zeros(length, np.float32)) <= 1.0


def test_a_missing_model_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="models pull"):
        SmartTurn(tmp_path / "smart-turn.onnx")
