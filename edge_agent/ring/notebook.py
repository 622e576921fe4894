"""What one worker must still know after it was killed: a ring that it writes for itself.

The worker is the ring's only writer and its only reliable reader, so nothing is overwritten until the worker says so,
and a successor reads everything that was noted, in order. When the ring is full the worker says which notes still
matter; they are written again before the old ones are let go, so a death at any moment loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_agent.errors import RingError
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader, Writer


class Notebook:
    """Notes of one worker.

    Args:
        memory: a ring with one reliable reader, both ends of which are this worker's.
        keep: given all notes in order, returns those that still matter; at most a third of the ring.
    """

    def __init__(self, memory: SharedMemory, keep: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
        self._writer = Writer(memory, readers=1, observed=False)
        self._memory = memory
        self._keep = keep

    def notes(self) -> list[bytes]:
        """Everything noted and not let go, oldest first. Notes may stand twice after a death while tidying."""
        reader = Reader(self._memory, 0)
        found = []
        while (note := reader.read()) is not None:
            found.append(note)
        reader.close()
        return found

    def add(self, note: bytes) -> None:
        """Remember one thing.

        Raises:
            RingError: `ring.full`, when what `keep` returns leaves no room for it.
        """
        if self._writer.used + len(note) > self._writer.capacity // 3:
            self._tidy()
        if not self._writer.try_write(note):
            raise RingError("full", f"The notebook has no room for {len(note)} bytes beside what must be kept.")

    def _tidy(self) -> None:
        reader = Reader(self._memory, 0)
        old = []
        while (note := reader.read()) is not None:
            old.append(note)
        for note in self._keep(old):
            if not self._writer.try_write(note):
                raise RingError("full", "What must be kept does not fit the notebook.")
        reader.release()
        reader.close()

    def close(self) -> None:
        """Let go of the memory (which its owner closes)."""
        self._writer.close()
