"""
The relay's log, `<run>/delivery/relay.log`: everything this process and the SDKs in it print, with secrets masked.

SDKs print to the terminal from Python, from C and from processes of their own. So the standard streams themselves
lead into a pipe, and a thread carries what comes out of it to the log of the run that is being delivered.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from trackbridge.events.redact import is_secret_variable, mask_text
from trackbridge.journal.cursor import delivery_folder
from trackbridge.settings import variables_named

LOG_NAME = "relay.log"
MAX_LOG_BYTES = 8 << 20
_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"


def masked(text: str) -> str:
    """The text without credentials: those in this process's environment, and whatever has the shape of one."""
    return mask_text(text, secrets=variables_named(is_secret_variable))


class RelayLog:
    """Where the output of this process goes from `take_over` on; `run_folder` may change as runs are delivered."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder

    def take_over(self) -> None:
        """Lead standard output and error into the log, for the rest of the process's life."""
        out, entrance = os.pipe()
        _lead_into(entrance)
        self._carrier = threading.Thread(target=self._carry, args=(out,), name="log", daemon=True)
        self._carrier.start()
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_FORMAT, force=True)
        # Registered before any SDK is imported, so called after their last words.
        atexit.register(self._drain)

    def _drain(self) -> None:
        _lead_into(os.open(os.devnull, os.O_WRONLY))
        # A process that an SDK started may keep the pipe open for longer.
        self._carrier.join(timeout=1.0)

    def _carry(self, out: int) -> None:
        with os.fdopen(out, "r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # Whoever prints must never wait for a disk that is full.
                with suppress(OSError):
                    self._append(masked(line))

    def _append(self, line: str) -> None:
        path = delivery_folder(self.run_folder) / LOG_NAME
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(line)
            is_full = log.tell() > MAX_LOG_BYTES
        if is_full:
            path.replace(path.with_suffix(".log.1"))


def _lead_into(fd: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
