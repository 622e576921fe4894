"""Waking a process: one eventfd per process, rung only when its owner said that it sleeps.

The owner stores `asleep`, looks once more at its rings and only then blocks; a writer publishes its record and only
then looks at `asleep`. Both stores are sequentially consistent, so at least one of the two sees the other (Dekker's
argument) and no wake-up is lost; while the owner is awake, ringing costs one load and no system call.

`asleep` counts: odd while the owner sleeps, even while it is awake, and never the same twice, not even in a successor.
So a writer knows for which sleep it has rung, and the records that it writes while the owner is waking up, which takes
longer than writing them, cost no system call either.
"""

from __future__ import annotations

import os
import select

from edge_agent.errors import RingError
from edge_agent.ring._atomics import Words


class Bell:
    """One process's doorbell, as anybody may hold it.

    Args:
        words: the page that holds the `asleep` word.
        index: which word; only the owner of the bell writes it.
        fd: the eventfd (non-blocking), inherited by every writer into the owner's rings.
    """

    def __init__(self, words: Words, index: int, fd: int) -> None:
        self._words = words
        self._index = index
        self._rung_for = 0
        self.fd = fd

    @staticmethod
    def make_fd() -> int:
        """A new eventfd for one process.

        Raises:
            RingError: `ring.memory`, when no descriptor is left.
        """
        try:
            return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise RingError("memory", f"No eventfd: {error.strerror}. Raise the limit of open files.") from error

    def ring(self) -> None:
        """Wake the owner if it sleeps. Called by writers, after they have published."""
        asleep = self._words.load(self._index)
        if asleep & 1 and asleep != self._rung_for:
            try:
                os.eventfd_write(self.fd, 1)
            except BlockingIOError:
                return  # the counter is full of unread rings: the owner is as woken as can be
            self._rung_for = asleep


class Sleeper:
    """The owner's side of a bell: block until a writer rings, a watched descriptor stirs, or time is up."""

    def __init__(self, words: Words, index: int, fd: int) -> None:
        self._words = words
        self._index = index
        self._fd = fd
        self._rung = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._awake = words.load(index) + 1 & ~1  # a predecessor may have been killed in its sleep
        words.publish(index, self._awake)

    def watch(self, fd: int) -> None:
        """Also wake up when `fd` becomes readable or is hung up."""
        self._poll.register(fd, select.POLLIN)

    def prepare(self) -> None:
        """Say that we are about to sleep; look at every ring once more between this and `sleep`."""
        if self._rung:  # silenced here rather than on waking: the record that woke us is served first
            self._rung = False
            os.eventfd_read(self._fd)
        self._words.publish(self._index, self._awake + 1)

    def sleep(self, timeout_ms: float) -> list[int]:
        """Block at most `timeout_ms`; the descriptors that ended it (ours is the bell), none when time did.

        A time that is already over does not block: to poll(2) a negative one would mean for ever.
        """
        stirred = [fd for fd, _ in self._poll.poll(timeout_ms if timeout_ms > 0 else 0)]
        self.stay_awake()
        self._rung = self._fd in stirred
        return stirred

    def stay_awake(self) -> None:
        """Take `prepare` back: the second look found something."""
        self._awake += 2
        self._words.store(self._index, self._awake)
