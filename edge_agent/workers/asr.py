"""asr: writes down what was said.

    speech -> transcripts

Collects the speech of each session's turn and decodes it when ears announces a pause, while ears is still waiting to
see whether the user goes on. Of several pauses the one whose answer is due first is decoded first. The records of a
turn are held until it is committed: killed in the middle, asr hears the turn again from the ring.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.clock import ms_between, now_ns
from edge_agent.engines.whisper import PADDING_S, SHORTEST_WINDOW_S, Transcription, WhisperEngine
from edge_agent.latency.budget import SMALLER_WINDOW, Budget, rungs_for
from edge_agent.latency.prediction import Predictor
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import (
    CAPTURE_RATE_HZ,
    Close,
    Commit,
    Drop,
    Onset,
    Open,
    Pause,
    Record,
    Speech,
    Transcript,
    encode,
)
from edge_agent.ring.control import Turn
from edge_agent.workers.learning import Learning
from edge_agent.workers.loop import Desk, settings_in

BYTES_PER_S = CAPTURE_RATE_HZ * 2
EXPECTED_AT = 0.8  # probability from which a detected language is certain
SPEECH_MAX_BYTES = 130 * BYTES_PER_S
SMALL_WINDOW_S = 8.0  # word error rate 0.018 where the usual window has 0.017; with 6 s it is 0.065
PATIENCE_MS = 1_300  # on top of twice the predicted duration
FULL_DECODE_MS = 6_000  # a second decode on the full window, or the next piece of a long utterance


@dataclass(slots=True)
class _Utterance:
    """The turn that a session is in."""

    turn: Turn
    pcm: bytearray = field(default_factory=bytearray)
    pause: Pause | None = None  # to be decoded
    commit: Commit | None = None  # to be passed on after that
    text: str = ""
    watch: Stopwatch | None = None  # with the stamps of the last decode


class Stage:
    """The recognizer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config = desk.config
        path = desk.model("asr")
        self._engine = WhisperEngine(path, device=config.devices.asr, threads=config.threads.asr)
        self._engine.warm_up()
        self._budget = Budget(config.budget.total_ms, config.budget.shares.model_dump())
        self._predictor = Predictor("asr", path.name, config.devices.asr, base_ms=150, slope_ms=15)
        self._learning = Learning(desk, (self._predictor,), (SHORTEST_WINDOW_S,))
        self._utterances: dict[int, _Utterance] = {}
        self._notebook = desk.station.notebook(lambda notes: [encode(one) for one in settings_in(notes).values()])
        self._settings = settings_in(self._notebook.notes())
        self._languages: dict[int, str] = {}  # what each conversation is held in
        self._expected: dict[int, str | None] = {}  # the same, when it was certain twice running

    def handle(self, record: Record) -> None:
        """See `loop.Stage`."""
        slot = record.session
        speech = self._desk.inlets["speech"]
        if isinstance(record, Speech):
            self._collect(record)
            return
        if isinstance(record, Onset):
            speech.hold(slot)
            self._utterances[slot] = _Utterance(Turn(record.turn, record.revision))
            return
        if isinstance(record, Pause | Commit):
            self._note(record)
            return
        if isinstance(record, Open | Close):
            self._notebook.add(encode(record))
            self._settings.pop(slot, None)
            self._languages.pop(slot, None)
            self._expected.pop(slot, None)
            if isinstance(record, Open):
                self._settings[slot] = record
        self._desk.send("transcripts", record)
        if isinstance(record, Drop | Close):
            self._utterances.pop(slot, None)
            speech.free(slot)

    def _note(self, record: Pause | Commit) -> None:
        """Something to do about an utterance, in its turn."""
        utterance = self._utterances.get(record.session)
        said = Turn(record.turn, record.revision)
        if isinstance(record, Pause):
            if utterance is not None and utterance.turn == said:
                utterance.pause = record
        elif utterance is None or utterance.turn.turn != said.turn:
            where = "asr: no sound kept"
            drop = Drop(record.session, record.turn, record.revision, where, False, record.watch)
            self._desk.send("transcripts", drop)
        else:
            utterance.commit = record

    def _collect(self, record: Speech) -> None:
        utterance = self._utterances.get(record.session)
        if utterance is None or utterance.turn.turn != record.turn:
            return  # the middle of a turn whose onset is gone: given up before we started
        utterance.turn = Turn(record.turn, record.revision)
        utterance.pcm += record.pcm
        del utterance.pcm[: max(0, len(utterance.pcm) - SPEECH_MAX_BYTES)]

    def idle(self) -> bool:
        """Decode the utterance whose answer is due first, or pass on a commit that waited for its text."""
        for slot, utterance in self._utterances.items():
            if utterance.commit is not None and utterance.pause is None:
                self._commit(slot, utterance, utterance.commit)
                return True
        due = {
            slot: utterance.pause.watch.deadline_ns
            for slot, utterance in self._utterances.items()
            if utterance.pause is not None
        }
        if not due:
            return False
        slot = min(due, key=lambda one: due[one])
        self._decode(slot, self._utterances[slot])
        return True

    def _decode(self, slot: int, utterance: _Utterance) -> None:
        pause, utterance.pause = utterance.pause, None
        if pause is None or utterance.turn != Turn(pause.turn, pause.revision):
            return
        if self._desk.session(slot).turn != utterance.turn:
            return  # the user went on long ago (we were busy): the next pause has it all
        watch = pause.watch
        watch.stamp(Stamp.ASR_START)
        heard = self._transcribe(slot, utterance, watch)
        watch.stamp(Stamp.ASR_DONE)
        utterance.text, utterance.watch = heard.text, watch
        if heard.text:
            sure = heard.language_probability >= EXPECTED_AT
            self._expected[slot] = heard.language if sure and self._languages.get(slot) == heard.language else None
            self._languages[slot] = heard.language
        transcript = Transcript(
            slot,
            pause.turn,
            pause.revision,
            heard.text,
            heard.language,
            math.exp(min(0.0, heard.avg_logprob)),
            watch,
        )
        self._desk.send("transcripts", transcript)

    def _transcribe(self, slot: int, utterance: _Utterance, watch: Stopwatch) -> Transcription:
        pcm = np.frombuffer(bytes(utterance.pcm), np.int16).astype(np.float32) / np.float32(32768)
        window_s = self._window_s(pcm, watch)
        began_ns = now_ns()
        with self._desk.step(PATIENCE_MS + 2 * self._predictor.predict(window_s)):
            heard = self._engine.transcribe(
                pcm,
                language=self._language(slot),
                previous_language=self._languages.get(slot),
                expected_language=self._expected.get(slot),
                window_s=window_s,
                progress=lambda: self._desk.station.process.begin(FULL_DECODE_MS * 1_000_000),
            )
        if not heard.retried:
            self._learning.learn(self._predictor, window_s, ms_between(began_ns, now_ns()))
        return heard

    def _language(self, slot: int) -> str | None:
        settings = self._settings.get(slot)
        if settings is not None and settings.language:
            return settings.language
        chosen = self._desk.config.persona.language
        return None if chosen == "auto" else chosen

    def _window_s(self, pcm: NDArray[np.float32], watch: Stopwatch) -> float:
        """The encoder's window: smaller when there is no time for the usual one."""
        length_s = len(pcm) / CAPTURE_RATE_HZ
        usual_s = max(SHORTEST_WINDOW_S, length_s + PADDING_S)
        if not self._desk.config.budget.ladder:
            return usual_s
        small_s = max(SMALL_WINDOW_S, length_s + PADDING_S)
        behind = [self._desk.typical_ms(stage) for stage in ("llm", "tts")]
        behind_ms = sum(one for one in behind if one is not None) + self._budget.shares["playout"]
        # What ends before the turn can be committed at all keeps nobody waiting.
        endpoint = self._desk.config.endpoint
        silence_ms = self._desk.config.budget.total_ms - watch.left_ms()
        floor_ms = max(0.0, endpoint.sure_ms - silence_ms)
        usual_ms = max(floor_ms, self._predictor.predict(usual_s))
        small_ms = max(floor_ms, self._predictor.predict(small_s))
        gains = {SMALLER_WINDOW: usual_ms - small_ms}
        rungs = rungs_for("asr", watch.left_ms(), usual_ms, behind_ms, gains)
        watch.rungs.extend(rungs)
        return small_s if rungs else usual_s

    def _commit(self, slot: int, utterance: _Utterance, commit: Commit) -> None:
        """Pass the commit on with the stamps of the decode; a drop when there was nothing to write down."""
        watch = commit.watch
        if utterance.watch is not None:
            for stamp in (Stamp.ASR_START, Stamp.ASR_DONE):
                watch.stamp(stamp, utterance.watch.stamps[stamp])
            watch.rungs.extend(utterance.watch.rungs)
        if utterance.text:
            self._desk.send("transcripts", commit)
        else:
            where = "asr: no words"
            self._desk.send("transcripts", Drop(slot, commit.turn, commit.revision, where, False, watch))
        del self._utterances[slot]
        speech = self._desk.inlets["speech"]
        speech.free(slot)
        speech.settle()

    def close(self) -> None:
        """Keep what was learned."""
        self._learning.keep()
