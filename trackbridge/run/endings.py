"""
How a run ends when nobody ends it: an uncaught exception, the interpreter's exit, SIGTERM or SIGHUP.

Signals are taken only where the program has no handler of its own. SIGKILL and `os._exit` leave no trace:
readers see that the process is gone, and say `lost`.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType, TracebackType

from trackbridge.errors import JournalWriteError
from trackbridge.run.run import Run

_open: list[Run] = []
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def watch(run: Run) -> None:
    """End this run truthfully if its owner does not."""
    if not _is_installed(sys.excepthook):
        _chain_excepthook()
        atexit.register(_end_at_exit)
    _take_free_signals()
    _open[:] = [other for other in _open if not other.is_closed]
    _open.append(run)


def innermost_open() -> Run | None:
    """The run of this process that was opened last and is still open."""
    return next((run for run in reversed(_open) if not run.is_closed), None)


def _is_installed(hook: object) -> bool:
    return bool(getattr(hook, "ends_runs_of_trackbridge", False))


def _chain_excepthook() -> None:
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        # At an interactive prompt the process lives on after an error, and so does the run.
        if not hasattr(sys, "ps1"):
            for run in reversed(_open):
                run.end_by(error)
        previous(kind, error, traceback)

    hook.ends_runs_of_trackbridge = True  # type: ignore[attr-defined]  # a mark on our own function
    sys.excepthook = hook


def _end_at_exit() -> None:
    # An excepthook that was set after ours may not call it; the interpreter itself notes the error here.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    for run in reversed(_open):
        try:
            run.finish() if error is None else run.end_by(error)
        except JournalWriteError as error:
            sys.stderr.write(f"trackbridge: {error}\n")


def _take_free_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _die_truthfully)


def _die_truthfully(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    # The interrupted main thread may be inside a write and hold the journal's lock. Another thread can wait
    # for it, and once it has the lock nobody writes after the last line.
    try:
        threading.Thread(target=_end_killed, args=(number,), daemon=True).start()
    except RuntimeError:
        os.kill(os.getpid(), number)


def _end_killed(number: int) -> None:
    try:
        for run in reversed(_open):
            run.end_killed(signal.Signals(number).name, 128 + number)
    finally:
        os.kill(os.getpid(), number)


def _forget_in_child() -> None:
    # The runs are the parent's to end, and a DataLoader worker is ended by SIGTERM as a matter of course.
    _open.clear()
    for number in _SIGNALS:
        if signal.getsignal(number) is _die_truthfully:
            signal.signal(number, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
