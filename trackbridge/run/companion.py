"""
The relay process beside a run, seen from the training: started, looked after, waited for; never talked to.

It is a separate program that reads the run's journals, and the cursors it leaves tell how far it is. The training
process imports nothing of it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from trackbridge.errors import DeliveryRefused, MissingDependencyError
from trackbridge.journal.cursor import (
    Cursor,
    Mark,
    cursor_file,
    delivery_folder,
    events_after,
    load_cursor,
    save_cursor,
)
from trackbridge.settings import relay_environment

_POLL_S = 0.05
_TOLD_AFTER_S = 2.0
_FREE_STARTS, _LONGEST_PAUSE_S = 3, 60.0
_ENDED_BY_ITSELF = (0, 1, 2)
_WITHOUT_CONSOLE = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_log = logging.getLogger(__name__)
# Held for as long as they run: Python complains of a process that is forgotten before it has ended.
_started: list[subprocess.Popen[bytes]] = []


def check_sampler() -> None:
    """Make sure that system metrics, which were asked for, can be read.

    Raises:
        MissingDependencyError: psutil is not installed.
    """
    # In `sys.modules` with None, a package is one that shall not be found.
    if sys.modules.get("psutil", ...) is None or find_spec("psutil") is None:
        raise MissingDependencyError.for_extra("sampling the machine (TRACKBRIDGE_SYSTEM=on)", "psutil", "system")


class Companion:
    """A detached relay for one run. It outlives the training, and Ctrl-C does not reach it.

    No method raises: what goes wrong is told once in the log of the training process.
    """

    def __init__(
        self, run_folder: Path, journal: Path, targets: Sequence[str], *, samples_system: bool, wait_s: float
    ) -> None:
        """
        Start the relay.

        Args:
            run_folder: the run.
            journal: the journal of this process, which is all delivered when `see_off` waits no longer.
            targets: where to, such as `wandb` or `comet:offline`.
            samples_system: have this process's use of CPU, memory and GPU sampled.
            wait_s: how long `see_off` waits.
        """
        self._run_folder = run_folder.resolve()
        self._journal = journal
        self._targets = list(targets)
        self._wait_s = wait_s
        self._began_ns = time.time_ns()
        self._pid = os.getpid()
        self._told: set[str] = set()
        options = [option for target in targets for option in ("--to", target)]
        self._command = [
            sys.executable, "-m", "trackbridge.relay", "live", str(self._run_folder),
            *options, *["--system"] * samples_system,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        # What was delivered when the relay was started last, and how often it died without delivering more.
        self._rows, self._vain_starts, self._next_start_s = -1, 0, 0.0
        self._start()

    def ensure(self) -> None:
        """Start the relay again when it was killed, and tell of a target that refused; called every few seconds."""
        if os.getpid() != self._pid:
            # A forked child has the journal's tick, but not the relay.
            return
        if self._is_missed() and time.monotonic() >= self._next_start_s:
            self._start()
        for target in self._targets:
            cursor = self._cursor(target)
            if self._has_stopped(cursor):
                self._tell_once(f"{target} takes nothing, but training goes on: {cursor.error}")

    def see_off(self) -> None:
        """Wait for the delivery, but no longer than the setting says; the relay works on, and what is left is told."""
        if os.getpid() != self._pid:
            return
        self._wait()
        for target in self._targets:
            cursor = self._cursor(target)
            if not self._is_delivered(cursor):
                self._tell_once(self._report(cursor))

    def _wait(self) -> None:
        began_s = time.monotonic()
        # The sentence below offers Ctrl-C.
        with suppress(KeyboardInterrupt):
            while True:
                self.ensure()
                waited_s = time.monotonic() - began_s
                if waited_s >= self._wait_s or self._process is None or not self._pending():
                    return
                if waited_s > _TOLD_AFTER_S:
                    self._tell_once(
                        f"waiting up to {self._wait_s:.0f} s for the delivery to {', '.join(self._targets)};"
                        " Ctrl-C leaves it to the relay"
                    )
                time.sleep(_POLL_S)

    def _start(self) -> None:
        # Where an SDK takes the relay down each time, starting it at every tick would take half a core.
        rows = sum(self._cursor(target).next_row for target in self._targets)
        self._vain_starts = 0 if rows > self._rows else self._vain_starts + 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0**self._vain_starts) if self._vain_starts > _FREE_STARTS else 0.0
        self._rows, self._next_start_s = rows, time.monotonic() + pause_s
        try:
            for target in self._targets:
                # From now on `trackbridge status` and other relays know that it is to be delivered there.
                if not cursor_file(self._run_folder, target).exists():
                    delivery_folder(self._run_folder).mkdir(exist_ok=True)
                    save_cursor(self._run_folder, Cursor(target=target))
            _started[:] = [process for process in _started if process.poll() is None]
            self._process = self._launch()
            _started.append(self._process)
        except OSError as error:
            self._tell_once(f"the relay cannot be started ({error}), so nothing is delivered until `trackbridge sync`")

    def _launch(self) -> subprocess.Popen[bytes]:
        delivery_folder(self._run_folder).mkdir(exist_ok=True)
        with (delivery_folder(self._run_folder) / "relay.log").open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=relay_environment(),
                start_new_session=True,
                creationflags=_WITHOUT_CONSOLE,
            )

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _is_missed(self) -> bool:
        """True when the relay is gone and there is something left for it to do, if only to sample."""
        if self._process is None or self._is_running():
            return False
        return self._process.returncode not in _ENDED_BY_ITSELF or bool(self._pending())

    def _pending(self) -> list[Cursor]:
        cursors = [self._cursor(target) for target in self._targets]
        return [cursor for cursor in cursors if not (self._has_stopped(cursor) or self._is_delivered(cursor))]

    def _cursor(self, target: str) -> Cursor:
        try:
            return load_cursor(self._run_folder, target)
        except (DeliveryRefused, OSError) as error:
            return Cursor(target=target, state="refused", error=str(error), updated_ns=time.time_ns())

    def _has_stopped(self, cursor: Cursor) -> bool:
        # What an earlier relay was refused is tried again by this one.
        return cursor.state in ("refused", "broken") and cursor.updated_ns >= self._began_ns

    def _is_delivered(self, cursor: Cursor) -> bool:
        mark = cursor.marks.get(self._journal.name, Mark())
        try:
            return cursor.closed_as is not None and not events_after(self._journal, mark)
        except OSError:
            return False

    def _report(self, cursor: Cursor) -> str:
        try:
            waiting = f"{cursor.events_waiting(self._run_folder):,} events are"
        except OSError:
            waiting = "the run is"
        why = f" ({cursor.error})" if cursor.error else ""
        told = f"{waiting} not at {cursor.target} yet{why};"
        if self._has_stopped(cursor) or not self._is_running():
            root = self._run_folder.parent.parent
            return f"{told} `trackbridge sync {root} --to {cursor.target}` delivers the rest"
        return f"{told} the relay goes on, and `trackbridge status` tells how far it is"

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.warning("trackbridge: %s", sentence)
