"""What every frontend does for the session it holds: sound in, sound out, traces, and what was heard.

A frontend owns a device and its clock; a `Session` owns the slot's ends of the rings. The frontend gives it captured
sound and takes blocks for the loudspeaker, each with the time at which the device has or will have it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.playout import BLOCK_MS, Block, Playout, Reply, heard_text
from edge_agent.clock import SECOND
from edge_agent.config import Config
from edge_agent.latency.budget import Budget
from edge_agent.latency.critical_path import segments
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Close, Drop, Heard, Open, Playback, Record, Sound, Trace, decode, encode
from edge_agent.ring.control import SessionWord, Turn
from edge_agent.ring.ring import deadline_in
from edge_agent.ring.station import Station

WRITE_MS = 2_000  # for what must not be lost; captured sound never waits

log = logging.getLogger("edge_agent.session")


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn is over for the user.

    Attributes:
        trace: where its time went.
        heard: what was audible of the reply; empty when nothing was.
        complete: whether the reply was played to its end.
        underrun_ms: how long the loudspeaker waited for a next clause in the middle of the reply.
    """

    trace: Trace
    heard: str
    complete: bool
    underrun_ms: int = 0


@dataclass(slots=True)
class _Counters:
    """What the frontend noticed."""

    refused_frames: int = 0  # captured sound that found its ring full
    traces_lost: int = 0


class Session:
    """One session slot, held by this process.

    Args:
        station: this process's place in the house.
        slot: the slot.
        rate_hz: of the loudspeaker.
        ended: called for every turn that is over, in order.
    """

    def __init__(self, station: Station, slot: int, *, rate_hz: int, ended: Callable[[Ended], None]) -> None:
        self.slot = slot
        self.counters = _Counters()
        self._config = Config.from_json(station.manifest.config)
        self._control = station.sessions[slot]
        self._capture = station.outlets[f"capture[{slot}]"]
        self._traces = station.outlets[f"traces[{slot}]"]
        self._inlet = station.inlets[f"playback[{slot}]"]
        self._process = station.process
        self._budget = Budget(self._config.budget.total_ms, self._config.budget.shares.model_dump())
        self._playout = Playout(rate_hz)
        self._ended = ended
        self._conversation = ""
        self._traced: dict[int, Trace] = {}  # by turn, until the turn has ended
        self._acknowledged: dict[int, int] = {}  # when something that is no answer was audible, by turn
        self._last_ended = 0

    @property
    def block_samples(self) -> int:
        """Samples of one loudspeaker block."""
        return self._playout.block_samples

    @property
    def settled(self) -> bool:
        """Whether nothing is being said, prepared or played: every turn so far has ended."""
        turn = self._control.turn
        return self._control.committed == turn and self._last_ended >= turn.turn

    @property
    def playing(self) -> bool:
        """Whether a reply is audible now."""
        return self._control.playing

    @property
    def turn(self) -> Turn:
        """What the user is saying now, or said last."""
        return self._control.turn

    def open(self, conversation: str, *, language: str | None = None, instructions: str | None = None) -> None:
        """Begin a conversation."""
        self._inlet.skip_to_head()
        self._conversation = conversation
        self._last_ended = self._control.turn.turn
        self._send(Open(self.slot, conversation, language, instructions))

    def close(self) -> None:
        """End the conversation; a reply that is being played is cut."""
        if self._playout.reply is not None:
            reply, self._playout.reply = self._playout.reply, None
            self._finish(reply, cut=True)
        self._send(Close(self.slot))

    def _send(self, record: Record) -> None:
        self._capture.write(encode(record), deadline_ns=deadline_in(WRITE_MS))

    def capture(self, pcm: NDArray[np.int16], sample: int, time_ns: int) -> None:
        """Captured sound, as `records.Sound` has it. Never waits: what finds the ring full is lost and counted."""
        if not self._capture.try_write(encode(Sound(self.slot, sample, time_ns, pcm.tobytes()))):
            self.counters.refused_frames += 1

    def block(self, due_ns: int) -> NDArray[np.int16]:
        """The loudspeaker's next block, int16[block_samples]; its first sample is due at `due_ns`."""
        self._process.beat()
        while (payload := self._inlet.view()) is not None:
            self._take(decode(payload))
            self._inlet.release()
        block = self._playout.block(self._control.committed, self._control.epoch)
        self._note(block, due_ns)
        reply = self._playout.reply
        playing = reply is not None and reply.audible
        self._control.store(SessionWord.PLAYING, int(playing))
        self._control.store(SessionWord.PLAYED_SAMPLES, reply.played_samples if reply is not None else 0)
        return block.pcm

    def _take(self, record: Record) -> None:
        if isinstance(record, Playback):
            if record.turn <= self._last_ended:
                return
            replaced = self._playout.offer(record)
            if replaced is not None:
                self._finish(replaced, cut=True)
        elif isinstance(record, Drop):
            self._dropped(record)

    def _dropped(self, drop: Drop) -> None:
        """A stage gave the turn up. What of its reply is audible already is played; else it ends here."""
        reply = self._playout.reply
        if reply is not None and reply.turn.turn == drop.turn:
            self._playout.reply = None
            self._finish(reply, cut=True, where=drop.where)
        elif drop.turn > self._last_ended:
            trace = self._trace(drop.turn, drop.revision, drop.watch, cancelled=drop.where, words=drop.words)
            self._end(Ended(trace, "", complete=False))

    def _note(self, block: Block, due_ns: int) -> None:
        """Stamp the moments at which the user begins to hear something, and write the trace at the first."""
        reply = block.finished or self._playout.reply
        if reply is None:
            return
        for which, sample in ((Stamp.FIRST_AUDIO, block.first_audio), (Stamp.FIRST_ANSWER, block.first_answer)):
            if sample is not None and reply.watch is not None:
                reply.watch.stamp(which, due_ns + sample * SECOND // self._playout.rate_hz)
        if block.first_answer is not None and reply.watch is not None:
            watch = reply.watch
            earlier = self._acknowledged.pop(reply.turn.turn, 0)
            if earlier:
                watch.stamps[Stamp.FIRST_AUDIO] = earlier
            else:
                watch.stamp(Stamp.FIRST_AUDIO, watch.stamps[Stamp.FIRST_ANSWER])
            self._traced[reply.turn.turn] = self._trace(*reply.turn, watch, cancelled=None, words=True)
        elif block.first_audio is not None and reply.watch is not None:
            self._acknowledged[reply.turn.turn] = reply.watch.stamps[Stamp.FIRST_AUDIO]
        if block.finished is not None:
            self._finish(block.finished, cut=block.cut)

    def _trace(self, turn: int, revision: int, watch: Stopwatch, *, cancelled: str | None, words: bool) -> Trace:
        answered = watch.stamps[Stamp.FIRST_ANSWER] > 0
        trace = Trace(
            self.slot,
            self._conversation,
            turn,
            revision,
            watch.stamps,
            self._config.budget.total_ms,
            watch.rungs,
            self._budget.breach(segments(watch.stamps)) if answered else None,
            cancelled,
            words,
        )
        if not self._traces.try_write(encode(trace)):
            self.counters.traces_lost += 1
            log.error("session %d: the trace of turn %d found its ring full", self.slot, turn)
        return trace

    def _finish(self, reply: Reply, *, cut: bool, where: str = "playout: interrupted") -> None:
        """A reply has ended: tell the stages what was heard of it."""
        number = reply.turn.turn
        heard = heard_text(reply)
        trace = self._traced.pop(number, None)
        if trace is None:
            watch = reply.watch or (reply.clauses[0].watch if reply.clauses else Stopwatch.start(0, 0))
            where = where if cut else "tts: nothing audible"
            trace = self._trace(*reply.turn, watch, cancelled=where, words=True)
        self._send(Heard(self.slot, number, heard, not cut))
        self._end(Ended(trace, heard, not cut, reply.underrun_blocks * BLOCK_MS))

    def _end(self, ended: Ended) -> None:
        self._last_ended = max(self._last_ended, ended.trace.turn)
        self._ended(ended)
