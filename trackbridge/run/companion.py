"""
The relay process beside a run, seen from the training: started, looked after, waited for; never talked to.

It is a separate program that reads the run's journals. The training process imports nothing of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trackbridge.settings import relay_environment

_POLL_S = 0.05


class Companion:
    """A detached relay for one run and its targets. It outlives the training, and Ctrl-C does not reach it."""

    def __init__(self, run_folder: Path, targets: Sequence[str], *, samples_system: bool) -> None:
        options = [option for target in targets for option in ("--to", target)]
        self._command = [
            sys.executable, "-m", "trackbridge.relay", str(run_folder), *options, *["--system"] * samples_system,
        ]  # fmt: skip
        self._run_folder = run_folder
        self._targets = list(targets)
        self._process = self._start()

    def ensure(self) -> None:
        """Start the relay again when it has died; called at every heartbeat of the run."""
        if self._process.poll() not in (None, 0):
            self._process = self._start()

    def wait(self, timeout_s: float) -> list[str]:
        """Wait for the relay to be done, at most so long; a sentence for each target that is not."""
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < deadline and self._left():
            time.sleep(_POLL_S)
        return self._left()

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
