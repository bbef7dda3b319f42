"""
What live delivery costs the training, and how long it takes, beside the trackers' own SDKs used directly.

    python tests/benchmarks/delivery_cost.py --rounds 5

Each line is a process of its own that logs three floats at each of 20,000 steps as fast as it can, to W&B, Comet and
Neptune servers on this machine (the fakes of `trackbridge.testing`). `call` is the time of one call in that process,
`CPU` all processor time it used from its first import to the end of `finish()`, `all there` the time after which the
server had every point; for a run without a tracker, after which the journal was closed. What is printed is the median
over the rounds, in which the ways take turns.
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
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault_kit import Vendor, vendor

TRACKERS = ("wandb", "comet", "neptune")
LOG_LIMIT, WALL_LIMIT = 1.10, 1.2

MEASURED = """
import json, os, sys, time
began, values = time.time(), {"train/loss": 0.6931471805599453, "train/norm": 1.2345678901234567, "train/lr": 2.1e-05}
steps, folder = int(sys.argv[1]), sys.argv[2]
SETUP
took = []
for step in range(1, steps + 1):
    before = time.perf_counter_ns()
    CALL
    took.append(time.perf_counter_ns() - before)
loop_s = time.time() - began
END
took.sort()
json.dump({
    "began": began, "call_us": took[len(took) // 2] / 1e3, "p99_us": took[len(took) * 99 // 100] / 1e3,
    "cpu_s": time.process_time(), "loop_s": loop_s,
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


class Measured(NamedTuple):
    """One process: microseconds per call, CPU seconds, seconds until all was at the trackers."""

    call_us: float
    p99_us: float
    cpu_s: float
    all_there_s: float


def measure(parts: tuple[str, str, str], at: list[Vendor], steps: int) -> Measured:
    """Run one process against servers of its own."""
    setup, call, end = parts
    code = MEASURED.replace("SETUP", setup).replace("CALL", call).replace("END", end)
    environment = {**os.environ, "TRACKBRIDGE_FINISH_TIMEOUT_S": "600", "COMET_LOGGING_CONSOLE": "ERROR"}
    for one in at:
        environment |= one.environment
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, str(steps), folder],
            env=environment,
            cwd=folder,  # Comet keeps the git patch of where it runs, Neptune its queue
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        told = json.loads(done.stdout.splitlines()[-1])
        for one in at:
            wait_for_points(one, 3 * steps)
        ended = time.time()
    return Measured(told["call_us"], told["p99_us"], told["cpu_s"], ended - told["began"])


def wait_for_points(one: Vendor, expected: int) -> None:
    """Until the server has them all.

    Raises:
        SystemExit: it does not get them.
    """
    deadline = time.monotonic() + 120
    while (there := points_at(one)) < expected:
        if time.monotonic() > deadline:
            raise SystemExit(f"{one.name} has {there:,} of {expected:,} points")
        time.sleep(0.1)


def points_at(one: Vendor) -> int:
    """How many points of the training are at the server."""
    server: Any = one.server
    return sum(point.metric.startswith("train/") for run_id in server.run_ids() for point in server.seen(run_id).points)


def ways() -> dict[str, tuple[tuple[str, str, str], tuple[str, ...]]]:
    """What is measured: its code, and the trackers it goes to."""

    def ours(*to: str) -> tuple[tuple[str, str, str], tuple[str, ...]]:
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
    rounds: dict[str, list[Measured]] = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name, (parts, to) in chosen.items():
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                at = [stack.enter_context(vendor(tracker, Path(folder))) for tracker in to]
                rounds[name].append(measure(parts, at, options.steps))
    medians = {
        name: Measured(*(statistics.median(column) for column in zip(*measured, strict=True)))
        for name, measured in rounds.items()
    }
    print(f"{'':<26}{'call':>10}{'p99':>11}{'CPU':>9}{'all there':>12}")
    for name, one in medians.items():
        print(f"{name:<26}{one.call_us:>7.1f} us{one.p99_us:>8.1f} us{one.cpu_s:>7.2f} s{one.all_there_s:>10.2f} s")
    return verdict(medians)


def verdict(medians: dict[str, Measured]) -> int:
    """Print the ratios that are promised; 1 when one is not kept."""
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
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
