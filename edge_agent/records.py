"""What travels through the rings: one small struct a record, msgpack on the wire.

    capture[k]    frontend -> ears      Open Sound Heard Close
    speech        ears -> asr           Open Onset Speech Pause Commit Drop Heard Close
    transcripts   asr -> llm            Open Transcript Commit Drop Heard Close
    clauses       llm -> tts            Open Clause Drop Close
    playback[k]   tts -> frontend       Playback Drop
    traces[k]     frontend -> journal   Trace

A record that a stage does not act on is passed on unchanged, so everything that a frontend says takes effect in order
with the sound around it. Observers decode the same bytes.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from edge_agent.errors import RingError
from edge_agent.latency.stopwatch import Stopwatch

CAPTURE_RATE_HZ = 16_000  # mono, 16-bit little-endian, everywhere before the language model


class Open(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """A conversation begins in a session slot, or its settings change from here on.

    Attributes:
        session: slot.
        conversation: identifier, unique over the life of the journal.
        language: ISO 639-1 code that the user speaks; None to detect it.
        instructions: system prompt; None for the language model's own.
    """

    session: int
    conversation: str
    language: str | None = None
    instructions: str | None = None


class Close(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """The conversation is over; everything about it may be forgotten."""

    session: int


class Sound(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """Captured sound.

    Attributes:
        session: slot.
        sample: index of the first sample since the session opened.
        time_ns: when that sample was at the microphone (monotonic).
        pcm: int16 little-endian mono at `CAPTURE_RATE_HZ`.
    """

    session: int
    sample: int
    time_ns: int
    pcm: bytes


class Heard(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """What was audible of a reply, when it has ended or was cut.

    Attributes:
        session: slot.
        turn: the turn that was answered.
        text: the reply as written by the language model, cut after the last word that was played.
        complete: whether all of it was played.
    """

    session: int
    turn: int
    text: str
    complete: bool


class Onset(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """The user begins to say something; forget what you had of this turn."""

    session: int
    turn: int
    revision: int


class Speech(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """Sound of a turn, from 300 ms before its onset. `pcm` as in `Sound`."""

    session: int
    turn: int
    revision: int
    sample: int
    pcm: bytes


class Pause(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """The user stopped for a moment, perhaps for good."""

    session: int
    turn: int
    revision: int
    watch: Stopwatch


class Commit(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """The user is done: (turn, revision) may be answered aloud. `watch` has its PAUSE and COMMITTED stamps."""

    session: int
    turn: int
    revision: int
    epoch: int
    watch: Stopwatch


class Drop(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """A turn ends without (more of) an answer.

    Attributes:
        session: slot.
        turn: which turn.
        revision: which version of it.
        where: "stage: reason", for the trace.
        words: whether the user had said anything that the recognizer could write down.
        watch: how far it had come.
    """

    session: int
    turn: int
    revision: int
    where: str
    words: bool
    watch: Stopwatch


class Transcript(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """What the user said.

    Attributes:
        session: slot.
        turn: which turn.
        revision: which version of it.
        text: as recognized; empty when there were no words.
        language: ISO 639-1 code.
        confidence: mean token probability of the recognizer, 0 to 1.
        watch: with ASR_START and ASR_DONE.
    """

    session: int
    turn: int
    revision: int
    text: str
    language: str
    confidence: float
    watch: Stopwatch


class Clause(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """A piece of the reply that is spoken in one go.

    Attributes:
        session: slot.
        turn: the turn that is answered.
        revision: which version of it.
        epoch: onsets of speech before the reply began; dropped when the control page says more.
        index: 0 for the first clause of the reply.
        text: as the language model wrote it; may be empty in the last one.
        last: nothing follows.
        answer: False for an acknowledgement, which never counts as the answer.
        language: the language to speak.
        watch: with LLM_START, FIRST_TOKEN and FIRST_CLAUSE.
    """

    session: int
    turn: int
    revision: int
    epoch: int
    index: int
    text: str
    last: bool
    answer: bool
    language: str
    watch: Stopwatch


class Playback(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """One clause of the reply as sound, for the loudspeaker.

    Attributes:
        session: slot.
        turn: the turn that is answered.
        revision: which version of it.
        epoch: see `Clause`.
        clause: index of the clause.
        rate_hz: sample rate of `pcm`.
        pcm: int16 little-endian mono.
        text: the clause as the language model wrote it.
        words: for each word in order: (sample of `pcm` at which it ends, index in `text` at which it ends).
        answer: False for an acknowledgement, which never counts as the answer.
        last: nothing follows.
        watch: with TTS_START and FIRST_PCM.
    """

    session: int
    turn: int
    revision: int
    epoch: int
    clause: int
    rate_hz: int
    pcm: bytes
    text: str
    words: list[tuple[int, int]]
    answer: bool
    last: bool
    watch: Stopwatch


class Trace(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """Where one turn's time went: written at its first audible sample, or when it was cancelled before.

    Attributes:
        session: slot.
        conversation: see `Open`.
        turn: which turn.
        revision: which version of it.
        stamps: nanoseconds by `latency.stopwatch.Stamp`, 0 for what has not happened.
        budget_ms: what was allowed.
        rungs: see `Stopwatch`.
        breach: the stage that overspent when the budget was missed, else None.
        cancelled: "stage: reason" when nobody heard an answer, else None.
        words: whether the user had said anything that could be written down.
    """

    session: int
    conversation: str
    turn: int
    revision: int
    stamps: list[int]
    budget_ms: int
    rungs: list[str]
    breach: str | None
    cancelled: str | None
    words: bool


Record: TypeAlias = (
    Open | Close | Sound | Heard | Onset | Speech | Pause | Commit | Drop | Transcript | Clause | Playback | Trace
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """The bytes of one record."""
    return _encoder.encode(record)


def decode(payload: bytes | memoryview) -> Record:
    """The record in `payload`; its byte fields are copies.

    Raises:
        RingError: `ring.garbled`, when the bytes are no record of this version.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # msgspec lets the latter two through
        raise RingError("garbled", f"A record of {len(payload)} bytes cannot be read: {error}.") from error
