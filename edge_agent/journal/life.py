"""Which life of the house a row belongs to, and whether that life is still going on.

Slots and turn numbers begin anew with every house, and two houses may share one journal (a service, and somebody trying
something out beside it). A life is named by the boot, the supervisor's process and the house's control page; it is over
when that process is gone, or now belongs to another house.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Life(NamedTuple):
    """One life of the house.

    Attributes:
        boot: the kernel's name for this boot.
        pid: of the supervisor.
        started: when that process began, in clock ticks since the boot.
        page: inode of the control page, which no other house of the boot has.
    """

    boot: str
    pid: int
    started: int
    page: int

    def __str__(self) -> str:
        return "/".join(str(part) for part in self)

    @classmethod
    def current(cls, supervisor: int, control_fd: int) -> Life:
        """The life of the house whose control page is open as `control_fd`."""
        return cls(_boot(), supervisor, _started(supervisor), os.fstat(control_fd).st_ino)

    @classmethod
    def parse(cls, text: str) -> Life | None:
        """The opposite of `str`; None when `text` is no life."""
        boot, *numbers = text.split("/")
        try:
            pid, started, page = (int(number) for number in numbers)
        except ValueError:
            return None
        return cls(boot, pid, started, page)

    def ended_before(self, now: Life) -> bool:
        """Whether this life is over, in the life `now`."""
        if self[:3] == now[:3]:
            return self.page != now.page
        return self.boot != now.boot or _started(self.pid) != self.started


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int:
    """0 when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rsplit(")", 1)[1].split()[19])  # field 22; the second one may hold anything, brackets included
