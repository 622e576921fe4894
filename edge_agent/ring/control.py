"""The control page: 64-bit words in shared memory, each with a single writer, each on a cache line of its own.

What must be known at once does not queue behind data: which (turn, revision) may be heard, which epoch is over, who
is alive. Reading or writing a word is one atomic access; cancelling is one store.

| word of a session | writer | meaning |
| --- | --- | --- |
| TURN | ears | (turn, revision) that the user is saying now |
| COMMITTED | ears | (turn, revision) that may be heard |
| SETTLED_SAMPLE | ears | capture sample up to which every turn is committed or dropped |
| EPOCH | ears | +1 at every onset of speech: what carries an older epoch is dropped where it stands |
| PLAYING | frontend | 1 while a reply is audible or paused |
| PLAYED_SAMPLES | frontend | samples of the current reply that were really played |

| word of a process | writer | meaning |
| --- | --- | --- |
| ASLEEP | that process | odd while it waits for its bell |
| HEARTBEAT_NS | that process | when its own loop last came round |
| PATIENCE_NS | that process | until when it may be busy with one step; 0 while it is not |
| BUSY_SINCE_NS | that process | when that step began |
| TYPICAL_NS | that process | how long its usual step takes on this machine (measured) |
| STARTS | supervisor | how often it was started |
| READY | that process | the start at which it finished loading |
| RESUMED_AT | that process | ring position at which it last began, to find a record that kills it again and again |
| RESUMED_TIMES | that process | how often it began there |
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from edge_agent.clock import now_ns
from edge_agent.ring._atomics import Words
from edge_agent.ring.bell import Bell, Sleeper
from edge_agent.ring.memory import SharedMemory

LINE = 8  # words in a cache line
REVISION_BITS = 16


class SessionWord(IntEnum):
    """Words of one session slot."""

    TURN = 0
    COMMITTED = 1
    SETTLED_SAMPLE = 2
    EPOCH = 3
    PLAYING = 4
    PLAYED_SAMPLES = 5


class ProcessWord(IntEnum):
    """Words of one process."""

    ASLEEP = 0
    HEARTBEAT_NS = 1
    PATIENCE_NS = 2
    BUSY_SINCE_NS = 3
    TYPICAL_NS = 4
    STARTS = 5
    RESUMED_AT = 6
    RESUMED_TIMES = 7
    READY = 8


class Turn(NamedTuple):
    """What the user is saying, and which version of it. Turn 0 is before the first."""

    turn: int
    revision: int

    def pack(self) -> int:
        """Both in one word, so that one store publishes both."""
        return self.turn << REVISION_BITS | self.revision

    @classmethod
    def unpack(cls, word: int) -> Turn:
        """The opposite of `pack`."""
        return cls(word >> REVISION_BITS, word & (1 << REVISION_BITS) - 1)


def page_bytes(sessions: int, processes: int) -> int:
    """Size of a control page in bytes."""
    return (sessions * len(SessionWord) + processes * len(ProcessWord)) * LINE * 8


class SessionControl:
    """The words of one session slot."""

    def __init__(self, words: Words, slot: int) -> None:
        self._words = words
        self._base = slot * len(SessionWord) * LINE

    def load(self, word: SessionWord) -> int:
        """The value of one word."""
        return self._words.load(self._base + word * LINE)

    def store(self, word: SessionWord, value: int) -> None:
        """Set one word. Only its writer (see the table above) may."""
        self._words.publish(self._base + word * LINE, value)

    @property
    def turn(self) -> Turn:
        """What the user is saying now."""
        return Turn.unpack(self.load(SessionWord.TURN))

    @property
    def committed(self) -> Turn:
        """What may be heard."""
        return Turn.unpack(self.load(SessionWord.COMMITTED))

    @property
    def epoch(self) -> int:
        """Onsets of speech so far."""
        return self.load(SessionWord.EPOCH)

    @property
    def playing(self) -> bool:
        """Whether a reply is audible now."""
        return bool(self.load(SessionWord.PLAYING))


class ProcessControl:
    """The words of one process."""

    def __init__(self, words: Words, sessions: int, index: int) -> None:
        self._words = words
        self._base = (sessions * len(SessionWord) + index * len(ProcessWord)) * LINE

    def load(self, word: ProcessWord) -> int:
        """The value of one word."""
        return self._words.load(self._base + word * LINE)

    def store(self, word: ProcessWord, value: int) -> None:
        """Set one word. Only its writer may."""
        self._words.store(self._base + word * LINE, value)

    def beat(self) -> None:
        """Say that the process's own loop came round."""
        self.store(ProcessWord.HEARTBEAT_NS, now_ns())

    def begin(self, patience_ns: int) -> None:
        """Say that one step begins that may take up to `patience_ns`."""
        now = now_ns()
        self.store(ProcessWord.BUSY_SINCE_NS, now)
        self.store(ProcessWord.PATIENCE_NS, now + patience_ns)

    def end(self) -> int:
        """Say that the step is over; returns how long it took in nanoseconds."""
        now = now_ns()
        took = now - self.load(ProcessWord.BUSY_SINCE_NS)
        self.store(ProcessWord.HEARTBEAT_NS, now)
        self.store(ProcessWord.PATIENCE_NS, 0)
        self.store(ProcessWord.BUSY_SINCE_NS, 0)
        return took

    def bell(self, fd: int) -> Bell:
        """The process's bell, for a writer."""
        return Bell(self._words, self._base + ProcessWord.ASLEEP * LINE, fd)

    def sleeper(self, fd: int) -> Sleeper:
        """The process's bell, for the process itself."""
        return Sleeper(self._words, self._base + ProcessWord.ASLEEP * LINE, fd)


class ControlPage:
    """All words of one house."""

    def __init__(self, memory: SharedMemory, *, sessions: int, processes: int) -> None:
        self.memory = memory
        self.sessions = tuple(SessionControl(memory.words, k) for k in range(sessions))
        self.processes = tuple(ProcessControl(memory.words, sessions, k) for k in range(processes))
