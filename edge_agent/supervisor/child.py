"""One worker process: started as a fresh interpreter, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from edge_agent.clock import SECOND, now_ns
from edge_agent.errors import SupervisorError
from edge_agent.ring.control import ProcessControl, ProcessWord
from edge_agent.ring.station import Manifest
from edge_agent.supervisor.plan import ProcessRow

SETTLED_S = 5  # a worker that lives this long after it was ready has not failed to start
FAILURES_MAX = 5  # in a row
BACKOFF_S = (0.0, 0.0, 0.5, 1.0, 2.0)
LOG_TAIL_BYTES = 4_000
ASLEEP_S = 2.0  # leniency with a process all of whose threads sleep
STARVED_S = 10.0  # with one that is runnable or waits for a disk


def thread_states(pid: int) -> set[str]:
    """The states of a process's threads as /proc has them: R runnable, S asleep, D disk, T stopped, Z dead."""
    states: set[str] = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.add(stat.read_text().rsplit(")", 1)[1].split()[0])
        except (OSError, IndexError):
            continue  # the thread ended meanwhile
    return states


class Child:
    """A row of the plan, alive.

    Attributes:
        row: the row.
        pidfd: readable when the process has ended; -1 while none runs.
        pid: of the process; 0 while none runs.
        failures: starts in a row that did not last.
    """

    def __init__(self, row: ProcessRow, manifest: Manifest, control: ProcessControl, log_path: Path) -> None:
        self.row = row
        self.log_path = log_path
        self.pidfd = -1
        self.failures = 0
        self.restart_at_ns = 0
        self._manifest = manifest
        self._control = control
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._ready_ns = 0
        self._killed = False

    @property
    def pid(self) -> int:
        """Process id, 0 while none runs."""
        return self._process.pid if self._process is not None else 0

    @property
    def ready(self) -> bool:
        """Whether its models are loaded and its loop runs."""
        starts = self._control.load(ProcessWord.STARTS)
        return self._process is not None and starts > 0 and self._control.load(ProcessWord.READY) == starts

    def start(self) -> None:
        """Start a fresh interpreter in this row's place.

        Raises:
            SupervisorError: `supervisor.spawn`, when the system refuses.
        """
        self._control.store(ProcessWord.STARTS, self._control.load(ProcessWord.STARTS) + 1)
        body = os.memfd_create(f"edge-agent:manifest:{self.row.name}")
        try:
            os.write(body, msgspec.json.encode(self._manifest))
            os.lseek(body, 0, os.SEEK_SET)
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "edge_agent.workers.loop", self.row.module, str(body)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(*self._manifest.descriptors(), body),
                    env={
                        **os.environ,
                        "PYTHONUNBUFFERED": "1",
                        "OMP_WAIT_POLICY": "PASSIVE",
                        "OPENBLAS_NUM_THREADS": "1",
                        "HF_HUB_OFFLINE": "1",
                    },
                )
            self.pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            raise SupervisorError("spawn", f"{self.row.name} cannot be started: {error.strerror}.") from error
        finally:
            os.close(body)
        self._started_ns = now_ns()
        self._ready_ns = 0

    def hung(self) -> str | None:
        """Why it must be taken for hanging; None when it need not.

        While it loads, it has `loading_s`. After that its loop must come round, or have said how long it needs.
        """
        now = now_ns()
        if not self.ready:
            if now - self._started_ns > self.row.loading_s * SECOND:
                return f"it was not ready after {self.row.loading_s} s"
            return None
        if not self._ready_ns:
            self._ready_ns = now
        if self.failures and now - self._ready_ns > SETTLED_S * SECOND:
            self.failures = 0
        beat = max(self._control.load(ProcessWord.HEARTBEAT_NS), self._ready_ns)
        late_ns = now - max(self._control.load(ProcessWord.PATIENCE_NS), beat + self.row.stale_ms * 1_000_000)
        if late_ns <= 0 or late_ns <= self._leniency_s() * SECOND:
            return None
        return f"its loop has not come round for {(now - beat) // 1_000_000} ms"

    def _leniency_s(self) -> float:
        """How much later than promised its loop may come round, by what its threads are doing.

        A stopped process will not go on by itself. One that is runnable, or waits for a disk, may only be starved by
        others: killing it would make the machine busier still.
        """
        states = thread_states(self.pid)
        if states and states <= {"T", "t", "Z", "X"}:
            return 0.0
        return STARVED_S if states & {"R", "D"} else ASLEEP_S

    def kill(self) -> None:
        """SIGKILL; the supervisor notices the death as any other."""
        if self._process is not None:
            self._process.kill()
            self._killed = True

    @property
    def killed(self) -> bool:
        """Whether `kill` was called and the death not yet noticed."""
        return self._killed

    def terminate(self) -> None:
        """SIGTERM, and SIGCONT so that a stopped process can act on it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)

    def reap(self, timeout_s: float | None = 0.0) -> int | None:
        """Collect the process if it has ended within `timeout_s`; its exit status, negative for a signal."""
        if self._process is None:
            return None
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        os.close(self.pidfd)
        self.pidfd = -1
        self._process = None
        self._killed = False
        return status

    def died(self, status: int) -> None:
        """Count a death and set the time of the next start.

        Raises:
            SupervisorError: `supervisor.gave_up`, when it does not stay alive.
        """
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            raise SupervisorError(
                "gave_up",
                f"{self.row.name} ended {self.failures} times in a row, last with status {status}. "
                f"Its last words in {self.log_path}:\n{self.last_words()}",
            )
        self.restart_at_ns = now_ns() + int(BACKOFF_S[self.failures - 1] * SECOND)

    def last_words(self) -> str:
        """The end of its log."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(no log: {error.strerror})"
        return "\n".join(lines[-8:])
