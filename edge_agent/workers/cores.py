"""How many cores are free right now, for engines whose threads wait for each other.

llama.cpp's threads meet after every operation: with as many threads as cores, one neighbour that runs makes all of
them wait for a time slice, and a hundred tokens a second become a handful. So a step never takes more threads than
there are cores on which nothing else runs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LOADAVG = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": the fourth is runnable/all threads, see proc(5)
LOOK_S = 0.0003


def free_cores(wanted: int, looks: int = 1) -> int:
    """Cores without a runnable thread of anybody else: at least 1, at most `wanted`, which is also the answer where the
    system does not tell.

    Who wakes others is seen among them for a moment: more `looks`, a third of a millisecond apart, find out who stays.
    """
    cores = len(os.sched_getaffinity(0))
    free = 1
    for look in range(looks):
        if look:
            time.sleep(LOOK_S)
        try:
            runnable = int(LOADAVG.read_text().split()[3].split("/")[0])
        except (OSError, IndexError, ValueError):
            return min(wanted, cores)
        free = max(free, min(wanted, cores - (runnable - 1)))  # this thread is one of them
        if free == wanted:
            break
    return free
