import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from edge_agent.bench.judge import Exchange, Judgement, exchanges, judge, stretches
from edge_agent.engines.silero import FRAME_SAMPLES, RATE_HZ
from edge_agent.errors import BenchError

FRAME_S = FRAME_SAMPLES / RATE_HZ
RATES_HZ = (16_000, 24_000, 44_100, 48_000)
MODELS = Path(os.environ.get("EDGE_AGENT_MODELS", Path(__file__).parents[2] / "models"))


class LoudIsSpeech:
    """In place of Silero: a frame is speech when it is loud, so that tones can stand for words."""

    def stream(self):
        return self

    def probability(self, frame):
        assert frame.shape == (FRAME_SAMPLES,) and frame.dtype == np.float32
        return float(np.abs(frame).max() > 0.1)


def tone(duration_s, rate_hz, level=0.3):
    return level * np.sin(2 * np.pi * 200 * np.arange(round(duration_s * rate_hz)) / rate_hz)


def recording(path, rate_hz, length_s, user=(), agent=(), level=0.3):
    """A stereo file in which each side sounds during its (start, end) in seconds."""
    sides = np.zeros((round(length_s * rate_hz), 2))
    for side, when, loud in ((0, user, level), (1, agent, 0.3)):
        for start_s, end_s in when:
            pcm = tone(end_s - start_s, rate_hz, loud)
            at = round(start_s * rate_hz)
            sides[at : at + len(pcm), side] = pcm
    soundfile.write(path, sides, rate_hz, "PCM_16")
    return path


@pytest.fixture(scope="module")
def say():
    from edge_agent.engines.piper import PiperEngine

    path = MODELS / "piper-en_US-joe-medium" / "en_US-joe-medium.onnx"
    if not path.is_file():
        pytest.fail(f"{path} is missing: run ./install.sh, or set EDGE_AGENT_MODELS to the folder with the models")
    voice = PiperEngine(path, device="cpu")

    def speak(text, rate_hz, scale=1.0):
        spoken = voice.synthesize(text, length_scale=scale, tail_s=0.0)
        return soxr.resample(spoken.pcm / 32768.0, spoken.rate_hz, rate_hz)

    return speak


class TestStretches:
    def test_join_over_a_gap_up_to_the_given_one(self):
        active = np.array([1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1], bool)
        assert stretches(active, gap_s=0.35, step_s=0.1) == [(0.0, pytest.approx(0.8)), pytest.approx((1.1, 1.4))]

    def test_leave_out_what_is_too_short_to_be_anything(self):
        active = np.array([1, 1, 0, 0, 0, 0, 1, 1, 1, 1], bool)
        assert stretches(active, gap_s=0.1, step_s=0.1) == [pytest.approx((0.6, 1.0))]

    def test_of_nothing(self):
        assert stretches(np.zeros(0, bool), 1.2, FRAME_S) == stretches(np.zeros(9, bool), 1.2, FRAME_S) == []


class TestExchanges:
    def test_the_first_onset_after_an_utterance_answers_it(self):
        (first, second) = exchanges([(1, 3), (10, 12)], [(3.6, 5), (6, 7), (12.5, 14)])
        assert (first.latency_ms, second.latency_ms) == (600, 500)
        assert not first.cut_in and not second.cut_in

    def test_a_sound_of_the_next_turn_answers_nothing_before_it(self):
        (first, second) = exchanges([(1, 3), (10, 12)], [(12.5, 14)])
        assert first.latency_ms is None
        assert second.latency_ms == 500

    def test_an_onset_inside_an_utterance_cuts_in(self):
        (only,) = exchanges([(1, 5)], [(3, 4), (5.7, 7)])
        assert only.cut_in
        assert only.latency_ms == 700

    @pytest.mark.parametrize("onset_s", [1.1, 4.99])
    def test_but_not_at_its_very_beginning_or_end(self, onset_s):
        (only,) = exchanges([(1, 5)], [(onset_s, 6)])
        assert not only.cut_in

    def test_an_answer_may_begin_a_little_before_the_last_frame_ends(self):
        (only,) = exchanges([(1, 5)], [(4.99, 6)])
        assert only.latency_ms == -10

    def test_a_reply_that_was_under_way_when_the_user_began_does_not_count(self):
        (only,) = exchanges([(1, 5)], [(0.2, 2)])
        assert only == Exchange(1, 5, None, False)


class TestJudgement:
    def test_counts_and_percentiles(self):
        found = Judgement((Exchange(0, 1, 1.5, False), Exchange(5, 6, None, True), Exchange(9, 10, 10.9, False)))
        assert found.latencies_ms == [500, 900]
        assert (found.unanswered, found.cut_ins) == (1, 1)
        assert found.spread.p50 == found.spread.worst == 900
        assert found.to_json()["p95_ms"] == 900
        assert [one["latency_ms"] for one in found.to_json()["exchanges"]] == [500, None, 900]

    def test_of_nothing(self):
        assert Judgement(()).spread is None
        assert Judgement(()).to_json()["p95_ms"] is None


class TestJudge:
    @pytest.mark.parametrize("rate_hz", RATES_HZ)
    def test_finds_what_was_put_there(self, tmp_path, rate_hz):
        user, agent = [(1.0, 3.0), (9.0, 11.5), (19.5, 21.0)], [(3.6, 5.0), (12.2, 14.0), (21.4, 23.0)]
        found = judge(recording(tmp_path / "r.wav", rate_hz, 25, user, agent), vad=LoudIsSpeech())
        assert len(found.exchanges) == 3
        for exchange, (start_s, end_s), (onset_s, _) in zip(found.exchanges, user, agent, strict=True):
            assert exchange.start_s == pytest.approx(start_s, abs=FRAME_S)
            assert exchange.end_s == pytest.approx(end_s, abs=FRAME_S)
            assert exchange.onset_s == pytest.approx(onset_s, abs=0.006)
        assert found.cut_ins == 0

    def test_brings_a_soft_user_to_the_same_level(self, tmp_path):
        path = recording(tmp_path / "r.wav", 24_000, 8, [(1, 3)], [(3.6, 5)], level=0.003)
        assert len(judge(path, vad=LoudIsSpeech()).exchanges) == 1

    def test_a_pause_up_to_the_gap_belongs_to_the_utterance(self, tmp_path):
        path = recording(tmp_path / "r.wav", 24_000, 10, [(1, 3), (4, 6)], [(3.5, 3.8), (6.6, 8)])
        (joined,) = judge(path, vad=LoudIsSpeech()).exchanges
        assert joined.cut_in
        assert joined.latency_ms == pytest.approx(600, abs=40)
        assert len(judge(path, gap_s=0.5, vad=LoudIsSpeech()).exchanges) == 2

    def test_noise_far_below_the_reply_is_no_reply(self, tmp_path):
        path = recording(tmp_path / "r.wav", 24_000, 8, [(1, 3)], [(3.6, 5)])
        sides, rate_hz = soundfile.read(path)
        sides[:, 1] += np.random.default_rng(1).normal(0, 3e-4, len(sides))
        soundfile.write(path, sides, rate_hz)
        (only,) = judge(path, vad=LoudIsSpeech()).exchanges
        assert only.onset_s == pytest.approx(3.6, abs=0.006)

    def test_silence_on_both_sides(self, tmp_path):
        assert judge(recording(tmp_path / "r.wav", 24_000, 3), vad=LoudIsSpeech()) == Judgement(())

    @pytest.mark.parametrize("length_s", [0.001, 10.0, 20.0])
    def test_any_length_at_the_edges_of_what_is_read_at_a_time(self, tmp_path, length_s):
        assert judge(recording(tmp_path / "r.wav", 24_000, length_s), vad=LoudIsSpeech()).exchanges == ()

    def test_what_is_no_stereo_recording_is_refused(self, tmp_path):
        path = tmp_path / "mono.wav"
        soundfile.write(path, tone(1, 16_000), 16_000)
        with pytest.raises(BenchError, match="1 channels") as refused:
            judge(path, vad=LoudIsSpeech())
        assert refused.value.code == "bench.recording"

    @pytest.mark.parametrize("content", [None, b"", b"no sound"])
    def test_what_is_no_sound_is_refused(self, tmp_path, content):
        path = tmp_path / "r.wav"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BenchError, match=r"r\.wav cannot be judged"):
            judge(path, vad=LoudIsSpeech())


@pytest.mark.models
class TestSpeech:
    """With Silero itself, on sentences that Piper speaks."""

    @pytest.mark.parametrize("rate_hz", RATES_HZ)
    @pytest.mark.parametrize(("level", "noise"), [(1.0, 0.0), (0.05, 0.0), (1.0, 0.005)])
    def test_judges_a_conversation(self, tmp_path, say, rate_hz, level, noise):
        rng = np.random.default_rng(3)
        sides = np.zeros((40 * rate_hz, 2))
        sides[:, 0] = rng.normal(0, noise, len(sides)) if noise else 0.0
        ends = []
        for start_s, question, scale in (
            (1.0, "What is the capital of Portugal?", 1.0),
            (12.0, "Who painted the Mona Lisa?", 0.85),
            (24.0, "Tell me something about elephants and penguins, please.", 1.25),
        ):
            pcm = say(question, rate_hz, scale)
            at = round(start_s * rate_hz)
            sides[at : at + len(pcm), 0] += level * pcm
            ends.append(start_s + len(pcm) / rate_hz)
        reply = say("Certainly, I will tell you about it.", rate_hz)
        for onset_s in (ends[0] + 0.6, ends[1] + 0.9, ends[2] - 1.0):
            at = round(onset_s * rate_hz)
            sides[at : at + len(reply), 1] += reply
        path = tmp_path / "r.wav"
        soundfile.write(path, sides, rate_hz, "PCM_16")
        first, second, third = judge(path).exchanges
        # The last sounds of a sentence are soft, and Silero calls a frame or two more, or fewer, speech.
        assert first.latency_ms == pytest.approx(600, abs=150)
        assert second.latency_ms == pytest.approx(900, abs=150)
        assert third.latency_ms is None
        assert [one.cut_in for one in (first, second, third)] == [False, False, True]
        assert first.onset_s == pytest.approx(ends[0] + 0.6, abs=0.03)
