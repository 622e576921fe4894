"""Features, against an independent implementation and against their definition."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from edge_agent.engines.mel import RATE_HZ, log_mel


@pytest.fixture(scope="module")
def sound():
    seconds = np.arange(3 * RATE_HZ) / RATE_HZ
    chirp = np.sin(2 * np.pi * (100 + 600 * seconds) * seconds)
    return (0.3 * chirp + np.random.default_rng(1).normal(0, 0.01, len(seconds))).astype(np.float32)


@pytest.mark.parametrize("bands", [80, 128])
def test_the_same_as_faster_whispers(sound, bands):
    theirs = FeatureExtractor(feature_size=bands)(sound, padding=0)
    assert np.abs(log_mel(sound, bands=bands) - theirs).max() < 1e-4


def test_single_precision_is_enough_for_whisper(sound):
    assert np.abs(log_mel(sound) - log_mel(sound.astype(np.float64))).max() < 1e-3


def test_a_tone_rises_in_its_own_band():
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(RATE_HZ) / RATE_HZ)
    features = log_mel(tone)
    assert features.shape == (80, 100)
    assert features.dtype == np.float32
    loudest = features.mean(axis=1).argmax()
    assert 25 <= loudest <= 29  # 15 mel of 45.2 lie below 1 kHz: band 26 of 80


def test_the_quietest_value_is_eight_decades_below_the_loudest(sound):
    features = log_mel(np.concatenate([sound, np.zeros(RATE_HZ, np.float32)]))
    assert features.max() - features.min() == pytest.approx(8.0 / 4.0)
