"""The supervisor: starts the house, watches it, ends it. It imports no model library.

One thread of the supervisor's process watches: a pidfd tells of a death at once, the heartbeat words tell of a
process that hangs. Either way the process is replaced and finds its work where its predecessor left it, because rings
and words outlive it. The thread that starts the children must live as long as they do: their parent-death signal is
tied to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from edge_agent.clock import SECOND, now_ns
from edge_agent.config import Config
from edge_agent.errors import EdgeAgentError, SupervisorError
from edge_agent.ring.station import Station
from edge_agent.supervisor import plan
from edge_agent.supervisor.building import Building
from edge_agent.supervisor.child import Child
from edge_agent.supervisor.models import choose
from edge_agent.supervisor.notify import notify

TICK_MS = 100
STOP_S = 4.0  # one deadline for all to end in order; after it they are killed
LOG_KEEP_BYTES = 4 << 20  # a log that is longer when the house starts is begun anew, the old one kept beside it

log = logging.getLogger("edge_agent.house")


class House:
    """A running pipeline. Use it as a context manager: on entering, the workers are warm.

    Args:
        config: the configuration.
        progress: told what is being waited for, as (name of a worker, whether it is ready).

    Raises:
        CatalogError: a model is missing or broken.
        SupervisorError: `supervisor.gave_up` or `supervisor.spawn`, when the workers cannot be started.

    Attributes:
        building: rings and control page, for observers.
        children: the workers by name.
        restarts: how often a worker had to be replaced.
    """

    def __init__(self, config: Config, progress: Callable[[str, bool], None] = lambda *_: None) -> None:
        self.config = config
        self.restarts = 0
        models = choose(config)
        logs = self._log_folder()
        self.building = Building(config, models)
        self.children = {
            row.name: Child(
                row,
                self.building.manifest(row.name),
                self.building.control.processes[index],
                logs / f"{row.name}.log",
            )
            for index, row in enumerate(plan.PROCESSES)
        }
        self._progress = progress
        self._stations: list[Station] = []
        self._failure: EdgeAgentError | None = None
        self._stopping = threading.Event()
        self._warm = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def _log_folder(self) -> Path:
        folder = self.config.state_dir / "logs"
        try:
            for private in (self.config.state_dir, folder):  # conversations are nobody else's business
                private.mkdir(parents=True, exist_ok=True, mode=0o700)
            for row in plan.PROCESSES:
                path = folder / f"{row.name}.log"
                if path.exists() and path.stat().st_size > LOG_KEEP_BYTES:
                    path.replace(path.with_suffix(".log.1"))
        except OSError as error:
            message = f"No logs can be written to {folder}: {error.strerror}. Set house.state_dir to a writable folder."
            raise SupervisorError("state_dir", message) from error
        return folder

    def __enter__(self) -> House:
        self._thread.start()
        self._warm.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise what ended the house, if anything did. Frontends call it while they wait."""
        if self._failure is not None:
            raise self._failure

    def frontend(self, slot: int = 0) -> Station:
        """The place of the frontend that holds `slot`, in this process."""
        station = Station(self.building.local_manifest(plan.frontend_name(slot)))
        self._stations.append(station)
        return station

    def forget(self, station: Station) -> None:
        """A frontend of this process has closed its station."""
        self._stations.remove(station)

    # The watching thread

    def _watch(self) -> None:
        try:
            for child in self.children.values():
                child.start()
            self._wait_until_warm()
            self._warm.set()
            if not self._stopping.is_set():
                notify("READY=1")
            while not self._stopping.is_set():
                self._round()
                if all(child.ready for child in self.children.values()):
                    notify("WATCHDOG=1")
        except EdgeAgentError as error:
            log.critical("%s", error)
            self._failure = error
        finally:
            self._end_all()
            self._warm.set()

    def _wait_until_warm(self) -> None:
        told: set[str] = set()
        while not self._stopping.is_set() and len(told) < len(self.children):
            self._round()
            for name, child in self.children.items():
                if child.ready and name not in told:
                    told.add(name)
                    self._progress(name, True)

    def _round(self) -> None:
        """Wait for a death or a tick, then see to every child."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for child in self.children.values():
            if child.pidfd >= 0:
                poll.register(child.pidfd, select.POLLIN)
        poll.poll(TICK_MS)
        for name, child in self.children.items():
            if child.pid:
                status = child.reap()
                if status is not None:
                    self.restarts += 1
                    log.error("%s ended with status %d", name, status)
                    child.died(status)
                elif not child.killed and (reason := child.hung()) is not None:
                    log.error("%s hangs: %s", name, reason)
                    child.kill()
        for child in self.children.values():
            if not child.pid and not self._stopping.is_set() and now_ns() >= child.restart_at_ns:
                child.start()

    def _end_all(self) -> None:
        for child in self.children.values():
            child.terminate()
        deadline_ns = now_ns() + int(STOP_S * SECOND)
        for name, child in self.children.items():
            while child.pid and child.reap(max(0.0, (deadline_ns - now_ns()) / SECOND)) is None:
                log.error("%s did not end in %.0f s: killed", name, STOP_S)
                child.kill()
                deadline_ns = now_ns() + SECOND

    def stop(self) -> None:
        """End every worker and give everything back; safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        notify("STOPPING=1")
        for station in self._stations:
            station.close()
        self.building.close()
        os.close(self._wake)

    def idle_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition, up to `timeout_s`; raises what ended the house meanwhile."""
        deadline_ns = now_ns() + int(timeout_s * SECOND)
        while not condition():
            self.check()
            if now_ns() >= deadline_ns:
                return False
            time.sleep(TICK_MS / 1000)
        return True
