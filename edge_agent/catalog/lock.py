"""A lock between processes: a file locked by the kernel, free again the moment its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from edge_agent.errors import CatalogError

POLL_S = 0.1


@contextmanager
def locked(path: Path, patience_s: float, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`; `waiting` is called once when another process has it.

    Raises CatalogError `busy` after `patience_s` seconds, OSError when the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        give_up = monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting:
                    waiting()
                    waiting = None
                if monotonic() > give_up:
                    raise CatalogError(
                        "busy",
                        f"another process has held {path} for {patience_s:.0f} s; stop it and run this command again",
                    ) from None
                sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)
