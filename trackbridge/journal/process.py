"""
Which process wrote a journal, told so that a reader can see whether it is still the same one.

A pid alone is not enough: it is reused, and means nothing on another host or after a reboot.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PROC = Path("/proc")


def started_s(pid: int) -> float | None:
    """When the process began, in seconds since the epoch, or None where the system does not tell.

    Two readings of one process agree within a hundredth of a second on Linux: both come from the kernel's
    boot time and the process's start in clock ticks (field 22 of `/proc/<pid>/stat`, see proc(5)).
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        # The command name, field 2, may hold spaces and parentheses: count fields after the last one.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[19])
        boot = next(
            int(line.split()[1]) for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime ")
        )
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def boot_id() -> str | None:
    """An id of this boot of this machine, or None where the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None
