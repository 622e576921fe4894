"""What one worker must still know after it was killed: a ring that it writes for itself.

The worker is the ring's only writer and its only reliable reader, so nothing is overwritten until the worker says so,
and a successor reads everything that was noted, in order. When the ring is full the worker says which notes still
matter; they are copied to the end, and only when the last of them is followed by a mark that says so do they stand for
what was before. So a death at any moment loses no note, and shows none twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from edge_agent.errors import RingError
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader, Writer

_NOTE, _COPY, _COPIED = b"n", b"c", b"d"  # first byte of each record: a note, a copy of one, all are copied


class Notebook:
    """Notes of one worker.

    Args:
        memory: a ring with one reliable reader, both ends of which are this worker's.
        keep: given all notes in order, returns those that still matter; at most a third of the ring. The note that is
            being added is not among them yet.
    """

    def __init__(self, memory: SharedMemory, keep: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
        self._writer = Writer(memory, readers=1, observed=False)
        self._memory = memory
        self._keep = keep

    def notes(self) -> list[bytes]:
        """Everything noted and not let go, oldest first."""
        with closing(Reader(self._memory, 0)) as reader:
            return _notes(reader)

    def add(self, note: bytes) -> None:
        """Remember one thing.

        Raises:
            RingError: `ring.full`, when what `keep` returns leaves no room for it.
        """
        if self._writer.used + len(note) > self._writer.capacity // 3:
            self._tidy()
        if not self._writer.try_write(_NOTE + note):
            raise RingError("full", f"The notebook has no room for {len(note)} bytes beside what must be kept.")

    def _tidy(self) -> None:
        with closing(Reader(self._memory, 0)) as reader:
            old = _notes(reader)
            copies = [_COPY + note for note in self._keep(old)]
            if not all(self._writer.try_write(record) for record in (*copies, _COPIED)):
                raise RingError("full", "What must be kept does not fit the notebook.")
            reader.release()

    def close(self) -> None:
        """Let go of the memory (which its owner closes)."""
        self._writer.close()


def _notes(reader: Reader) -> list[bytes]:
    """All that `reader` finds, less what was copied, and less copies that a death cut short."""
    notes: list[bytes] = []
    copies: list[bytes] = []
    while (record := reader.read()) is not None:
        kind, note = record[:1], record[1:]
        if kind == _COPY:
            copies.append(note)
        elif kind == _COPIED:
            notes, copies = copies, []
        else:
            notes.append(note)
            copies = []
    return notes
