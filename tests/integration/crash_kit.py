"""Processes that log and die, and what their journals hold afterwards."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from trackbridge.events.models import MetricsLogged, RunFinished
from trackbridge.journal.paths import run_folders
from trackbridge.testing.written import all_events, events_of

PACES: dict[str, float] = {"unpaced": 0.0, "20/s": 1 / 20, "1/s": 1.0}
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
ENDINGS = (*SIGNALS, "os._exit", "exception")
STATUS_LEFT = {"SIGKILL": None, "SIGTERM": "killed", "SIGINT": "killed", "os._exit": None, "exception": "failed"}

# Each number is told on the pipe after `log` has returned: whoever reads it was promised that it is kept.
COUNTER = """
import os, sys, time
import trackbridge as tb

root, pause_s, ending, lives_s = sys.argv[1], float(sys.argv[2]), sys.argv[3], float(sys.argv[4])
run = tb.start_run("counter", root=root)
step, ends_s = 0, time.monotonic() + lives_s
while True:
    step += 1
    run.log({"counter": float(step)}, step=step)
    os.write(1, b"%d\\n" % step)
    if pause_s:
        time.sleep(pause_s)
    if time.monotonic() >= ends_s:
        if ending == "os._exit":
            os._exit(1)
        if ending == "exception":
            raise ValueError("the loss is gone")
"""


@dataclass(frozen=True, slots=True)
class Crash:
    """One process that died: what it was promised, what is in its journal, how it ended by its own word."""

    acknowledged: int
    kept: list[float]
    status: str | None
    exit_code: int

    @property
    def lost(self) -> int:
        """How many acknowledged numbers are not in the journal."""
        return len(set(range(1, self.acknowledged + 1)) - set(self.kept))


def crash(root: Path, *, pace: str, ending: str, lives_s: float | None = None) -> Crash:
    """Start a counter, end it after a random moment of its life, and read back what it logged.

    Raises:
        AssertionError: the journal is damaged.
    """
    if lives_s is None:
        lives_s = random.uniform(0.02, 0.3) + PACES[pace] * random.uniform(0, 2)
    child = subprocess.Popen(
        [sys.executable, "-c", COUNTER, str(root), str(PACES[pace]), ending, str(lives_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    told = _read_until_dead(child, SIGNALS.get(ending), lives_s)
    (folder,) = run_folders(root)
    events = all_events(folder)
    finished = [event.status for event in events if isinstance(event, RunFinished)]
    return Crash(
        acknowledged=int(told.rpartition(b"\n")[0].rpartition(b"\n")[2]),
        kept=[event.metrics["counter"] for event in events if isinstance(event, MetricsLogged)],
        status=finished[-1] if finished else None,
        exit_code=child.returncode,
    )


def _read_until_dead(child: subprocess.Popen[bytes], ends_by: signal.Signals | None, lives_s: float) -> bytes:
    """All that the child told; its life is counted from the first word on."""
    assert child.stdout is not None
    pipe = child.stdout.fileno()
    told = os.read(pipe, 1 << 16)
    kill_s = time.monotonic() + lives_s
    while ends_by and (left_s := kill_s - time.monotonic()) > 0:
        if select.select([pipe], [], [], left_s)[0]:
            told += os.read(pipe, 1 << 16)
    if ends_by:
        child.send_signal(ends_by)
    told += child.stdout.read()
    child.stdout.close()
    child.wait()
    return told


def run_script(script: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; `root` is its first argument."""
    return subprocess.run(
        [sys.executable, "-c", script, str(root), *arguments], capture_output=True, text=True, timeout=60
    )


def run_until_killed(script: str, root: Path, number: signal.Signals) -> int:
    """Start a script, send it a signal once it has told `ready`, and return its exit code."""
    with subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        return child.wait(timeout=30)


def finished(root: Path) -> list[tuple[str, int | None]]:
    """Status and exit code of each run that said how it ended."""
    return [
        (event.status, event.exit_code)
        for folder in sorted(run_folders(root))
        for event in events_of(folder, RunFinished)
    ]
