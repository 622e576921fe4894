"""Voice activity on real speech."""

import importlib.util

import numpy as np
import onnxruntime
import pytest

from edge_agent.engines import silero as module
from edge_agent.engines.silero import FRAME_SAMPLES, SileroVad
from edge_agent.errors import EngineError

pytestmark = pytest.mark.models


def frames(pcm):
    return [pcm[at : at + FRAME_SAMPLES] for at in range(0, len(pcm) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


def test_speech_is_told_from_silence(silero, speak):
    stream = silero.stream()
    silence = [stream.probability(np.zeros(FRAME_SAMPLES, np.float32)) for _ in range(30)]
    assert max(silence) < 0.1
    speech = [stream.probability(frame) for frame in frames(speak("What is the capital of France?"))]
    assert max(speech[:5]) < 0.5, "the 300 ms before the first word"
    assert max(speech) > 0.9


def test_bit_for_bit_the_model_itself(silero, speak):
    pcm = speak("How far is the moon from the earth?")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(module._model_path()), options, providers=["CPUExecutionProvider"])
    state, context, expected = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for frame in frames(pcm):
        feeds = {"input": np.concatenate([context, frame])[None], "state": state, "sr": np.array(16_000)}
        probability, state = session.run(None, feeds)
        context = frame[-64:]
        expected.append(float(probability[0, 0]))
    stream = silero.stream()
    assert [stream.probability(frame) for frame in frames(pcm)] == expected


def test_sessions_do_not_hear_each_other(silero, speak):
    pcm = speak("Tell me something interesting about whales.")
    alone = silero.stream()
    expected = [alone.probability(frame) for frame in frames(pcm)]
    first, second = silero.stream(), silero.stream()
    noise = np.random.default_rng(0).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32)
    heard = []
    for frame in frames(pcm):
        heard.append(first.probability(frame))
        second.probability(noise)
    assert heard == expected


def test_reset_forgets(silero, speak):
    stream = silero.stream()
    pcm = frames(speak("Why is the sky blue?"))
    before = [stream.probability(frame) for frame in pcm]
    stream.reset()
    assert [stream.probability(frame) for frame in pcm] == before


def test_a_missing_package_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"silero-vad package is not installed; run \./install\.sh") as caught:
        SileroVad()
    assert caught.value.code == "engine.silero.missing"
