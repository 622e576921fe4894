from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.errors import RingError
from edge_agent.ring._atomics import Words
from edge_agent.ring.memory import PAGE, SharedMemory


@pytest.fixture
def memory():
    stretch = SharedMemory.create("test", 100)
    yield stretch
    stretch.close()


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_whole_zeroed_pages(memory: SharedMemory) -> None:
    assert memory.size == PAGE
    assert memory.map[:] == bytes(PAGE)


def test_nobody_can_change_its_size(memory: SharedMemory) -> None:
    for size in (0, 2 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, size)


def test_it_has_no_name(memory: SharedMemory) -> None:
    assert "edge-agent:test (deleted)" in str(Path(f"/proc/self/fd/{memory.fd}").readlink())
    assert not os.get_inheritable(memory.fd)


def test_a_fresh_interpreter_shares_it(memory: SharedMemory) -> None:
    code = """
import sys
from edge_agent.ring.memory import SharedMemory
memory = SharedMemory.attach(int(sys.argv[1]))
memory.words.publish(3, memory.words.load(2) + 1)
memory.close()
"""
    memory.words.publish(2, 41)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(memory.fd)], pass_fds=[memory.fd], check=True, timeout=60
    )
    assert memory.words.load(3) == 42


def test_closing_twice_leaves_nothing() -> None:
    before = descriptors()
    stretch = SharedMemory.create("test", 1)
    stretch.close()
    stretch.close()
    assert descriptors() == before


def test_no_descriptor_left_is_told_and_leaks_none() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open("/dev/null", os.O_RDONLY)]
    try:
        # Room for the memfd, none for the copy of its descriptor that mmap keeps.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, descriptors())) + 1, hard))
        while True:
            try:
                held.append(os.dup(held[0]))
            except OSError:
                break
        os.close(held.pop())
        for _ in range(3):
            with pytest.raises(RingError) as error:
                SharedMemory.create("test", 1)
            assert error.value.code == "ring.memory"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)


@pytest.mark.parametrize("bad", [-1, 10_000])
def test_a_bad_descriptor_is_told(bad: int) -> None:
    with pytest.raises(RingError) as error:
        SharedMemory.attach(bad)
    assert error.value.code == "ring.attach"


def test_an_empty_file_and_a_pipe_are_not_shared_memory() -> None:
    empty = os.memfd_create("empty")
    reading, writing = os.pipe()
    for fd in (empty, reading):
        with pytest.raises(RingError) as error:
            SharedMemory.attach(fd)
        assert error.value.code == "ring.attach"
    for fd in (empty, reading, writing):
        os.close(fd)


class TestWords:
    def test_all_64_bits(self, memory: SharedMemory) -> None:
        for store in (memory.words.store, memory.words.publish):
            for value in (0, 1, 2**63, 2**64 - 1):
                store(5, value)
                assert memory.words.load(5) == value
        assert memory.words.load(4) == memory.words.load(6) == 0
        memory.words.fence()

    @pytest.mark.parametrize("index", [-1, PAGE // 8, 2**70])
    def test_out_of_range(self, memory: SharedMemory, index: int) -> None:
        with pytest.raises((IndexError, OverflowError)):
            memory.words.load(index)
        with pytest.raises((IndexError, OverflowError)):
            memory.words.store(index, 1)
        assert memory.map[:] == bytes(PAGE)

    @pytest.mark.parametrize("value", [-1, 2**64, 1.5, None])
    def test_what_is_no_word(self, memory: SharedMemory, value: object) -> None:
        with pytest.raises((OverflowError, TypeError)):
            memory.words.publish(0, value)
        assert memory.words.load(0) == 0

    def test_after_release_nothing_is_touched(self) -> None:
        buffer = bytearray(64)
        words = Words(buffer)
        words.release()
        words.release()
        with pytest.raises(IndexError):
            words.load(0)
        with pytest.raises(IndexError):
            words.record(0)
        buffer.extend(b"resizable again: no view is left")

    def test_only_writable_aligned_buffers(self) -> None:
        with pytest.raises(BufferError):
            Words(bytes(64))
        with pytest.raises(ValueError, match="aligned"):
            Words(memoryview(bytearray(64))[1:])

    def test_append_is_what_record_reads(self, memory: SharedMemory) -> None:
        memory.words.append(64, 7, b"payload", 7, 0, 1, 80)
        assert memory.words.record(64) == b"payload"
        assert memory.words.load(0) == 7 << 32 | 80
        assert memory.words.load(1) == 80
        assert memory.map[64:80] == b"\x07\0\0\0\x07\0\0\0payload\0"
        memory.words.store(8, 2**32 - 1)
        assert memory.words.record(64) is None, "where a lap ends"

    @pytest.mark.parametrize("at", [-8, 4, PAGE - 8, PAGE, 2**70])
    def test_append_stays_inside(self, memory: SharedMemory, at: int) -> None:
        with pytest.raises((IndexError, OverflowError)):
            memory.words.append(at, 1, b"12345678", 8, 0, 1, 16)
        assert memory.map[:] == bytes(PAGE)

    def test_append_takes_bytes_only(self, memory: SharedMemory) -> None:
        with pytest.raises(TypeError):
            memory.words.append(64, 1, "text", 4, 0, 1, 16)
        with pytest.raises(TypeError):
            memory.words.append(64, 1, b"")
        assert memory.map[:] == bytes(PAGE)

    def test_record_does_not_believe_a_length_beyond_the_end(self, memory: SharedMemory) -> None:
        memory.words.store(8, PAGE)
        with pytest.raises(IndexError):
            memory.words.record(64)


def test_close_with_a_view_left_is_an_error_and_can_be_repeated() -> None:
    stretch = SharedMemory.create("test", 1)
    with closing(stretch):
        view = memoryview(stretch.map)
        with pytest.raises(BufferError):
            stretch.close()
        view.release()
