"""
The relay processes beside a run, seen from the training: started, looked after, waited for; never talked to.

Each is a separate program that reads the run's journals, and the cursors they leave tell how far they are. The
training process imports nothing of them.
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
    sync_command,
)
from trackbridge.settings import relay_environment
from trackbridge.targets import parse_target, tell_what_to_know

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
    """The detached relays of one run, one for each target. They outlive the training, and Ctrl-C does not reach them.

    No method raises: what goes wrong is told once in the log of the training process.
    """

    def __init__(
        self, run_folder: Path, journal: Path, targets: Sequence[str], *, samples_system: bool, wait_s: float
    ) -> None:
        """
        Start the relays.

        Args:
            run_folder: the run.
            journal: the journal of this process; when all of it is delivered, `see_off` waits no longer.
            targets: where to, such as `wandb` or `comet:offline`.
            samples_system: have this process's use of CPU, memory and GPU sampled.
            wait_s: how long `see_off` waits.
        """
        self._wait_s = wait_s
        self._pid = os.getpid()
        self._told: set[str] = set()
        for target in targets:
            tell_what_to_know(parse_target(target).adapter)
        folder = run_folder.resolve()
        self._deliveries = [_Delivery(folder, journal, target, began_ns=time.time_ns()) for target in targets]
        self._relays = [_Relay(folder, ["live", "--to", one.target], one) for one in self._deliveries]
        if samples_system:
            self._relays.append(_Relay(folder, ["sample"], None))
        self.ensure()

    def ensure(self) -> None:
        """Start what is missing, and tell of a target that refused; called every few seconds."""
        if os.getpid() != self._pid:
            # A forked child has the journal's tick, but not the relays.
            return
        for relay in self._relays:
            try:
                relay.ensure()
            except OSError as error:
                self._tell_once(f"no relay can be started ({error}), so nothing is delivered until `trackbridge sync`")
        for one in self._deliveries:
            if one.has_stopped():
                self._tell_once(f"{one.target} takes nothing, but training goes on: {one.cursor().error}")

    def see_off(self) -> None:
        """Wait for the delivery, but no longer than the setting says; the relays work on, and what is left is told."""
        if os.getpid() != self._pid:
            return
        # A sentence below offers Ctrl-C.
        with suppress(KeyboardInterrupt):
            self._wait(time.monotonic())
        for relay in self._relays:
            if relay.delivery is not None and not relay.delivery.is_done():
                self._tell_once(relay.delivery.report(is_going_on=relay.is_running()))

    def _wait(self, began_s: float) -> None:
        while True:
            self.ensure()
            pending = [relay.delivery.target for relay in self._relays if relay.delivery and relay.is_awaited()]
            waited_s = time.monotonic() - began_s
            if waited_s >= self._wait_s or not pending:
                return
            if waited_s > _TOLD_AFTER_S:
                self._tell_once(
                    f"waiting up to {self._wait_s:.0f} s for the delivery to {', '.join(pending)};"
                    " Ctrl-C leaves it to the relay"
                )
            time.sleep(_POLL_S)

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.warning("trackbridge: %s", sentence)


class _Delivery:
    """What this process wrote, on its way to one target, as the cursor tells it."""

    def __init__(self, run_folder: Path, journal: Path, target: str, *, began_ns: int) -> None:
        self.target = target
        self._run_folder = run_folder
        self._journal = journal
        self._began_ns = began_ns

    def ask_for(self) -> None:
        """Let `trackbridge status` and other relays know that the run is to be delivered there."""
        if not cursor_file(self._run_folder, self.target).exists():
            save_cursor(self._run_folder, Cursor(target=self.target))

    def cursor(self) -> Cursor:
        try:
            return load_cursor(self._run_folder, self.target)
        except (DeliveryRefused, OSError) as error:
            return Cursor(target=self.target, state="refused", error=str(error), updated_ns=time.time_ns())

    def is_done(self) -> bool:
        """True when all of it is there, and the tracker knows how the run ended."""
        cursor = self.cursor()
        with suppress(OSError):
            mark = cursor.marks.get(self._journal.name, Mark())
            return cursor.closed_as is not None and not events_after(self._journal, mark)
        return False

    def has_stopped(self) -> bool:
        """True when a person has to mend something. What an earlier relay was refused is tried again by ours."""
        cursor = self.cursor()
        return cursor.state in ("refused", "broken") and cursor.updated_ns >= self._began_ns

    def report(self, *, is_going_on: bool) -> str:
        """What is left, and who delivers it."""
        cursor, waiting = self.cursor(), "the run is"
        with suppress(OSError):
            waiting = f"{cursor.events_waiting(self._run_folder):,} events are"
        told = f"{waiting} not at {self.target} yet{f' ({cursor.error})' if cursor.error else ''};"
        if is_going_on and not self.has_stopped():
            return f"{told} the relay goes on, and `trackbridge status` tells how far it is"
        return f"{told} `{sync_command(self._run_folder, self.target)}` delivers the rest"


class _Relay:
    """One relay process: for one delivery, or with None the one that samples the machine."""

    def __init__(self, run_folder: Path, job: list[str], delivery: _Delivery | None) -> None:
        self.delivery = delivery
        self._run_folder = run_folder
        self._command = [sys.executable, "-m", "trackbridge.relay", *job, str(run_folder)]
        self._process: subprocess.Popen[bytes] | None = None
        # What was delivered when it was started last, and how often it died without delivering more.
        self._rows, self._vain_starts, self._next_start_s = -1, 0, 0.0

    def ensure(self) -> None:
        """Start it if it is of use and not there.

        Raises:
            OSError: it cannot be started.
        """
        if not self.is_running() and self.is_of_use() and time.monotonic() >= self._next_start_s:
            self._start()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def is_of_use(self) -> bool:
        """True when there is something left for it to do."""
        if self.delivery is not None:
            return not (self.delivery.is_done() or self.delivery.has_stopped())
        # A sampler that ended by itself has said why, and would end again.
        return self._process is None or self._process.returncode not in _ENDED_BY_ITSELF

    def is_awaited(self) -> bool:
        """True when it is worth while to wait for it."""
        return self._process is not None and self.is_of_use()

    def _start(self) -> None:
        # Where an SDK takes the relay down each time, starting it at every tick would take half a core.
        rows = 0 if self.delivery is None else self.delivery.cursor().next_row
        self._vain_starts = 0 if rows > self._rows else self._vain_starts + 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0**self._vain_starts) if self._vain_starts > _FREE_STARTS else 0.0
        self._rows, self._next_start_s = rows, time.monotonic() + pause_s
        delivery_folder(self._run_folder).mkdir(exist_ok=True)
        if self.delivery is not None:
            self.delivery.ask_for()
        with (delivery_folder(self._run_folder) / "relay.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=relay_environment(),
                start_new_session=True,
                creationflags=_WITHOUT_CONSOLE,
            )
        _started[:] = [self._process, *(process for process in _started if process.poll() is None)]
