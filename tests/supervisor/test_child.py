"""What the supervisor makes of a process: from its words and from /proc."""

import os
import signal
import subprocess
import sys

import pytest

from edge_agent.supervisor.child import ASLEEP_S, STARVED_S, Child, thread_states
from edge_agent.supervisor.notify import notify


def ended_up_as(pid: int, wanted: set[str]) -> bool:
    return any(thread_states(pid) == wanted for _ in range(20_000))


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
                               stdout=subprocess.PIPE)  # fmt: skip
    process.stdout.readline()
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_state_of_a_process_is_read_from_its_threads(sleeper):
    assert ended_up_as(sleeper.pid, {"S"})
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert ended_up_as(sleeper.pid, {"T"})
    assert thread_states(2**22 - 1) == set()
    assert "R" in thread_states(os.getpid())


@pytest.mark.parametrize(
    ("states", "leniency_s"),
    [({"T"}, 0.0), ({"S"}, ASLEEP_S), ({"S", "R"}, STARVED_S), ({"D"}, STARVED_S), ({"Z"}, 0.0)],
)
def test_a_starved_process_is_waited_for_longer_than_a_stopped_one(monkeypatch, states, leniency_s):
    monkeypatch.setattr("edge_agent.supervisor.child.thread_states", lambda _: states)
    child = Child.__new__(Child)
    child._process = None
    assert child._leniency_s() == leniency_s


def test_systemd_is_told_only_when_it_asks(tmp_path, monkeypatch):
    import socket

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"
