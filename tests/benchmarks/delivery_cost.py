"""
What live delivery costs the training, and how long it takes, beside the trackers' own SDKs used directly.

    python tests/benchmarks/delivery_cost.py --rounds 5

Each line is a process of its own that logs three floats at each of 20,000 steps as fast as it can, to W&B, Comet and
Neptune servers on this machine (the fakes of `trackbridge.testing`). `call` is the time of one call in that process,
`CPU` all processor time it used from its first import to the end of `finish()`, `all there` the time after which the
server had every point; for a run without a tracker, after which the journal was closed. What is printed is the median
over the rounds, in which the ways take turns.

There are two tables. In the first the loop begins as soon as `start_run` or the SDK's `init` has returned, while our
relays are still being imported. In the second it begins when the run is at every server, so that the relays follow
each call; this wait is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault_kit import Vendor, vendor

TRACKERS = ("wandb", "comet", "neptune")
LOG_LIMIT, WALL_LIMIT = 1.10, 1.2

MEASURED = """
import json, os, sys, time
began, values = time.time(), {"train/loss": 0.6931471805599453, "train/norm": 1.2345678901234567, "train/lr": 2.1e-05}
steps, folder = int(sys.argv[1]), sys.argv[2]
SETUP
ready = time.time()
while not os.path.exists(os.path.join(folder, "go")):
    time.sleep(0.05)
began, took = began + time.time() - ready, []
for step in range(1, steps + 1):
    before = time.perf_counter_ns()
    CALL
    took.append(time.perf_counter_ns() - before)
END
took.sort()
json.dump({
    "began": began, "call_us": took[len(took) // 2] / 1e3, "p99_us": took[len(took) * 99 // 100] / 1e3,
    "cpu_s": time.process_time(),
}, sys.__stdout__)
"""
OURS = (
    "import trackbridge as tb\nrun = tb.start_run('demo', root=folder, to={to!r})",
    "run.log(values, step=step)",
    "run.finish()",
)
DIRECT = {
    "wandb": (
        "import wandb\nrun = wandb.init(project='demo', dir=folder, settings=wandb.Settings(silent=True))",
        "run.log(values, step=step)",
        "run.finish()",
    ),
    "comet": (
        "import comet_ml\nrun = comet_ml.Experiment(project_name='demo')",
        "run.log_metrics(values, step=step)",
        "run.end()",
    ),
    "neptune": (
        "import neptune\nrun = neptune.init_run(source_files=[])",  # the fake takes no snapshot of the code
        "[run[f'metrics/{name}'].append(value, step=step) for name, value in values.items()]",
        "run.stop()",
    ),
}


Way: TypeAlias = tuple[tuple[str, str, str], tuple[str, ...]]
"""The code for setup, call and end, and the trackers it goes to."""


class Measured(NamedTuple):
    """One process: microseconds per call, CPU seconds, seconds until all was at the trackers."""

    call_us: float
    p99_us: float
    cpu_s: float
    all_there_s: float


def measure(
    parts: tuple[str, str, str], at: list[Vendor], begin: Callable[[list[Vendor]], None], steps: int
) -> Measured:
    """Run one process against servers of its own; `begin` returns when its loop may begin."""
    setup, call, end = parts
    code = MEASURED.replace("SETUP", setup).replace("CALL", call).replace("END", end)
    environment = {**os.environ, "TRACKBRIDGE_FINISH_TIMEOUT_S": "600", "COMET_LOGGING_CONSOLE": "ERROR"}
    for one in at:
        environment |= one.environment
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(steps), folder],
            env=environment,
            cwd=folder,  # Comet keeps the git patch of where it runs, Neptune its queue
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begin(at)
        (Path(folder) / "go").touch()
        told, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors)
        for one in at:
            wait_until(partial(has_points, one, 3 * steps), f"{3 * steps:,} points at {one.name}")
        ended = time.time()
    figures = json.loads(told.splitlines()[-1])
    return Measured(figures["call_us"], figures["p99_us"], figures["cpu_s"], ended - figures["began"])


def at_once(at: list[Vendor]) -> None:
    """The loop begins when the process has set up its run."""


def when_live(at: list[Vendor]) -> None:
    """The loop begins when every server has the run."""
    for one in at:
        wait_until(one.server.run_ids, f"the run at {one.name}")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for what another process brings about.

    Raises:
        SystemExit: it does not come.
    """
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within two minutes")
        time.sleep(0.1)


def has_points(one: Vendor, expected: int) -> bool:
    """True when so many points of the training are at the server."""
    seen = [one.server.seen(run_id) for run_id in one.server.run_ids()]
    return sum(point.metric.startswith("train/") for run in seen for point in run.points) >= expected


def ways() -> dict[str, Way]:
    """What is measured."""

    def ours(*to: str) -> Way:
        return (OURS[0].format(to=list(to)), *OURS[1:]), to

    return {
        "trackbridge, no tracker": ours(),
        **{f"trackbridge to {name}": ours(name) for name in TRACKERS},
        "trackbridge to all three": ours(*TRACKERS),
        **{f"the {name} SDK": (DIRECT[name], (name,)) for name in TRACKERS},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="calls per process (default: 20000)")
    parser.add_argument("--rounds", type=int, default=3, help="processes per line (default: 3)")
    parser.add_argument("--only", help="only ways with this in their name")
    options = parser.parse_args()
    chosen = {name: way for name, way in ways().items() if (options.only or "") in name}
    failures = 0
    for begin, title in ((at_once, "from the start"), (when_live, "once live")):
        medians = measured_in_turn(chosen, begin, options.steps, options.rounds)
        print(f"{title:<26}{'call':>10}{'p99':>11}{'CPU':>9}{'all there':>12}")
        for name, one in medians.items():
            print(f"{name:<26}{one.call_us:>7.1f} us{one.p99_us:>8.1f} us{one.cpu_s:>7.2f} s{one.all_there_s:>10.2f} s")
        failures += verdict(medians)
    return min(failures, 1)


def measured_in_turn(
    chosen: dict[str, Way], begin: Callable[[list[Vendor]], None], steps: int, rounds: int
) -> dict[str, Measured]:
    """The median of so many rounds for each way."""
    measured: dict[str, list[Measured]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, (parts, to) in chosen.items():
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                at = [stack.enter_context(vendor(tracker, Path(folder))) for tracker in to]
                measured[name].append(measure(parts, at, begin, steps))
    return {
        name: Measured(*(statistics.median(column) for column in zip(*each, strict=True)))
        for name, each in measured.items()
    }


def verdict(medians: dict[str, Measured]) -> int:
    """Print the ratios that are promised; returns how many are not kept."""
    failures = 0
    for name, one in medians.items():
        tracker = name.rpartition(" ")[2]
        if name.startswith("trackbridge to") and "trackbridge, no tracker" in medians:
            ratio = one.call_us / medians["trackbridge, no tracker"].call_us
            print(f"{name}: a call takes {ratio:.2f} of one without a tracker (at most {LOG_LIMIT})")
            failures += ratio > LOG_LIMIT
        if name.startswith("trackbridge to") and f"the {tracker} SDK" in medians:
            ratio = one.all_there_s / medians[f"the {tracker} SDK"].all_there_s
            print(f"{name}: all is there after {ratio:.2f} of the SDK's time (at most {WALL_LIMIT})")
            failures += ratio > WALL_LIMIT
    return failures


if __name__ == "__main__":
    sys.exit(main())
