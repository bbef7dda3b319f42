"""
Whether the process that writes a run is still there. A run without an end whose writer is gone is `lost`.

On the writer's own machine the process table tells: no such pid, or one that started at another time, since
pids are used again. From another machine only silence tells, and silence is judged by a limit.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import time_ns

from trackbridge.journal.process import boot_id, started_s
from trackbridge.store.records import Session

# Boot time is read in whole seconds, and moves a little when the clock is set.
_START_TOLERANCE_S = 2.0
_STILL_ACTIVE = 259
_QUERY_LIMITED_INFORMATION = 0x1000


@dataclass(frozen=True)
class Liveness:
    """Judges sessions from this machine. `silence_limit_s` is for those of other machines; `now_ns` is the clock."""

    silence_limit_s: float
    now_ns: Callable[[], int] = time_ns
    host: str = field(default_factory=socket.gethostname)
    boot: str | None = field(default_factory=boot_id)

    def is_alive(self, session: Session) -> bool:
        """True when the session's process runs, or may be running on a machine we cannot ask."""
        if session.pid and session.host == self.host and session.boot_id == self.boot:
            return is_running(session.pid, session.pid_started)
        return self.now_ns() - session.last_seen_ns <= self.silence_limit_s * 1e9


def is_running(pid: int, started: float | None) -> bool:
    """True when a process has this pid and, where both are known, began at this time (seconds since the epoch)."""
    # Damage can make any number of a pid, and a negative one would ask about a process group.
    if not 0 < pid < 2**31 or not _has_process(pid):
        return False
    began = started_s(pid)
    return began is None or started is None or abs(began - started) <= _START_TOLERANCE_S


def _has_process(pid: int) -> bool:
    if os.name == "nt":
        return _has_process_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is there, and another user's.
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    # A killed process keeps its pid until its parent asks after it, which a notebook may never do.
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _has_process_on_windows(pid: int) -> bool:
    import ctypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.GetExitCodeProcess.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    kernel.CloseHandle.argtypes = (ctypes.c_void_p,)
    handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
    if not handle:
        # Access denied (5) means that it is there.
        return bool(ctypes.get_last_error() == 5)  # type: ignore[attr-defined,unused-ignore]
    try:
        code = ctypes.c_ulong()
        return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == _STILL_ACTIVE
    finally:
        kernel.CloseHandle(handle)
