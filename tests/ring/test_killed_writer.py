"""A writer that dies between any two stores leaves whole records, and its successor goes on without a gap.

Two ways to die, both in a fresh interpreter that runs this file:

- `opcodes`: a forked writer traces itself and sends itself SIGKILL at the n-th bytecode of one write, for every n.
- `instructions`: a writer is single-stepped through one write with ptrace. Whatever the shared memory holds after
  each store is what a SIGKILL there would leave; each such state is copied and checked as if the writer had died.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import pytest

from edge_agent.ring import bell as bell_module
from edge_agent.ring import ring as ring_module
from edge_agent.ring.bell import Bell
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Observer, Reader, Writer, create

CAPACITY = 4096
ASLEEP = 500  # a free word of the header page
PTRACE_TRACEME, PTRACE_SINGLESTEP = 0, 9


def body(number: int, size: int) -> bytes:
    """Bytes that no other record has anywhere."""
    return bytes((number * 37 + i) % 251 for i in range(size))


@dataclass
class Case:
    """A ring with history, observers that stand at different distances behind, and the write that dies."""

    memory: SharedMemory
    records: list[bytes]  # written so far
    observers: list[tuple[Observer, int]]  # with the number of its first record
    unread: int  # records that the reliable reader has not released
    fatal: bytes
    bell: int


CASES = {
    # name: (sizes of the history, size of the fatal record)
    "unpadded, over an old lap": ([200] * 26, 700),
    "padded, over an old lap": ([200] * 37, 700),
    "fills the lap exactly": ([504] * 7, 504),
    "longest": ([200] * 30, CAPACITY // 2 - 8),
    "empty": ([200] * 21, 0),
    "many little ones reserved ahead": ([9] * 200, 9),
}


def make(name: str) -> Case:
    sizes, fatal = CASES[name]
    memory = create("killed", CAPACITY)
    records: list[bytes] = []
    observers = [(Observer(memory), 0)]
    writer = Writer(memory, readers=1)
    reader = Reader(memory, 0)
    for size in sizes:
        records.append(body(len(records), size))
        assert writer.try_write(records[-1])
        observers.append((Observer(memory), len(records)))
        reader.read()
        if len(records) < len(sizes):
            reader.release()
    reader.close()
    writer.close()
    fd = Bell.make_fd()
    return Case(memory, records, observers, min(1, len(sizes)), body(len(records), fatal), fd)


def check(case: Case, died: str) -> bool:
    """Everybody sees whole records only and a successor continues; True when the fatal record was published."""
    with closing(Reader(case.memory, 0)) as reader:
        seen = []
        while (record := reader.read()) is not None:
            seen.append(record)
        before = case.records[len(case.records) - case.unread :]
        published = len(seen) > len(before)
        assert seen == ([*before, case.fatal] if published else before), died
        written = case.records + [case.fatal] * published
        fresh = Observer(case.memory)
        fresh_from = len(written)
        case.memory.words.publish(ASLEEP, 1)
        with closing(Writer(case.memory, readers=1, bells=[Bell(case.memory.words, ASLEEP, case.bell)])) as successor:
            assert os.eventfd_read(case.bell) >= 1, "the successor wakes a reader that its predecessor did not"
            reader.release()
            # The first is short: it covers less than the dead one may have scribbled over.
            for size in (3, 60, 1200, 40):
                look(case.observers, written, died)
                written.append(body(len(written), size))
                assert successor.try_write(written[-1]), died
                assert reader.read() == written[-1], died
                reader.release()
            look([*case.observers, (fresh, fresh_from)], written, died)
            assert fresh.lost == 0, died
        for observer, first in [*case.observers, (fresh, fresh_from)]:
            got = GOT.pop(id(observer), 0)
            assert got + observer.lost == len(written) - first, died
            observer.close()
    return published


GOT: dict[int, int] = {}


def look(observers: list[tuple[Observer, int]], written: list[bytes], died: str) -> None:
    """Each observer reads on: only whole records, and exactly the one that its count of losses points to."""
    for observer, first in observers:
        while (record := observer.read()) is not None:
            number = first + GOT.get(id(observer), 0) + observer.lost
            assert record == written[number], f"{died}: an observer got something torn or out of place for {number}"
            GOT[id(observer)] = GOT.get(id(observer), 0) + 1


def die_at_opcode(case: Case, nth: int) -> None:
    """In a forked child: never returns unless the write has fewer opcodes."""
    files = {ring_module.__file__, bell_module.__file__}
    case.memory.words.publish(ASLEEP, 1)
    writer = Writer(case.memory, readers=1, bells=[Bell(case.memory.words, ASLEEP, case.bell)])
    left = nth

    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)
    writer.try_write(case.fatal)
    sys.settrace(None)


def dispose(case: Case) -> None:
    os.close(case.bell)
    case.memory.close()


def opcodes(name: str) -> dict[str, int]:
    """Kill at every opcode of one write."""
    deaths = published = 0
    while True:
        case = make(name)
        pid = os.fork()
        if pid == 0:
            die_at_opcode(case, deaths)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        survived = os.WIFEXITED(status)
        if survived:
            assert os.WEXITSTATUS(status) == 0
        else:
            assert os.WTERMSIG(status) == signal.SIGKILL
            deaths += 1
        published += check(case, f"{name}, opcode {deaths}") and not survived
        dispose(case)
        if survived:
            return {"deaths": deaths, "published": published}


def copied(case: Case, image: bytes) -> Case:
    """The case as it stands in `image`: same ring, same observers, other memory."""
    memory = SharedMemory.create("copy", len(image))
    memory.map[:] = image
    observers = []
    for original, first in case.observers:
        twin = Observer(memory)
        twin._position, twin._expected, twin.lost = original._position, original._expected, original.lost
        observers.append((twin, first))
    return Case(memory, case.records, observers, case.unread, case.fatal, Bell.make_fd())


def instructions(name: str) -> dict[str, int]:
    """Check what every single store of one write leaves behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    case = make(name)
    pid = os.fork()
    if pid == 0:
        scratch = Writer(create("scratch", CAPACITY), readers=0)
        for _ in range(100):  # let the interpreter specialize its bytecode: a fifth of the instructions to step through
            scratch.try_write(case.fatal)
        writer = Writer(case.memory, readers=1)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        writer.try_write(case.fatal)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSTOPPED(status)
    images = [bytes(case.memory.map)]
    steps = 0
    while True:
        if libc.ptrace(PTRACE_SINGLESTEP, pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        _, status = os.waitpid(pid, 0)
        assert os.WIFSTOPPED(status), status
        if os.WSTOPSIG(status) == signal.SIGSTOP and steps:
            break
        steps += 1
        if case.memory.map[:] != images[-1]:
            images.append(bytes(case.memory.map))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    published = 0
    for number, image in enumerate(images):
        state = copied(case, image)
        published += check(state, f"{name}, store {number}")
        dispose(state)
    for observer, _ in case.observers:
        observer.close()
    dispose(case)
    return {"steps": steps, "stores": len(images) - 1, "published": published}


def run(way: Callable[[str], dict[str, int]], name: str) -> dict[str, int]:
    command = [sys.executable, "-W", "error", __file__, way.__name__, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["unpadded, over an old lap", "padded, over an old lap"])
def test_killed_at_every_opcode(name: str) -> None:
    found = run(opcodes, name)
    assert found["deaths"] > 80, "the trace saw the write"
    assert 0 < found["published"] < found["deaths"], "deaths on both sides of publishing"


@pytest.mark.parametrize("name", CASES)
def test_killed_after_every_store(name: str) -> None:
    found = run(instructions, name)
    assert found["stores"] >= 3, "at least the header, the ledger and the head"
    assert found["published"] == 1, "the very last store publishes, and none before it"


if __name__ == "__main__":
    print(json.dumps({"opcodes": opcodes, "instructions": instructions}[sys.argv[1]](sys.argv[2])))
