"""How many cores are free right now, for engines whose threads wait for each other.

llama.cpp's threads meet after every operation: with as many threads as cores, one neighbour that runs makes all of
them wait for a time slice, and a hundred tokens a second become a handful. So a step never takes more threads than
there are cores on which nothing else runs.
"""

from __future__ import annotations

import os
from pathlib import Path

LOADAVG = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": the fourth is runnable/all threads, see proc(5)


def free_cores() -> int:
    """Cores without a runnable thread of anybody else, at least 1; all of them where the system does not tell."""
    cores = len(os.sched_getaffinity(0))
    try:
        runnable = int(LOADAVG.read_text().split()[3].split("/")[0])
    except (OSError, IndexError, ValueError):
        return cores
    return max(1, cores - (runnable - 1))  # this thread is one of them
