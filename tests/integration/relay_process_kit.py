"""Real trainings with real relays: a tracker that is installed like a third party's, and ways to wait for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from trackbridge.adapters.memory import MemoryRun, read_offline
from trackbridge.events.models import MetricsLogged
from trackbridge.journal.paths import run_folders

# Registered by entry point and found through PYTHONPATH, so that the relay finds it too. It keeps rows in files, and
# does what the file it is pointed at says.
ODD_TRACKER = """
import os, signal, sys, time
from pathlib import Path
from trackbridge.adapters.memory import MemoryAdapter
from trackbridge.errors import DeliveryRefused, TransientDeliveryError

class OddAdapter(MemoryAdapter):
    name = "odd"

    def __init__(self, *, mode="online", folder=None):
        super().__init__(mode="offline", folder=folder)

    def deliver(self, rows):
        print("odd: on standard output with", os.environ.get("ODD_KEY"))
        os.write(2, b"odd: on standard error\\n")
        mood = Path(os.environ["ODD_TRACKER"]).read_text()
        if mood == "refuses":
            raise DeliveryRefused("odd takes no run without a key: set ODD_KEY")
        if mood == "is away":
            raise TransientDeliveryError("odd is away")
        if mood == "hangs":
            time.sleep(3600)
        if mood == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "tells":
            Path(os.environ["ODD_TRACKER"]).with_suffix(".env").write_text("\\n".join(os.environ))
        return super().deliver(rows)
"""


class OddTracker:
    """The installed tracker; `mood` is what it does when rows are delivered to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        information = folder / "odd_tracker-1.0.dist-info"
        information.mkdir(parents=True)
        (folder / "odd_tracker.py").write_text(ODD_TRACKER)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-tracker\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[trackbridge.adapters]\nodd = odd_tracker:OddAdapter\n")
        self._mood = folder / "mood"
        self.mood = "works"
        monkeypatch.setenv("ODD_TRACKER", str(self._mood))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.syspath_prepend(str(folder))

    @property
    def mood(self) -> str:
        return self._mood.read_text()

    @mood.setter
    def mood(self, mood: str) -> None:
        self._mood.write_text(mood)

    @property
    def environment(self) -> set[str]:
        """The names of the variables that a relay had which was told to tell them."""
        return set(self._mood.with_suffix(".env").read_text().splitlines())


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OddTracker:
    return OddTracker(tmp_path / "odd", monkeypatch)


# Tells each step on its output after `log` has returned. The journal's tick is made quicker than in real life.
TRAINING = """
import sys, time
import trackbridge as tb
import trackbridge.journal.writer as writer

root, to, pause_s = sys.argv[1], sys.argv[2].split(), float(sys.argv[3])
writer.SYNC_EVERY_NS = 200_000_000
with tb.start_run("demo", root=root, to=to) as run:
    for step in range(1, 1_000_000):
        run.log({"train/loss": 1 / step}, step=step)
        print(step, flush=True)
        time.sleep(pause_s)
"""


class Training:
    """A training process in a session of its own, as a terminal would start it; it has logged its first step."""

    def __init__(self, root: Path, *to: str, pause_s: float = 0.02) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(root), " ".join(to), str(pause_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "1\n", self.process.communicate()
        (self.folder,) = run_folders(root)

    def end(self, number: signal.Signals) -> list[int]:
        """Send it a signal and wait for its end; every step that it was promised to be kept."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        return list(range(1, int(out.split()[-1]) + 1))


@pytest.fixture
def train() -> Iterator[Callable[..., Training]]:
    """Starts trainings, and kills those that are left."""
    trainings: list[Training] = []

    def start(root: Path, *to: str, pause_s: float = 0.02) -> Training:
        trainings.append(Training(root, *to, pause_s=pause_s))
        return trainings[-1]

    yield start
    for one in trainings:
        with one.process:
            one.process.kill()


def until(condition: Callable[[], object], *, within_s: float, what: str) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:.0f} s"
        time.sleep(0.02)


def relays(folder: Path, mode: str = "live") -> list[psutil.Process]:
    """The relay processes of a run; with `sample` the process that samples its training."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if {"trackbridge.relay", mode, str(folder)} <= set(command) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL to each, and wait for their deaths."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def shown(folder: Path, tracker: str = "memory") -> MemoryRun:
    """The run as an offline memory tracker has it."""
    return read_offline(folder / "offline" / tracker / folder.name)


def is_closed(folder: Path, tracker: str = "memory") -> bool:
    """True when the tracker was told how the run ended."""
    return (folder / "offline" / tracker / folder.name / "ending").exists()


def steps_shown(folder: Path, tracker: str = "memory") -> list[int]:
    """The steps of the training loss, in the order of the tracker's rows."""
    rows = sorted(shown(folder, tracker).rows.items())
    return [event.step for _, event in rows if isinstance(event, MetricsLogged) and "train/loss" in event.metrics]
