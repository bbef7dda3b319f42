"""Live deliveries in which something breaks, and what their tracker has afterwards beside what was logged."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import psutil
from tensorboard_kit import LogFolder

from trackbridge.events.models import MetricsLogged
from trackbridge.journal.cursor import load_cursor
from trackbridge.journal.paths import run_folders
from trackbridge.relay.standing import standing
from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.fake_wandb import FakeWandb
from trackbridge.testing.seen import OnlineTracker, SeenPoint, SeenRun, Tracker
from trackbridge.testing.written import all_events

VENDORS = ("wandb", "comet", "neptune", "mlflow")
"""Those with a server."""

DELIVERED_WITHIN_S = 180.0
TIME_TOLERANCE_NS = 1_000_000

# It goes no further than the file `allowed` says, and shows that it lives meanwhile. The journal looks after the relay
# every second instead of every five, and pauses less after deaths in a row, so that twenty deaths take minutes.
TRAINING = """
import sys, time
from pathlib import Path
import trackbridge as tb
import trackbridge.journal.writer as writer
import trackbridge.run.companion as companion
from trackbridge.events.models import Heartbeat

root, target, steps, pause_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
writer.SYNC_EVERY_NS, companion._LONGEST_PAUSE_S = 1_000_000_000, 1.0
with tb.start_run("demo", root=root, to=[target]) as run:
    for step in range(1, steps + 1):
        while step > int((Path(root) / "allowed").read_text()):
            run.append(Heartbeat)
            time.sleep(0.1)
        run.log({"train/loss": 1 / step, "train/lr": step * 1e-6, "train/norm": float(step)}, step=step)
        time.sleep(pause_s)
"""


@dataclass(frozen=True)
class Vendor:
    """A tracker on this machine, and the variables that lead to it."""

    name: str
    tracker: Tracker
    environment: dict[str, str]

    @property
    def server(self) -> OnlineTracker:
        """The tracker with its switches; a log folder has none."""
        return cast(OnlineTracker, self.tracker)


class LogFolders:
    """The TensorBoard log folders of all runs below a root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def run_ids(self) -> list[str]:
        return [run_id for logs in self._root.glob("*/*/offline/tensorboard") for run_id in LogFolder(logs).run_ids()]

    def seen(self, run_id: str) -> SeenRun:
        (logs,) = self._root.glob(f"*/{run_id}/offline/tensorboard")
        return LogFolder(logs).seen(run_id)


@contextmanager
def vendor(name: str, folder: Path) -> Iterator[Vendor]:
    """A tracker of its own; `folder` is for a database, and holds the runs in `runs`."""
    with ExitStack() as stack:
        if name == "tensorboard":
            yield Vendor(name, LogFolders(folder / "runs"), {})
        elif name == "mlflow":
            from mlflow_kit import MlflowPages, MlflowProxy, mlflow_server

            proxy = stack.enter_context(MlflowProxy(MlflowPages(stack.enter_context(mlflow_server(folder)))))
            yield Vendor(name, proxy, {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_TRACKING_TOKEN": proxy.secret})
        elif name == "wandb":
            wandb = stack.enter_context(FakeWandb())
            yield Vendor(name, wandb, wandb.environment)
        else:
            fake: FakeComet | FakeNeptune = FakeComet() if name == "comet" else FakeNeptune()
            stack.enter_context(fake)
            yield Vendor(name, fake, fake.environment)


class Faulty:
    """One run that is delivered live to one vendor while something breaks."""

    def __init__(self, vendor: Vendor, root: Path, dice: random.Random, *, steps: int, kills: int) -> None:
        root.mkdir()
        self.vendor = vendor
        self.root = root
        self.dice = dice
        self.steps = steps
        self.kills = kills
        self.allow(steps)
        self._environment = {**os.environ, **vendor.environment, "TRACKBRIDGE_FINISH_TIMEOUT_S": "0"}

    @property
    def folder(self) -> Path:
        """The run's folder."""
        (folder,) = run_folders(self.root)
        return folder

    def start(self, *, pause_s: float) -> subprocess.Popen[bytes]:
        """A training that goes on, and its relay."""
        arguments = [str(self.root), self.vendor.name, str(self.steps), str(pause_s)]
        training = subprocess.Popen(
            [sys.executable, "-c", TRAINING, *arguments], env=self._environment, stderr=subprocess.DEVNULL
        )
        until(lambda: list(run_folders(self.root)), "the start of the training")
        return training

    def allow(self, steps: int) -> None:
        """Let the training go on to this step."""
        (self.root / "allowed.draft").write_text(str(steps))
        (self.root / "allowed.draft").replace(self.root / "allowed")

    def sync(self) -> int:
        """`trackbridge sync` of all there is; its exit code."""
        command = [sys.executable, "-m", "trackbridge", "sync", str(self.root), "--to", self.vendor.name]
        return subprocess.run(command, env=self._environment, capture_output=True).returncode

    def relays(self) -> list[psutil.Process]:
        """The relay, if it is at work."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if {"trackbridge.relay", "live", str(self.folder)} <= set(process.info["cmdline"] or [])
        ]

    def kill_relay(self, moment: Callable[[], None] = lambda: None) -> None:
        """SIGKILL to the relay, once there is one and the moment has come."""
        until(self.relays, "the start of a relay")
        relays = self.relays()
        moment()
        for relay in relays:
            with suppress(psutil.NoSuchProcess):
                relay.kill()
        psutil.wait_procs(relays, timeout=10)

    def wait_for_handover(self) -> None:
        """Until a batch is being handed over, but at most ten seconds."""
        now_ns, deadline = time.time_ns(), time.monotonic() + 10.0
        while time.monotonic() < deadline:
            cursor = load_cursor(self.folder, self.vendor.name)
            if cursor.in_flight is not None and cursor.updated_ns > now_ns:
                return
            time.sleep(0.0005)

    def wait_until_delivered(self) -> None:
        """Until the tracker has all of it and knows how it ended."""
        until(lambda: standing(self.folder, self.vendor.name).state == "delivered", "the end of the delivery")


def relay_killed(run: Faulty) -> None:
    """The relay is killed again and again: at any moment, or, as often, soon after it began to hand a batch over."""

    def any_moment() -> None:
        time.sleep(run.dice.uniform(0.2, 6.0))

    def handover() -> None:
        run.wait_for_handover()
        time.sleep(run.dice.uniform(0.0, 0.05))

    run.allow(0)
    training = run.start(pause_s=0.001)
    for kill in range(run.kills):
        run.allow(run.steps * (kill + 1) // (run.kills + 1))
        run.kill_relay(run.dice.choice([any_moment, handover]))
    run.allow(run.steps)
    training.wait()


def training_killed(run: Faulty) -> None:
    """The training is killed in the middle."""
    training = run.start(pause_s=0.003)
    time.sleep(run.dice.uniform(0.1, 0.6) * run.steps * 0.003)
    training.kill()
    training.wait()


def down_at_start(run: Faulty) -> None:
    """Nobody answers when the run begins."""
    with run.vendor.server.outage():
        training = run.start(pause_s=0.003)
        time.sleep(run.dice.uniform(3.0, 8.0))
    training.wait()


def down_for_a_while(run: Faulty) -> None:
    """Nobody answers for a while in the middle."""
    training = run.start(pause_s=0.006)
    time.sleep(run.dice.uniform(2.0, 6.0))
    with run.vendor.server.outage():
        time.sleep(run.dice.uniform(3.0, 8.0))
    training.wait()


def refuses_for_a_while(run: Faulty) -> None:
    """The key is refused for a while; afterwards a person syncs."""
    training = run.start(pause_s=0.006)
    time.sleep(run.dice.uniform(2.0, 6.0))
    with run.vendor.server.refusal():
        time.sleep(run.dice.uniform(3.0, 8.0))
    training.wait()
    until(lambda: not run.relays() or standing(run.folder, run.vendor.name).state == "delivered", "the relay's end")
    run.sync()


def all_stopped(run: Faulty) -> None:
    """Training and relay are killed at once; later somebody syncs, twice over."""
    training = run.start(pause_s=0.003)
    time.sleep(run.dice.uniform(0.1, 0.6) * run.steps * 0.003)
    training.kill()
    run.kill_relay()
    training.wait()
    run.sync()
    run.sync()


FAULTS: dict[str, Callable[[Faulty], None]] = {
    "relay killed": relay_killed,
    "training killed": training_killed,
    "server down at start": down_at_start,
    "server down for a while": down_for_a_while,
    "server refuses for a while": refuses_for_a_while,
    "both killed, two syncs": all_stopped,
}
WITHOUT_A_SERVER = ("relay killed", "training killed", "both killed, two syncs")
_GONE = ("failed", "killed", "lost")
STATUS_AFTER = {"training killed": _GONE, "both killed, two syncs": _GONE}


@dataclass(frozen=True)
class Outcome:
    """What was logged and what is at the server, in points; the four in between should be zero.

    A point with another value is a missing one.
    """

    logged: int
    at_server: int
    missing: int
    duplicated: int
    out_of_order: int
    wrong_time: int
    status: str

    @property
    def defects(self) -> int:
        """Points that are not as promised."""
        return self.missing + self.duplicated + self.out_of_order + self.wrong_time


def outcome_of(run: Faulty) -> Outcome:
    """Compare journals and server."""
    logged = {
        (name, event.step, value): event.t
        for event in all_events(run.folder)
        if isinstance(event, MetricsLogged)
        for name, value in event.metrics.items()
        if name.startswith("train/")
    }
    seen = run.vendor.tracker.seen(run.folder.name)
    points = [point for point in seen.points if point.metric.startswith("train/")]
    there = Counter((point.metric, point.step) for point in points)
    times = {(point.metric, point.step, point.value): point.time_ns or 0 for point in points}
    return Outcome(
        logged=len(logged),
        at_server=len(points),
        missing=len(logged.keys() - times.keys()),
        duplicated=len(points) - len(there),
        out_of_order=sum(_disorder(points, name) for name in {name for name, *_ in logged}),
        wrong_time=sum(abs(times[key] - t) > TIME_TOLERANCE_NS for key, t in logged.items() if key in times),
        status=seen.status,
    )


def _disorder(points: list[SeenPoint], metric: str) -> int:
    steps = [point.step for point in points if point.metric == metric]
    return sum(later < earlier for earlier, later in pairwise(steps))


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + DELIVERED_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {DELIVERED_WITHIN_S:.0f} s"
        time.sleep(0.05)
