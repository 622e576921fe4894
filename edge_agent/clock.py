"""The one clock: CLOCK_MONOTONIC in nanoseconds, the same in every process of the machine."""

from __future__ import annotations

from time import monotonic_ns

MS = 1_000_000  # nanoseconds in a millisecond
SECOND = 1_000_000_000  # nanoseconds in a second


def now_ns() -> int:
    """Monotonic nanoseconds, comparable between processes, unaffected by changes of the wall clock."""
    return monotonic_ns()


def ms_between(start_ns: int, end_ns: int) -> float:
    """Milliseconds from `start_ns` to `end_ns` (negative when the end came first)."""
    return (end_ns - start_ns) / MS
