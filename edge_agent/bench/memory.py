"""What the processes of a house hold in memory.

RSS counts every page that is resident in a process, so the rings and the libraries' code, which the processes share,
are counted once for each. PSS divides a shared page among those who share it: its sum is what the house really takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from edge_agent.supervisor.house import House

HERE = "frontend and supervisor"  # in this process, with the benchmark itself
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (MiB) by process at one moment."""

    pss_mib: dict[str, float]
    rss_mib: dict[str, float]

    @property
    def total_pss_mib(self) -> float:
        """Of all processes together: what they take."""
        return round(sum(self.pss_mib.values()), 1)

    @property
    def total_rss_mib(self) -> float:
        """Of all processes, what they share counted once for each."""
        return round(sum(self.rss_mib.values()), 1)

    def to_json(self) -> dict[str, object]:
        """The figures as a JSON object."""
        return {
            "pss_mib": self.pss_mib,
            "rss_mib": self.rss_mib,
            "total_pss_mib": self.total_pss_mib,
            "total_rss_mib": self.total_rss_mib,
        }


def of_house(house: House) -> Memory:
    """Look at every process of a house; one that is being replaced just now is left out."""
    return of_processes({HERE: os.getpid()} | {name: child.pid for name, child in house.children.items() if child.pid})


def of_processes(pids: Mapping[str, int]) -> Memory:
    """Look at processes by name."""
    pss: dict[str, float] = {}
    rss: dict[str, float] = {}
    for name, pid in pids.items():
        try:
            found = psutil.Process(pid).memory_full_info()
        except psutil.NoSuchProcess:
            continue  # ended meanwhile
        pss[name], rss[name] = round(found.pss / MIB, 1), round(found.rss / MIB, 1)
    return Memory(pss, rss)
