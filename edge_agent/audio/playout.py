"""Playout: what the loudspeaker gets, block by block, of the clauses that were synthesized.

Pure: clauses are offered, blocks are taken, and whoever takes them says what may be heard. A reply is played only
while its (turn, revision) is the committed one and its epoch is not over; when it no longer is, the next block fades
to silence and the rest is thrown away. The playout knows which word was played last.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from edge_agent.latency.stopwatch import Stopwatch
from edge_agent.records import Playback
from edge_agent.ring.control import Turn

BLOCK_MS = 10
AUDIBLE_RMS = 10 ** (-50 / 20) * 32768  # of 5 ms; what is softer is not heard as an answer
AUDIBLE_MS = 5


@dataclass(slots=True)
class _Clause:
    """One clause at the device's rate. `words` as in `records.Playback`, its samples at the device's rate."""

    pcm: NDArray[np.int16]
    text: str
    words: list[tuple[int, int]]
    answer: bool
    last: bool
    watch: Stopwatch
    position: int = 0


@dataclass(slots=True)
class Reply:
    """One reply on its way through the loudspeaker.

    Attributes:
        turn: what it answers.
        epoch: see `records.Clause`.
        clauses: not yet played to their end.
        next_clause: index of the clause that comes next; what is offered again is passed over.
        heard: text of the clauses that were played to their end, acknowledgements apart.
        watch: the stopwatch of the clause that was audible first.
        gaps: how often the loudspeaker had to wait for the next clause.
        underrun_blocks: how many blocks it waited.
    """

    turn: Turn
    epoch: int
    clauses: deque[_Clause] = field(default_factory=deque)
    next_clause: int = 0
    heard: str = ""
    watch: Stopwatch | None = None
    audible: bool = False
    answered: bool = False
    ended: bool = False
    played_samples: int = 0
    underrun_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """What one block holds.

    Attributes:
        pcm: int16[block] at the device's rate.
        first_audio: sample of it at which the reply becomes audible for the first time, else None.
        first_answer: the same for the answer itself.
        finished: the reply that ended with this block, or was cut by it.
        cut: whether it was cut.
    """

    pcm: NDArray[np.int16]
    first_audio: int | None = None
    first_answer: int | None = None
    finished: Reply | None = None
    cut: bool = False


class Playout:
    """One session's playout.

    Args:
        rate_hz: of the device.

    Attributes:
        reply: the one being played or waiting to be, if any.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.block_samples = rate_hz * BLOCK_MS // 1000
        self.reply: Reply | None = None
        self._silence = np.zeros(self.block_samples, np.int16)

    def offer(self, record: Playback) -> Reply | None:
        """Take one clause; returns the reply that it replaced, when that was not played to its end."""
        turn = Turn(record.turn, record.revision)
        replaced = None
        if self.reply is not None and (self.reply.turn, self.reply.epoch) != (turn, record.epoch):
            if (self.reply.epoch, self.reply.turn) > (record.epoch, turn):
                return None  # older than what is played
            replaced, self.reply = self.reply, None
        if self.reply is None:
            self.reply = Reply(turn, record.epoch)
        reply = self.reply
        if record.clause < reply.next_clause:
            return replaced  # said again by a successor of the one that said it first
        reply.next_clause = record.clause + 1
        reply.clauses.append(self._converted(record))
        return replaced

    def _converted(self, record: Playback) -> _Clause:
        pcm = np.frombuffer(record.pcm, np.int16)
        if record.rate_hz != self.rate_hz and len(pcm):
            pcm = soxr.resample(pcm, record.rate_hz, self.rate_hz, quality="HQ")
        scale = self.rate_hz / record.rate_hz
        words = [(round(sample * scale), end) for sample, end in record.words]
        return _Clause(pcm, record.text, words, record.answer, record.last, record.watch)

    def block(self, committed: Turn, epoch: int) -> Block:
        """The next block, given what may be heard now."""
        reply = self.reply
        if reply is None:
            return Block(self._silence)
        if epoch > reply.epoch or committed > reply.turn:
            return self._cut(reply)
        if committed != reply.turn:
            return Block(self._silence)
        return self._play(reply)

    def _cut(self, reply: Reply) -> Block:
        pcm = self._silence
        if reply.audible and reply.clauses:
            pcm = self._take(reply, self.block_samples)[0]
            pcm = (pcm * np.linspace(1.0, 0.0, len(pcm))).astype(np.int16)
        self.reply = None
        return Block(pcm, finished=reply, cut=True)

    def _play(self, reply: Reply) -> Block:
        pcm, watch, answer = self._take(reply, self.block_samples)
        first_audio = first_answer = None
        onset = self._onset(pcm) if not reply.answered else None
        if onset is not None:
            if not reply.audible:
                reply.audible, first_audio = True, onset
            reply.watch = watch
            if answer:
                reply.answered, first_answer = True, onset
        if reply.ended:
            self.reply = None
            return Block(pcm, first_audio, first_answer, finished=reply)
        return Block(pcm, first_audio, first_answer)

    def _take(self, reply: Reply, samples: int) -> tuple[NDArray[np.int16], Stopwatch | None, bool]:
        """The next samples, the stopwatch of the clause they begin with, and whether that is (part of) the answer."""
        out = np.zeros(samples, np.int16)
        at = 0
        watch, answer = None, False
        while at < samples and reply.clauses:
            clause = reply.clauses[0]
            watch, answer = clause.watch, clause.answer
            part = clause.pcm[clause.position : clause.position + samples - at]
            out[at : at + len(part)] = part
            at += len(part)
            clause.position += len(part)
            if clause.position < len(clause.pcm):
                break
            if clause.answer:
                reply.heard += clause.text
            reply.ended = clause.last
            reply.clauses.popleft()
        if at < samples and not reply.ended and reply.audible:
            reply.underrun_blocks += 1
        reply.played_samples += at
        return out, watch, answer

    def _onset(self, pcm: NDArray[np.int16]) -> int | None:
        width = self.rate_hz * AUDIBLE_MS // 1000
        for start in range(0, len(pcm), width):
            part = pcm[start : start + width].astype(np.float32)
            if len(part) and float(np.sqrt(np.mean(part * part))) > AUDIBLE_RMS:
                return start
        return None


def heard_text(reply: Reply) -> str:
    """What was audible of a reply, as written, cut after the last word that was played to its end."""
    text = reply.heard
    if reply.clauses:
        clause = reply.clauses[0]
        ends = [end for sample, end in clause.words if sample <= clause.position]
        if ends and clause.answer:
            text += clause.text[: ends[-1]]
    return text.strip()
