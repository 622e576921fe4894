"""ears: hears speech in what is captured, decides about turns, forwards the speech of each.

    capture[k] -> speech

For every session: Silero VAD on each 32 ms frame, the turn table (`dialogue/turns.py`) on its verdicts, the turn
detector during pauses. Captured sound stays in its ring until the turn it belongs to is committed: killed in the
middle, ears hears the utterance again, which takes a fraction of the time that it took to say it.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge_agent.clock import SECOND, now_ns
from edge_agent.config import Config
from edge_agent.dialogue.endpoint import EndpointPolicy
from edge_agent.dialogue.turns import FRAME_MS, FRAME_SAMPLES, VOICED_AT, Action, State, Timing, TurnMachine
from edge_agent.engines.silero import SileroVad, VadStream
from edge_agent.engines.smart_turn import SmartTurn
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import CAPTURE_RATE_HZ, Close, Commit, Drop, Onset, Open, Pause, Record, Sound, Speech
from edge_agent.ring.control import SessionWord, Turn
from edge_agent.workers.loop import Desk

PRE_ROLL_FRAMES = -(-300 // FRAME_MS)
DETECTOR_FRAMES = 8_000 // FRAME_MS  # what the turn detector listens to
LEAD_IN_SAMPLES = CAPTURE_RATE_HZ  # heard again before an utterance, so that the VAD is as it was
HELD_SAMPLES_MAX = 45 * CAPTURE_RATE_HZ  # more of an utterance than this is not heard again
GAP_FRAMES_MAX = 2_000 // FRAME_MS  # a longer gap in the capture is shortened to this
DETECTOR_PATIENCE_MS = 1_500

log = logging.getLogger("edge_agent.ears")


def timing(config: Config) -> Timing:
    """The turn table's lengths, from the configuration."""
    endpoint = config.endpoint
    return Timing(
        onset_frames=max(1, endpoint.onset_ms // FRAME_MS),
        pause_frames=max(1, endpoint.pause_ms // FRAME_MS),
        limit_frames=endpoint.utterance_max_s * 1000 // FRAME_MS,
    )


class Ear:
    """One session's hearing.

    Attributes:
        machine: the turn table at work.
        next_sample: index of the first sample that was not yet part of a frame.
    """

    def __init__(self, desk: Desk, slot: int, vad: VadStream, detector: SmartTurn) -> None:
        self._desk = desk
        self._slot = slot
        self._control = desk.session(slot)
        self._vad = vad
        self._detector = detector
        endpoint = desk.config.endpoint
        self._policy = EndpointPolicy(
            endpoint.sure_ms, endpoint.unsure_ms, endpoint.patient_ms, endpoint.sure_at, endpoint.unsure_at
        )
        self.machine = TurnMachine(timing(desk.config))
        self._interruptible = desk.config.reply.interruptible
        self._recent: deque[NDArray[np.int16]] = deque(maxlen=DETECTOR_FRAMES)
        self._rest = np.zeros(0, np.int16)
        self.next_sample: int | None = None
        self._zero_ns = 0  # when sample 0 was at the microphone
        self._speech_end_sample = 0
        self._pause_ns = 0
        self._probability = 0.0
        # A turn that a predecessor had begun but not committed is the one that we are about to hear again.
        self._turn = self._control.turn
        self._again = self._turn.turn > self._control.committed.turn
        self._settled_sample = self._control.load(SessionWord.SETTLED_SAMPLE)

    def hear(self, sound: Sound) -> None:
        """Take captured sound, in order."""
        pcm = np.frombuffer(sound.pcm, np.int16)
        self._zero_ns = sound.time_ns - sound.sample * SECOND // CAPTURE_RATE_HZ
        first = sound.sample
        if self.next_sample is None:
            # Frames start at multiples of their length, whoever hears them, so that verdicts repeat exactly.
            self.next_sample = -(-first // FRAME_SAMPLES) * FRAME_SAMPLES
        expected = self.next_sample + len(self._rest)
        if first > expected:
            missing = min(first - expected, GAP_FRAMES_MAX * FRAME_SAMPLES)
            log.warning("session %d: %d samples were not captured", self._slot, first - expected)
            pcm = np.concatenate([np.zeros(missing, np.int16), pcm])
            self.next_sample = first - missing - len(self._rest)
        elif first < expected:
            pcm = pcm[expected - first :]
        self._rest = np.concatenate([self._rest, pcm])
        while len(self._rest) >= FRAME_SAMPLES:
            frame, self._rest = self._rest[:FRAME_SAMPLES], self._rest[FRAME_SAMPLES:]
            self.next_sample += FRAME_SAMPLES
            self._frame(frame, self.next_sample)

    def _frame(self, frame: NDArray[np.int16], end_sample: int) -> None:
        voiced = self._vad.probability(frame.astype(np.float32) / np.float32(32768)) > VOICED_AT
        self._recent.append(frame)
        if self._control.playing and not self._interruptible and not self.in_turn:
            voiced = False  # an announcement: whoever speaks over it is not heard
        if end_sample <= self._settled_sample:
            return
        if voiced:
            self._speech_end_sample = end_sample
        actions = self.machine.step(voiced)
        for action in actions:
            if action is Action.OPEN:
                self._open(end_sample)
            elif action is Action.REVISE:
                self._revise()
        if self.in_turn and Action.OPEN not in actions:
            self._forward(frame, end_sample - FRAME_SAMPLES)
        if Action.ANNOUNCE in actions:
            self._announce()
        elif self.machine.state is State.PAUSED:
            self._ask_again()
        if Action.COMMIT in actions:
            self._commit(end_sample)

    def _open(self, end_sample: int) -> None:
        """A new turn: whatever was being said or prepared for earlier ones is void."""
        if self._again:
            self._turn = Turn(self._turn.turn, self._turn.revision + 1)
            self._again = False
        else:
            self._turn = Turn(self._turn.turn + 1, 0)
            self._control.store(SessionWord.EPOCH, self._control.epoch + 1)
        self._control.store(SessionWord.TURN, self._turn.pack())
        self._desk.send("speech", Onset(self._slot, *self._turn))
        frames = list(self._recent)[-(PRE_ROLL_FRAMES + self.machine.frames) :]
        start = end_sample - len(frames) * FRAME_SAMPLES
        for index, frame in enumerate(frames):
            self._forward(frame, start + index * FRAME_SAMPLES)

    def _revise(self) -> None:
        self._turn = Turn(self._turn.turn, self._turn.revision + 1)
        self._control.store(SessionWord.TURN, self._turn.pack())

    def _forward(self, frame: NDArray[np.int16], sample: int) -> None:
        self._desk.send("speech", Speech(self._slot, *self._turn, sample, frame.tobytes()))

    def _stopwatch(self) -> Stopwatch:
        end_ns = self._zero_ns + self._speech_end_sample * SECOND // CAPTURE_RATE_HZ
        watch = Stopwatch.start(end_ns, self._desk.config.budget.total_ms)
        watch.stamp(Stamp.PAUSE, self._pause_ns)
        return watch

    def _announce(self) -> None:
        self._pause_ns = now_ns()
        self._desk.send("speech", Pause(self._slot, *self._turn, self._stopwatch()))
        self._ask()

    def _ask_again(self) -> None:
        machine = self.machine
        if self._policy.ask_again(machine.silent_frames, machine.timing.pause_frames, self._probability):
            self._ask()

    def _ask(self) -> None:
        """How likely is it that the user is done? What it says now stands until it is asked again."""
        with self._desk.step(DETECTOR_PATIENCE_MS):
            pcm = np.concatenate(self._recent).astype(np.float32) / np.float32(32768)
            self._probability = self._detector.probability(pcm)
        self.machine.end_frames = self._policy.end_frames(self._probability)

    def _commit(self, end_sample: int) -> None:
        watch = self._stopwatch()
        watch.stamp(Stamp.COMMITTED)
        # First the record, then the words: killed in between, a successor sends the record again, which is harmless.
        self._desk.send("speech", Commit(self._slot, *self._turn, self._control.epoch, watch))
        self._control.store(SessionWord.SETTLED_SAMPLE, end_sample)
        self._control.store(SessionWord.COMMITTED, self._turn.pack())
        log.debug("session %d: turn %d committed, detector %.2f", self._slot, self._turn.turn, self._probability)

    @property
    def in_turn(self) -> bool:
        """Whether the user is in the middle of a turn."""
        return self.machine.state in (State.SPEAKING, State.PAUSED)

    def close(self) -> None:
        """The conversation ends: a turn in the middle is dropped, and said to be settled."""
        if self.in_turn:
            where = "ears: the conversation was closed"
            self._desk.send("speech", Drop(self._slot, *self._turn, where, False, self._stopwatch()))
        self._control.store(SessionWord.EPOCH, self._control.epoch + 1)
        self._control.store(SessionWord.COMMITTED, self._control.load(SessionWord.TURN))
        if self.next_sample is not None:
            self._control.store(SessionWord.SETTLED_SAMPLE, 0)


class Stage:
    """All sessions' ears."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._vad = SileroVad(threads=desk.config.threads.ears)
        self._detector = SmartTurn(desk.model("turn"), threads=desk.config.threads.ears)
        self._vad.stream().probability(np.zeros(FRAME_SAMPLES, np.float32))
        self._detector.probability(np.zeros(CAPTURE_RATE_HZ, np.float32))
        self._ears: dict[int, Ear] = {}
        self._places: dict[int, deque[tuple[int, int]]] = {}  # (sample, ring position) of what may be heard again

    def handle(self, record: Record) -> None:
        """See `loop.Stage`."""
        if isinstance(record, Sound):
            self._hear(record)
            return
        slot = record.session
        if isinstance(record, Open | Close):
            if slot in self._ears:
                self._ears.pop(slot).close()
            if isinstance(record, Open):
                self._desk.session(slot).store(SessionWord.SETTLED_SAMPLE, 0)
            self._places.pop(slot, None)
            self._desk.inlets[f"capture[{slot}]"].free("again")
        self._desk.send("speech", record)

    def _hear(self, sound: Sound) -> None:
        slot = sound.session
        inlet = self._desk.inlets[f"capture[{slot}]"]
        ear = self._ears.get(slot)
        if ear is None:
            ear = self._ears[slot] = Ear(self._desk, slot, self._vad.stream(), self._detector)
        places = self._places.setdefault(slot, deque())
        places.append((sound.sample, inlet.start))
        ear.hear(sound)
        reach = HELD_SAMPLES_MAX if ear.in_turn else LEAD_IN_SAMPLES
        while places[0][0] < sound.sample - reach:
            places.popleft()
        inlet.hold("again", places[0][1])

    def idle(self) -> bool:
        """Nothing comes in slices here."""
        return False

    def close(self) -> None:
        """Nothing outlives the process."""
