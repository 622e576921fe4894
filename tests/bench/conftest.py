"""A result of `bench v2v` as a run would give it, without a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.bench.claims import Claim, compare
from edge_agent.bench.judge import Exchange, Judgement
from edge_agent.bench.machine import Machine
from edge_agent.bench.memory import Memory
from edge_agent.bench.v2v import Health, Held, V2VResult, lines_of
from edge_agent.config import Config
from edge_agent.frontends.interview import Outcome
from edge_agent.latency.budget import Budget
from edge_agent.latency.report import V2VReport

TURN_S = 8.0


def line(turn: int, answer_ms: float | None, transcript: str = "What is it?") -> dict[str, object]:
    """A turn as `converse --trace` writes it; without an answer for None."""
    at = answer_ms or 500.0
    stages = {"pause": 96.0, "asr_start": 40.0, "asr_done": at * 0.5, "committed": at * 0.6, "llm_start": at * 0.6}
    stages |= {"first_token": at * 0.7, "first_clause": at * 0.8, "tts_start": at * 0.8, "first_pcm": at * 0.9}
    return {
        "turn": turn,
        "transcript": transcript,
        "reply": "It is this.",
        "heard": "It is this." if answer_ms else "",
        "first_audio_ms": answer_ms,
        "first_answer_ms": answer_ms,
        "stages": {"speech_end": 0.0} | stages | ({"first_audio": at, "first_answer": at} if answer_ms else {}),
        "rungs": [],
        "breach": "llm" if answer_ms and answer_ms > 800 else None,
        "cancelled": None if answer_ms else "llm: gave up",
    }


@pytest.fixture
def a_result() -> Callable[..., V2VResult]:
    """Makes a result of turns with these latencies (None: unanswered); judged `slower_ms` later than claimed."""

    def make(*answers_ms: float | None, slower_ms: float = 0.0) -> V2VResult:
        lines: list[dict[str, object]] = []
        claims, exchanges = [], []
        for turn, answer_ms in enumerate(answers_ms, 1):
            end_s = turn * TURN_S
            lines += lines_of(turn, Outcome(Path(f"{turn}.wav"), [line(turn, answer_ms)], False), "what is it")
            onset_s = None
            if answer_ms is not None:
                claims.append(Claim(turn, end_s, end_s + answer_ms / 1e3))
                onset_s = end_s + (answer_ms + slower_ms) / 1e3
            exchanges.append(Exchange(end_s - 2.0, end_s, onset_s, cut_in=False))
        before, after = Memory({"asr": 100.0}, {"asr": 140.0}), Memory({"asr": 101.5}, {"asr": 142.0})
        config = Config()
        return V2VResult(
            machine=Machine.here(config),
            corpus="a corpus",
            budget=Budget(800, config.budget.shares.model_dump()),
            held=Held(lines, claims, before, after, Health(0, 3, 0, 0)),
            claimed=V2VReport.of(lines, 0),
            judged=Judgement(tuple(exchanges)),
            agreement=compare(claims, exchanges),
            words=None,
        )

    return make
