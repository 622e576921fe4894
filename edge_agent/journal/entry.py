"""A record as the journal read it: from which ring, and when."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.clock import MS
from edge_agent.records import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it was read.

    Attributes:
        ring: where.
        record: what.
        wall_ms: when, in milliseconds since 1970 UTC.
        at_ns: the same moment on the monotonic clock, by which the record's stamps are turned into wall-clock times.
    """

    ring: str
    record: Record
    wall_ms: int
    at_ns: int

    def wall_ms_of(self, stamp_ns: int) -> int:
        """The wall-clock time of a monotonic stamp; of this entry's reading, when there is no stamp."""
        return self.wall_ms - (self.at_ns - stamp_ns) // MS if stamp_ns else self.wall_ms
