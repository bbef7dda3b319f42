"""
The relay process beside a run, seen from the training: started, looked after, waited for; never talked to.

It is a separate program that reads the run's journals. The training process imports nothing of it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trackbridge.settings import relay_environment

_POLL_S = 0.05
_log = logging.getLogger(__name__)


class Companion:
    """A detached relay for one run and its targets. It outlives the training, and Ctrl-C does not reach it."""

    def __init__(self, run_folder: Path, targets: Sequence[str], *, samples_system: bool, wait_s: float) -> None:
        options = [option for target in targets for option in ("--to", target)]
        self._command = [
            sys.executable, "-m", "trackbridge.relay", str(run_folder), *options, *["--system"] * samples_system,
        ]  # fmt: skip
        self._run_folder = run_folder
        self._targets = list(targets)
        self._wait_s = wait_s
        self._process = self._start()

    def ensure(self) -> None:
        """Start the relay again when it has died; called at every heartbeat of the run."""
        if self._process.poll() not in (None, 0):
            self._process = self._start()

    def see_off(self) -> None:
        """Wait for the delivery, but no longer than the setting says; the relay works on, and what is left is told."""
        deadline = time.monotonic() + self._wait_s
        while self._process.poll() is None and self._left() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for sentence in self._left():
            _log.warning("not delivered yet: %s. The relay works on; `trackbridge status` tells.", sentence)

    def _start(self) -> subprocess.Popen[bytes]:
        log = self._run_folder / "delivery" / "relay.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=relay_environment(),
                cwd=self._run_folder,
                start_new_session=True,
            )

    def _left(self) -> list[str]:
        return [sentence for target in self._targets if (sentence := self._left_for(target))]

    def _left_for(self, target: str) -> str:
        path = self._run_folder / "delivery" / f"{target.replace(':', '-')}.json"
        try:
            cursor = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return f"{target}: not begun yet"
        if cursor.get("closed_as"):
            return ""
        told = f"{target}: {cursor['state']}, {cursor['next_row']} events delivered"
        return f"{told}; {cursor['error']}" if cursor.get("error") else told
