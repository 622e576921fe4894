"""`edge-agent bench v2v`: voice-to-voice latency of a conversation, as the traces claim it and as a recording shows it.

A corpus is spoken into the running house in real time, one question after the other in one conversation, with the
configuration and the models that a user gets. Both sides are recorded on the device's clock. Then the house is closed
and the recording is judged from outside (see `judge`), so that nothing depends on the pipeline's own word.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.bench import corpus, memory
from edge_agent.bench.claims import Agreement, Claim, compare
from edge_agent.bench.judge import Judgement, judge
from edge_agent.bench.machine import Machine
from edge_agent.bench.memory import Memory
from edge_agent.bench.words import WordErrors, can_be_counted, word_errors
from edge_agent.clock import SECOND, now_ns
from edge_agent.config import Config
from edge_agent.frontends.interview import Outcome
from edge_agent.latency.budget import Budget
from edge_agent.latency.report import Spread, V2VReport, percentile
from edge_agent.records import Trace, decode
from edge_agent.ring.ring import Observer
from edge_agent.supervisor.conversation import Conversation
from edge_agent.supervisor.house import House

QUANTILE = 0.95  # of the turns have to be within the budget

Line = dict[str, object]
Loading = Callable[[str, bool], None]
Told = Callable[[int, int, Sequence[Line]], None]


@dataclass(frozen=True, slots=True)
class Health:
    """What should not have happened while the conversation was held.

    Attributes:
        restarts: workers that had to be replaced.
        late_blocks: loudspeaker blocks of 10 ms that came too late and were silence.
        refused_frames: microphone frames of 20 ms that found their ring full.
        traces_lost: traces that nobody could read.
    """

    restarts: int
    late_blocks: int
    refused_frames: int
    traces_lost: int


@dataclass(frozen=True, slots=True)
class Held:
    """One conversation over a corpus, as it came out of the house.

    Attributes:
        lines: one for each turn as `converse --trace` writes it, with the number of the `utterance`, the `recording`
            it came from and its `reference` transcript; a recording in which no turn was heard, or whose turn never
            ended, has a line without an answer.
        claims: what the traces say of the turns that became audible.
        before: memory when all models were loaded and nothing was said yet.
        after: memory at the end of the last turn.
        health: see there.
    """

    lines: list[Line]
    claims: list[Claim]
    before: Memory
    after: Memory
    health: Health


@dataclass(frozen=True, slots=True)
class V2VResult:
    """Everything that one run found.

    Attributes:
        machine: where.
        corpus: what was said.
        budget: what a turn may take.
        held: the conversation.
        claimed: report on the traces.
        judged: what the recording shows.
        agreement: both, turn by turn.
        words: errors of recognition; None when nobody wrote down what was said, or jiwer is not installed.
    """

    machine: Machine
    corpus: str
    budget: Budget
    held: Held
    claimed: V2VReport
    judged: Judgement
    agreement: Agreement
    words: WordErrors | None

    def enforce(self, margin_ms: float = 0.0) -> str | None:
        """What keeps the agent from its budget, as one sentence; None when it meets it.

        Both the recording and the traces have to be in time at the 95th percentile, where a turn without an answer is
        infinitely late.

        Args:
            margin_ms: how much more a noisy machine is allowed.
        """
        claimed = self.claimed.enforce(self.budget.total_ms, QUANTILE, margin_ms)
        answers_ms = [*self.judged.latencies_ms, *[math.inf] * self.judged.unanswered]
        if not answers_ms:
            return claimed or "No speech was found in the recording, so nothing shows that the budget is met."
        value_ms = percentile(answers_ms, QUANTILE)
        if value_ms <= self.budget.total_ms + margin_ms:
            return claimed
        if math.isinf(value_ms):
            return (
                f"{self.judged.unanswered} of {len(answers_ms)} utterances in the recording have no answer, "
                f"which puts the p{QUANTILE * 100:g} over any budget."
            )
        margin = f" plus a margin of {margin_ms:g} ms" if margin_ms else ""
        return (
            f"The p{QUANTILE * 100:g} in the recording is {value_ms:.0f} ms, "
            f"over the budget of {self.budget.total_ms:g} ms{margin}."
        )

    def to_json(self) -> dict[str, object]:
        """The result as a JSON object."""
        return {
            "benchmark": "v2v",
            "machine": asdict(self.machine),
            "corpus": self.corpus,
            "budget_ms": self.budget.total_ms,
            "claimed": self.claimed.to_json(),
            "judged": self.judged.to_json(),
            "agreement": self.agreement.to_json(),
            "words": self.words.to_json() if self.words is not None else None,
            "memory": {"before": self.held.before.to_json(), "after": self.held.after.to_json()},
            "health": asdict(self.held.health),
            "turns": self.held.lines,
        }


def run(
    config: Config,
    said: corpus.Corpus,
    *,
    turns: int | None = None,
    record: Path | None = None,
    loading: Loading = lambda *_: None,
    told: Told = lambda *_: None,
) -> V2VResult:
    """Hold the conversation and judge it.

    Args:
        config: the configuration, as `edge-agent converse` takes it.
        said: the corpus.
        turns: how many recordings to say, from the beginning again when there are fewer; None for each once.
        record: where to keep the recording of both sides; None to judge it and throw it away.
        loading: told which worker is ready.
        told: told (0, of how many, nothing) when the first recording begins, and after each of them which of how many
            it was, and the lines of the turns heard in it.

    Raises:
        EdgeAgentError: what `House`, `Conversation` and `judge` raise.
    """
    machine = Machine.here(config)
    budget = Budget(config.budget.total_ms, config.budget.shares.model_dump())
    with tempfile.TemporaryDirectory(prefix="edge-agent-bench-") as scratch:
        path = record or Path(scratch) / "conversation.wav"
        with House(config, loading) as house:
            held = _hold(house, said.turns(turns), path, told)
        judged = judge(path)
    return V2VResult(
        machine=machine,
        corpus=said.name,
        budget=budget,
        held=held,
        claimed=V2VReport.of(held.lines, judged.cut_ins),
        judged=judged,
        agreement=compare(held.claims, judged.exchanges),
        words=word_errors(transcripts(held.lines)) if can_be_counted() else None,
    )


def _hold(house: House, recordings: Sequence[corpus.Recording], record: Path, told: Told) -> Held:
    lines: list[Line] = []
    claims: list[Claim] = []
    before = memory.of_house(house)
    traces = Observer(house.building.rings["traces[0]"])
    try:
        with Conversation(house, recording=record, on_turn=lambda _: None) as conversation:
            device, session = conversation.device, conversation.session
            zero_ns = now_ns() - round(device.now_s * SECOND)
            told(0, len(recordings), ())
            for number, recording in enumerate(recordings, 1):
                # One at a time: thousands of recordings are never open at once, and between them the room is quiet.
                for outcome in conversation.hold([SoundFileSource(recording.path)]):
                    found = lines_of(number, outcome, recording.transcript)
                    lines += found
                    claims += _claims(traces, zero_ns)
                    told(number, len(recordings), found)
        health = Health(
            house.restarts, device.late_blocks, session.counters.refused_frames, session.counters.traces_lost
        )
    finally:
        traces.close()
    return Held(lines, claims, before, memory.of_house(house), health)


def lines_of(utterance: int, outcome: Outcome, reference: str | None) -> list[Line]:
    """The turns that were heard in one recording; one without an answer for what was lost.

    Args:
        utterance: number of the recording in the run, from 1.
        outcome: what became of it.
        reference: what is said in it, if anybody wrote it down.
    """
    said: Line = {"utterance": utterance, "recording": outcome.path.name, "reference": reference, "words": True}
    lines: list[Line] = [said | line for line in outcome.turns]
    if outcome.timed_out:
        lines.append(said | {"turn": 0, "cancelled": "house: the turn never ended"})
    elif not lines:
        lines.append(said | {"turn": 0, "transcript": "", "cancelled": "house: no words were heard"})
    return lines


def _claims(traces: Observer, zero_ns: int) -> list[Claim]:
    """What the traces since the last call say."""
    found: list[Claim] = []
    while (payload := traces.read()) is not None:
        record = decode(payload)
        claim = Claim.of(record, zero_ns) if isinstance(record, Trace) else None
        if claim is not None:
            found.append(claim)
    return found


def transcripts(lines: Iterable[Line]) -> list[tuple[str, str]]:
    """(What was said, what was recognized) for each recording whose transcript is known; its turns are joined.

    A recording whose turn never ended is left out: nobody knows what was recognized.
    """
    pairs: list[tuple[str, str]] = []
    for _, group in groupby(lines, key=lambda line: line["utterance"]):
        turns = list(group)
        reference = turns[0]["reference"]
        if isinstance(reference, str) and all("transcript" in turn for turn in turns):
            pairs.append((reference, " ".join(str(turn["transcript"]) for turn in turns)))
    return pairs


def show(result: V2VResult, console: Console) -> None:
    """Print the result for people."""
    console.print(f"{result.machine}\n{result.corpus}\n", highlight=False, markup=False)
    console.print(_latencies(result))
    console.print()
    console.print(result.claimed.table(result.budget))
    console.print()
    for sentence in _sentences(result):
        console.print(sentence, highlight=False, markup=False)
    console.print()
    console.print(_memory(result.held.before, result.held.after))


def _latencies(result: V2VResult) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("voice to voice, ms")
    for heading in ("turns", "p50", "p95", "worst"):
        table.add_column(heading, justify="right")
    rows: tuple[tuple[str, Spread | None], ...] = (
        ("judged in the recording", result.judged.spread),
        ("claimed by the traces: first audio", result.claimed.first_audio_ms),
        ("claimed by the traces: first answer", result.claimed.first_answer_ms),
    )
    for name, spread in rows:
        figures = (f"{value:.0f}" for value in (spread.p50, spread.p95, spread.worst)) if spread else ("-", "-", "-")
        table.add_row(name, str(spread.count if spread else 0), *figures)
    return table


def _sentences(result: V2VResult) -> list[str]:
    agreement, health = result.agreement, result.held.health
    said = list(result.claimed.lines())
    if agreement.worst_ms is not None:
        said.append(
            f"claimed and judged differ by {agreement.worst_ms:.0f} ms at most "
            f"over {len(agreement.comparisons)} answers"
        )
    if agreement.only_claimed or agreement.only_judged:
        said.append(
            f"{agreement.only_claimed} answers only in the traces, {agreement.only_judged} only in the recording"
        )
    if result.words is not None:
        said.append(f"{result.words.rate:.1%} of {result.words.words} words were recognized wrongly (WER)")
    elif transcripts(result.held.lines) and not can_be_counted():
        said.append("word errors need jiwer: pip install edge-agent[bench]")
    said.append(
        f"{health.restarts} workers replaced, {health.late_blocks} loudspeaker blocks too late, "
        f"{health.refused_frames} microphone frames lost, {health.traces_lost} traces lost"
    )
    return said


def _memory(before: Memory, after: Memory) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("memory, MiB")
    for heading in ("PSS", "growth", "RSS", "growth"):
        table.add_column(heading, justify="right")
    for name in after.pss_mib:
        figures = []
        for now, then in ((after.pss_mib, before.pss_mib), (after.rss_mib, before.rss_mib)):
            figures += [f"{now[name]:.0f}", f"{now[name] - then[name]:+.0f}" if name in then else ""]
        table.add_row(name, *figures)
    table.add_section()
    table.add_row(
        "together",
        f"{after.total_pss_mib:.0f}",
        f"{after.total_pss_mib - before.total_pss_mib:+.0f}",
        f"{after.total_rss_mib:.0f}",
        f"{after.total_rss_mib - before.total_rss_mib:+.0f}",
        style="bold",
    )
    return table
