"""The house's memory and descriptors, made once from the plan: rings, control page, bells, manifests."""

from __future__ import annotations

import os

from edge_agent.config import Config
from edge_agent.ring import ring
from edge_agent.ring.bell import Bell
from edge_agent.ring.control import ControlPage, page_bytes
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.notebook import Notebook
from edge_agent.ring.station import InletEntry, Manifest, OutletEntry
from edge_agent.supervisor import plan
from edge_agent.supervisor.models import ChosenModels


class Building:
    """Everything shared between the processes of one house.

    Attributes:
        control: the control page.
        names: processes in the order of their words.
        rings: memory of each ring by name.
    """

    def __init__(self, config: Config, models: ChosenModels) -> None:
        slots = config.house.slots
        self.names = plan.process_names(slots)
        size = page_bytes(slots, len(self.names))
        self.control = ControlPage(SharedMemory.create("control", size), sessions=slots, processes=len(self.names))
        self._rows = plan.rings(slots)
        self.rings = {row.name: ring.create(row.name, row.capacity) for row in self._rows}
        self._notebooks = {
            row.name: ring.create(f"notes.{row.name}", row.notebook) for row in plan.PROCESSES if row.notebook
        }
        self._bells = {name: Bell.make_fd() for name in self.names}
        self.lifeline, self._lifeline_end = os.pipe2(os.O_CLOEXEC)
        self._config = config
        self._models = models

    def notes(self, process: str) -> list[bytes]:
        """What a worker has noted for its successor."""
        notebook = Notebook(self._notebooks[process], list)
        try:
            return notebook.notes()
        finally:
            notebook.close()

    def manifest(self, process: str) -> Manifest:
        """What `process` has to inherit to take its place."""
        outlets = [
            OutletEntry(row.name, self.rings[row.name].fd, list(row.readers))
            for row in self._rows
            if row.writer == process
        ]
        inlets = [
            InletEntry(row.name, self.rings[row.name].fd, row.readers.index(process))
            for row in self._rows
            if process in row.readers
        ]
        woken = {reader for entry in outlets for reader in entry.readers}
        notebook = self._notebooks.get(process)
        return Manifest(
            process,
            self.names,
            self._config.house.slots,
            self.control.memory.fd,
            self._bells[process],
            {name: self._bells[name] for name in self.names if name in woken},
            inlets,
            outlets,
            notebook.fd if notebook is not None else None,
            self.lifeline,
            os.getpid(),
            next((row.nice for row in plan.PROCESSES if row.name == process), 0),
            self._config.to_json(),
            self._models.opens,
            self._models.chat.model_dump_json(),
        )

    def local_manifest(self, process: str) -> Manifest:
        """The same for a station in the supervisor's own process, with descriptors of its own."""
        manifest = self.manifest(process)
        return Manifest(
            **{
                **{name: getattr(manifest, name) for name in manifest.__struct_fields__},
                "control": os.dup(manifest.control),
                "inlets": [InletEntry(one.name, os.dup(one.fd), one.reader) for one in manifest.inlets],
                "outlets": [OutletEntry(one.name, os.dup(one.fd), one.readers) for one in manifest.outlets],
                "lifeline": -1,
            }
        )

    def close(self) -> None:
        """Give everything back to the system. No process of the house may be left."""
        for memory in (*self.rings.values(), *self._notebooks.values(), self.control.memory):
            memory.close()
        for fd in (*self._bells.values(), self.lifeline, self._lifeline_end):
            os.close(fd)
