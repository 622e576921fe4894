"""A stretch of anonymous shared memory (memfd): no name anywhere, gone with its last holder."""

from __future__ import annotations

import fcntl
import mmap
import os

from edge_agent.errors import RingError
from edge_agent.ring._atomics import Words

PAGE = mmap.PAGESIZE


class SharedMemory:
    """Mapped memfd. `fd` may be inherited by a child, which attaches with `SharedMemory.attach(fd)`.

    Attributes:
        fd: file descriptor of the memfd, owned by this object.
        size: length in bytes, a multiple of the page size, sealed for life.
        map: the bytes.
        words: the same bytes as aligned 64-bit words with atomic access.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        # Every page now: none is missing later, and the first lap of a ring is no slower than the others.
        self.map = mmap.mmap(fd, self.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self.words = Words(self.map)

    @classmethod
    def create(cls, name: str, size: int) -> SharedMemory:
        """Make a new stretch of at least `size` bytes, zeroed; `name` is only seen in /proc.

        Raises:
            RingError: `ring.memory`, when the kernel has no memory or no descriptor left.
        """
        fd = -1
        try:
            fd = os.memfd_create(f"edge-agent:{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, -(-size // PAGE) * PAGE)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            message = f"No shared memory for {name} ({size} bytes): {error.strerror}. Free memory or descriptors."
            raise RingError("memory", message) from error

    @classmethod
    def attach(cls, fd: int) -> SharedMemory:
        """Map a memfd that another process made and this one inherited.

        Raises:
            RingError: `ring.attach`, when `fd` is not such a descriptor.
        """
        try:
            return cls(fd)
        except (OSError, ValueError) as error:
            raise RingError("attach", f"Descriptor {fd} is not shared memory of this house: {error}.") from error

    def close(self) -> None:
        """Unmap and close; safe to call twice."""
        if self.fd >= 0:
            self.words.release()
            self.map.close()
            os.close(self.fd)
            self.fd = -1
