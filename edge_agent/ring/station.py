"""What one process holds of the house: its rings, its bell, the control page. Made from a manifest that it inherits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from edge_agent.errors import RingError
from edge_agent.ring.bell import Sleeper
from edge_agent.ring.control import ControlPage, ProcessControl, SessionControl
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.notebook import Notebook
from edge_agent.ring.ring import Reader, Writer


class InletEntry(msgspec.Struct, frozen=True):
    """A ring that the process reads reliably: its name, descriptor, and the process's place among the readers."""

    name: str
    fd: int
    reader: int


class OutletEntry(msgspec.Struct, frozen=True):
    """A ring that the process writes: its name, descriptor, and the processes that read it, in reader order."""

    name: str
    fd: int
    readers: list[str]


class Manifest(msgspec.Struct, frozen=True):
    """Everything that a process must know to take its place. Descriptors are valid in the process that gets it.

    Attributes:
        process: the process's name in the plan.
        processes: all names, in the order of their words on the control page.
        sessions: number of session slots.
        control: descriptor of the control page.
        bell: the process's own eventfd.
        bells: eventfds of the processes that it may wake, by name.
        inlets: rings that it reads.
        outlets: rings that it writes.
        notebook: descriptor of its notebook, or None.
        lifeline: read end of a pipe that the supervisor holds open as long as it lives; -1 in its own process.
        supervisor: process id of the supervisor.
        nice: how far the process stands back for the others, as nice(2).
        config: the configuration as JSON.
        models: what each engine opens, by its role.
        chat: how the language model is prompted and sampled, as JSON.
    """

    process: str
    processes: list[str]
    sessions: int
    control: int
    bell: int
    bells: dict[str, int]
    inlets: list[InletEntry]
    outlets: list[OutletEntry]
    notebook: int | None
    lifeline: int
    supervisor: int
    nice: int
    config: str
    models: dict[str, str]
    chat: str

    def descriptors(self) -> list[int]:
        """Every descriptor that the process must inherit."""
        fds = {self.control, self.bell, *self.bells.values()}
        fds.update(entry.fd for entry in self.inlets)
        fds.update(entry.fd for entry in self.outlets)
        fds.update(fd for fd in (self.notebook, self.lifeline) if fd is not None and fd >= 0)
        return sorted(fds)


class Station:
    """A process's place in the house.

    Attributes:
        manifest: what it was made from.
        process: its own words on the control page.
        sessions: the words of every session slot.
        inlets: reliable readers by ring name, in the plan's order.
        outlets: writers by ring name.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._memories: list[SharedMemory] = []
        self._notebooks: list[Notebook] = []
        control = ControlPage(
            self._attach(manifest.control), sessions=manifest.sessions, processes=len(manifest.processes)
        )
        self._control = control
        self.process: ProcessControl = control.processes[manifest.processes.index(manifest.process)]
        self.sessions: Sequence[SessionControl] = control.sessions
        self.inlets = {entry.name: Reader(self._attach(entry.fd), entry.reader) for entry in manifest.inlets}
        self.outlets = {entry.name: self._writer(entry) for entry in manifest.outlets}
        self.sleeper: Sleeper = self.process.sleeper(manifest.bell)
        if manifest.lifeline >= 0:
            self.sleeper.watch(manifest.lifeline)

    def _attach(self, fd: int) -> SharedMemory:
        memory = SharedMemory.attach(fd)
        self._memories.append(memory)
        return memory

    def _writer(self, entry: OutletEntry) -> Writer:
        bells = [self.of(name).bell(self.manifest.bells[name]) for name in entry.readers]
        return Writer(self._attach(entry.fd), readers=len(entry.readers), bells=bells)

    def of(self, process: str) -> ProcessControl:
        """Another process's words."""
        return self._control.processes[self.manifest.processes.index(process)]

    def notebook(self, keep: Callable[[Sequence[bytes]], Sequence[bytes]]) -> Notebook:
        """The process's notebook (see `ring.notebook`).

        Raises:
            RingError: `ring.notebook`, when the plan gives it none.
        """
        if self.manifest.notebook is None:
            raise RingError("notebook", f"The plan gives {self.manifest.process} no notebook.")
        notebook = Notebook(self._attach(self.manifest.notebook), keep)
        self._notebooks.append(notebook)
        return notebook

    def orphaned(self, stirred: Sequence[int]) -> bool:
        """Whether the supervisor is gone: its end of the lifeline closed."""
        return self.manifest.lifeline in stirred or (
            self.manifest.lifeline >= 0 and os.getppid() != self.manifest.supervisor
        )

    def close(self) -> None:
        """Unmap everything; the descriptors of attached memory are closed too."""
        for reader in self.inlets.values():
            reader.close()
        for writer in self.outlets.values():
            writer.close()
        for notebook in self._notebooks:
            notebook.close()
        for memory in self._memories:
            memory.close()
