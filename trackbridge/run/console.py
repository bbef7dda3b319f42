"""
What Python code prints while a run of this process is open, heard on its way and kept in the run's folder.

The streams in `sys.stdout` and `sys.stderr` stay the same objects: only their `write` is wrapped, so that what holds
one of them already, as handlers of the log do, is heard too. C code, other processes and `sys.stdout.buffer` are not.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from trackbridge.journal.console import ConsoleFile
from trackbridge.run.credentials import credentials

SHORTEST_SECRET = 8
Write: TypeAlias = Callable[[str], Any]

_log = logging.getLogger(__name__)
_consoles: dict[Path, ConsoleFile] = {}
_heard: list[_HeardStream] = []
_inside = threading.local()


def record_console(run_folder: Path) -> None:
    """Keep what is printed from now on, until `stop_recording`."""
    if run_folder in _consoles:
        return
    secrets = [secret for secret in credentials() if len(secret) >= SHORTEST_SECRET]
    _consoles[run_folder] = ConsoleFile(run_folder, secrets=secrets)
    for stream in (sys.stdout, sys.stderr):
        # Programs without a terminal on Windows have None for a stream.
        if stream is not None and not any(one.stream is stream for one in _heard):
            _hear(stream)


def stop_recording(run_folder: Path) -> None:
    """Keep nothing more for this run; with the last run the streams are as they were."""
    console = _consoles.pop(run_folder, None)
    if console is None:
        return
    console.close()
    if not _consoles:
        for one in _heard:
            one.leave()
        _heard.clear()


def _hear(stream: Any) -> None:
    try:
        _heard.append(_HeardStream(stream))
    except (AttributeError, TypeError) as error:
        _log.info("trackbridge cannot hear what is printed to %s: %s", type(stream).__name__, error)


class _HeardStream:
    """A stream whose `write` is wrapped."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._before = vars(stream).get("write")
        self._write = _heard_on_its_way(stream.write)
        stream.write = self._write

    def leave(self) -> None:
        """Take the wrapper off. Where somebody wrapped it in turn it stays, and passes everything on unheard."""
        if vars(self.stream).get("write") is not self._write:
            return
        if self._before is None:
            del self.stream.write
        else:
            self.stream.write = self._before


def _heard_on_its_way(write: Write) -> Write:
    def heard(text: str) -> Any:
        # A stream that writes into another one, as rich's and those of notebooks do, is heard once.
        if getattr(_inside, "a_write", False):
            return write(text)
        _inside.a_write = True
        try:
            written = write(text)
        finally:
            _inside.a_write = False
        if isinstance(text, str):
            for console in tuple(_consoles.values()):
                console.append(text)
        return written

    return heard


if hasattr(os, "register_at_fork"):
    # The run is the parent's, and so is its console: workers print by the dozen, and none of them ends the run.
    os.register_at_fork(after_in_child=_consoles.clear)
