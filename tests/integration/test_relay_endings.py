"""A training that is gone without finishing is shown as such at every tracker, soon after its relays see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fault_kit import VENDORS, Vendor, vendor
from relay_process_kit import is_closed, shown, steps_shown, until

from trackbridge.journal.paths import run_folder

TRACKERS = (*VENDORS, "tensorboard")
SHOWN_WITHIN_S = 10.0
LOST_AFTER_S = 5.0
# It says that it runs on the machine it is told; relays on another one wait until it has been silent for long enough.
TRAINING = """
import platform, sys, time
import trackbridge as tb

if sys.argv[1] != "here":
    platform.node = lambda: sys.argv[1]
with tb.start_run("demo", root="runs", to=sys.argv[2:]) as run:
    print(run.run_id, flush=True)
    for step in range(1, 1_000_000):
        run.log({"train/loss": 1 / step}, step=step)
        print(step, flush=True)
        time.sleep(0.02)
"""


@dataclass
class Death:
    """How a training ends, and when each tracker shows it, in seconds after its relays could see it.

    SIGKILL is also what a system sends that has run out of memory.
    """

    name: str
    signal: signal.Signals
    machine: str = "here"
    seen_after_s: float = 0.0
    status: str = "lost"
    code: int | None = None
    shown_s: dict[str, float] = field(default_factory=dict)

    def start(self, root: Path, environment: dict[str, str]) -> None:
        command = [sys.executable, "-c", TRAINING, self.machine, *TRACKERS, "memory:offline"]
        self.training = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE)
        assert self.training.stdout is not None
        self.folder = run_folder(root / "runs", "demo", self.training.stdout.readline().decode().strip())

    def die(self) -> None:
        assert self.training.stdout is not None
        with self.training:
            self.training.send_signal(self.signal)
            self.written = list(map(int, self.training.stdout.read().split()))
        self.gone_s = time.monotonic() + self.seen_after_s

    def has_begun(self, one: Vendor) -> bool:
        run_id = self.folder.name
        return run_id in one.tracker.run_ids() and bool(one.tracker.seen(run_id).points)

    def look(self, one: Vendor) -> bool:
        if one.name not in self.shown_s and one.tracker.seen(self.folder.name).status != "running":
            self.shown_s[one.name] = max(0.0, time.monotonic() - self.gone_s)
        return one.name in self.shown_s


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[list[Vendor]]:
    with ExitStack() as stack:
        yield [stack.enter_context(vendor(name, tmp_path)) for name in TRACKERS]


def test_a_training_that_is_gone_is_shown_as_such_at_every_tracker_within_ten_seconds(
    tmp_path: Path, vendors: list[Vendor]
) -> None:
    deaths = [
        Death("SIGKILL", signal.SIGKILL),
        Death("SIGTERM", signal.SIGTERM, status="killed", code=143),
        Death("its machine is lost", signal.SIGKILL, machine="elsewhere", seen_after_s=LOST_AFTER_S),
    ]
    environment = {**os.environ, "TRACKBRIDGE_SYSTEM": "off", "TRACKBRIDGE_LOST_AFTER_S": str(LOST_AFTER_S)}
    for one in vendors:
        environment |= one.environment
    for death in deaths:
        death.start(tmp_path, environment)
    pairs = [(death, one) for death in deaths for one in vendors]
    until(lambda: all(death.has_begun(one) for death, one in pairs), within_s=120, what="the first deliveries")

    for death in deaths:
        death.die()
    until(lambda: sum(death.look(one) for death, one in pairs) == len(pairs), within_s=60, what="the endings")

    for death in deaths:
        print(f"{death.name}: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in death.shown_s.items())}")
    for death, one in pairs:
        seen = one.tracker.seen(death.folder.name)
        assert death.shown_s[one.name] <= SHOWN_WITHIN_S, (death.name, one.name)
        assert seen.status in ("failed", "killed", "lost"), (death.name, one.name)
        assert [step for step, _ in seen.curve("train/loss")][: len(death.written)] == death.written
        assert last_printed(seen.console) >= death.written[-1], (death.name, one.name)
    for death in deaths:
        until(lambda death=death: is_closed(death.folder), within_s=10, what="the ending at the reference")
        ending = shown(death.folder).ending
        assert (ending.status, ending.exit_code) == (death.status, death.code)
        assert last_printed(ending.console) >= death.written[-1]
        assert steps_shown(death.folder)[: len(death.written)] == death.written


def last_printed(console: str) -> int:
    """The last of the steps that the training printed, one a line; some trackers put a time before a line."""
    steps = [int(line.split()[-1]) for line in console.splitlines()[-50:]]
    assert steps == list(range(steps[0], steps[-1] + 1))
    return steps[-1]
