"""
`console.txt` in a run folder: what the run's process printed, in a bounded space.

A print is one `write(2)` to a file opened with `O_APPEND`, so it outlives a killed process. When the file is full, what
a terminal would still show of it moves to `console-earlier.txt`, which keeps the newest of that. So a progress bar,
which writes over itself ten times a second, does not push out the lines around it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Sequence
from os import write as os_write
from pathlib import Path

from trackbridge.events.redact import MASK

CONSOLE, EARLIER = "console.txt", "console-earlier.txt"
HALF_BYTES = 64 << 10
# A form feed begins a session: what an earlier one printed is not what this one printed last.
_NEW_SESSION = b"\f"
_CLOSED = -1
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Control sequences and strings of ECMA-48, 5.4 and 5.6, and control characters but for tab and line feed.
_UNSEEN = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_log = logging.getLogger(__name__)


class ConsoleFile:
    """Appends to the console of a run. Safe for threads and for signal handlers; no method raises an OSError."""

    def __init__(self, run_folder: Path, *, secrets: Sequence[str] = ()) -> None:
        """`secrets` are masked before anything is written."""
        self._path = run_folder / CONSOLE
        self._earlier = run_folder / EARLIER
        self._secrets = secrets
        # Re-entrant: a signal handler may print while this thread is in here.
        self._lock = threading.RLock()
        self._fd = _CLOSED
        self._size_bytes = 0
        self._is_shut = False
        self._is_trouble_told = False
        if self._path.exists():
            self._put(b"\n" + _NEW_SESSION + b"\n")

    def append(self, text: str) -> None:
        """Append what was printed; of a text that is longer than the file may be, only its end."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        self._put(text[-HALF_BYTES:].encode("utf-8", "backslashreplace")[-HALF_BYTES:])

    def close(self) -> None:
        """Record nothing more."""
        with self._lock:
            self._is_shut, fd, self._fd = True, self._fd, _CLOSED
        if fd != _CLOSED:
            os.close(fd)

    def _put(self, content: bytes) -> None:
        try:
            with self._lock:
                if not self._is_shut:
                    self._write(content)
        except OSError as error:
            # Outside of the lock: a handler of the log may wait for somebody who prints.
            self._tell_once(error)

    def _write(self, content: bytes) -> None:
        if self._fd == _CLOSED:
            self._fd = os.open(self._path, _FLAGS | os.O_APPEND, 0o644)
            self._size_bytes = os.fstat(self._fd).st_size
        self._size_bytes += os_write(self._fd, content)
        if self._size_bytes >= HALF_BYTES:
            self._size_bytes = 0
            self._make_room()

    def _make_room(self) -> None:
        # Whoever is killed in here leaves console.txt whole: it is cut last.
        try:
            # By this very descriptor: of a file that was cut to nothing, ext4 brings what it has to the disk as soon as
            # anybody closes it, and the next cut waits for that. See auto_da_alloc in ext4(5).
            os.lseek(self._fd, 0, os.SEEK_SET)
            latest = os.read(self._fd, 2 * HALF_BYTES)
            _rewrite(self._earlier, _shown(_content(self._earlier) + latest)[-HALF_BYTES:])
        finally:
            os.ftruncate(self._fd, 0)

    def _tell_once(self, error: OSError) -> None:
        if not self._is_trouble_told:
            self._is_trouble_told = True
            _log.info("trackbridge cannot keep what is printed in %s: %s", self._path, error)


def console_text(run_folder: Path) -> str:
    """What the last session of a run printed, as far as it was kept; "" where there is nothing that can be read.

    Of a line that was written over, as by a progress bar, it is the last state. Colours and other control sequences
    are left out.
    """
    try:
        kept = _content(run_folder / EARLIER) + _content(run_folder / CONSOLE)
    except OSError:
        return ""
    session = _shown(kept.rpartition(_NEW_SESSION)[2])
    return _UNSEEN.sub("", session.decode("utf-8", "replace")).strip("\n")


def _rewrite(path: Path, content: bytes) -> None:
    # Cut to its new size, not to nothing first, for the same reason.
    with os.fdopen(os.open(path, _FLAGS, 0o644), "wb") as file:
        file.write(content)
        file.truncate()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _shown(content: bytes) -> bytes:
    return b"\n".join(map(_last_state, content.split(b"\n")))


def _last_state(line: bytes) -> bytes:
    # Carriage returns at the end stay: what comes next is written over the line.
    end = len(line.rstrip(b"\r"))
    return line[line.rfind(b"\r", 0, end) + 1 :]
