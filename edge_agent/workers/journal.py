"""journal: writes down what was said, what was answered and heard, and where each turn's time went.

    transcripts, clauses, traces[k] -> SQLite

A record is released when it is committed, so what a killed journal had not written yet, its successor reads again. The
journal never holds a record back from a writer that waits for room: what happens while the disk refuses, `keeper` says.
"""

from __future__ import annotations

from edge_agent.journal.keeper import Keeper
from edge_agent.journal.life import Life
from edge_agent.journal.schema import FILE_NAME
from edge_agent.records import Record
from edge_agent.workers.loop import Desk

PATIENCE_MS = 15_000  # a disk may take its time


class Stage:
    """The journal."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config, manifest = desk.config, desk.station.manifest
        path = config.state_dir / FILE_NAME
        self._recording = config.journal.enabled
        self._keeper: Keeper | None = None
        if self._recording or path.exists():  # what is there is deleted in time, even if nothing more is kept
            life = Life.current(manifest.supervisor, manifest.control)
            self._keeper = Keeper(path, life, keep_days=config.journal.keep_days)

    def handle(self, record: Record) -> None:
        """See `loop.Stage`."""
        if self._recording and self._keeper is not None:
            with self._desk.step(PATIENCE_MS):
                self._keeper.take(self._ring(), record)

    def _ring(self) -> str:
        """Where the record that is being handled stands: nothing is held, so it alone is read and not released."""
        inlets = self._desk.inlets.values()
        return next((one.name for one in inlets if one.reader.position != one.reader.released), "")

    def idle(self) -> bool:
        """Delete what is too old, bring the file onto the disk, try again what could not be written."""
        if self._keeper is None:
            return False
        with self._desk.step(PATIENCE_MS):
            return self._keeper.tend()

    def close(self) -> None:
        """Close the file."""
        if self._keeper is not None:
            self._keeper.close()
