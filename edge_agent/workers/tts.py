"""tts: speaks the reply, clause by clause.

    clauses -> playback[k]

Of several sessions' clauses a first one goes before a later one, and then the one whose answer is due first. A clause
is released when its sound is in the ring: killed in the middle, tts speaks that clause again.
"""

from __future__ import annotations

from collections import deque

from edge_agent.clock import ms_between, now_ns
from edge_agent.dialogue.spoken import spoken_words
from edge_agent.engines.piper import PiperEngine
from edge_agent.latency.prediction import Predictor
from edge_agent.latency.stopwatch import Stamp
from edge_agent.records import Clause, Drop, Playback, Record
from edge_agent.workers.learning import Learning
from edge_agent.workers.loop import Desk

PATIENCE_MS = 1_300
TYPICAL_CHARS = 30  # a first clause


class Stage:
    """The voice."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config = desk.config
        path = desk.model("tts")
        self._engine = PiperEngine(path, device=config.devices.tts, threads=config.threads.tts)
        self._engine.warm_up()
        self._predictor = Predictor("tts", path.stem, config.devices.tts, base_ms=20, slope_ms=3)
        self._learning = Learning(desk, (self._predictor,), (TYPICAL_CHARS,))
        self._waiting: dict[int, deque[Clause | Drop]] = {}  # by session, in order

    def handle(self, record: Record) -> None:
        """See `loop.Stage`."""
        if isinstance(record, Clause | Drop):
            self._waiting.setdefault(record.session, deque()).append(record)
            inlet = self._desk.inlets["clauses"]
            if not inlet.holds(record.session):
                inlet.hold(record.session)

    def idle(self) -> bool:
        """Deal with the most urgent clause."""
        if not self._waiting:
            return False
        slot = min(self._waiting, key=lambda one: _urgency(self._waiting[one][0]))
        queue = self._waiting[slot]
        record = queue.popleft()
        if isinstance(record, Drop):
            self._desk.send(f"playback[{slot}]", record)
        elif self._desk.session(slot).epoch == record.epoch:
            self._speak(record)
        elif record.last:
            drop = Drop(slot, record.turn, record.revision, "tts: interrupted", True, record.watch)
            self._desk.send(f"playback[{slot}]", drop)
        if not queue:
            del self._waiting[slot]
            inlet = self._desk.inlets["clauses"]
            inlet.free(slot)
            inlet.settle()
        return True

    def _speak(self, clause: Clause) -> None:
        watch = clause.watch
        watch.stamp(Stamp.TTS_START)
        words = spoken_words(clause.text, clause.language)
        text = " ".join(word.spoken for word in words)
        began_ns = now_ns()
        with self._desk.step(PATIENCE_MS + 3 * self._predictor.predict(len(text))):
            utterance = self._engine.synthesize(text, length_scale=1.0 / self._desk.config.reply.speed)
        if text:
            self._learning.learn(self._predictor, len(text), ms_between(began_ns, now_ns()))
        watch.stamp(Stamp.FIRST_PCM)
        ends: list[tuple[int, int]] = []
        at = 0
        for word in words:  # a written word may be spoken as several: it has been heard with the last of them
            at += len(word.spoken.split())
            ends.append((utterance.word_ends[at - 1] if at else 0, word.end))
        self._desk.send(
            f"playback[{clause.session}]",
            Playback(
                clause.session,
                clause.turn,
                clause.revision,
                clause.epoch,
                clause.index,
                utterance.rate_hz,
                utterance.pcm.tobytes(),
                clause.text,
                ends,
                clause.answer,
                clause.last,
                watch,
            ),
        )

    def close(self) -> None:
        """Keep what was learned."""
        self._learning.keep()


def _urgency(record: Clause | Drop) -> tuple[int, int]:
    """Least first: what costs nothing, first clauses, then the rest; each by deadline."""
    kind = 0 if isinstance(record, Drop) else 1 + (record.index > 0)
    return kind, record.watch.deadline_ns
