"""Records that wait for the disk: so many bytes and no more, oldest first."""

from __future__ import annotations

from collections import deque

from edge_agent.journal.entry import Entry
from edge_agent.records import encode


class Backlog:
    """A queue with a bound. What no longer fits is not kept, and counted.

    Args:
        bytes_max: of the records as they stood in their rings.

    Attributes:
        lost: records that were not kept.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: deque[tuple[int, Entry]] = deque()
        self._bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Keep one more record. Once one was refused, so are all behind it: a gap has a beginning and an end."""
        size = len(encode(entry.record))
        if self.lost or self._bytes + size > self._bytes_max:
            self.lost += 1
            return
        self._entries.append((size, entry))
        self._bytes += size

    def first(self) -> Entry:
        """The oldest record."""
        return self._entries[0][1]

    def remove_first(self) -> None:
        """The oldest record is dealt with."""
        size, _ = self._entries.popleft()
        self._bytes -= size
