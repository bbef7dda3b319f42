"""
How long the import of a W&B offline run takes, beside W&B's own tool reading the same file.

    python tests/benchmarks/import_speed.py [--rows 333334] [--rounds 3] [--folder FOLDER]

The run has three metrics in each row, a million points by default, and is written by the real SDK. In each round,
in turns: `wandb leet inspect --json` to a file, `trackbridge import` into an empty root, and `trackbridge import` once
more, which finds that nothing is new. Printed are the medians of the wall time, the CPU time and the memory at its
peak, and the ratio of the medians. With `--folder`, the run is kept there and used again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WRITE = """
import sys, wandb
folder, n_rows = sys.argv[1], int(sys.argv[2])
settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
run = wandb.init(mode="offline", dir=folder, id="large", project="speed", settings=settings)
for row in range(n_rows):
    loss, rate, norm = 2.5 / (row + 1) + 0.1, 2e-5 * (1 - row / n_rows), 1 + row % 97 / 13
    run.log({"train/loss": loss, "train/lr": rate, "train/norm": norm})
run.finish()
"""


class Cost(NamedTuple):
    """What one command took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def cost_of(command: list[str], output: Path) -> Cost:
    """Run a command with its output in a file."""
    began = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def written_run(folder: Path, n_rows: int) -> Path:
    """The run's file, written by the SDK where it is not there yet."""
    if not list(folder.glob("wandb/offline-run-*/*.wandb")):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", WRITE, str(folder), str(n_rows)], check=True)
    return next(folder.glob("wandb/offline-run-*/*.wandb"))


def one_round(file: Path, scratch: Path) -> dict[str, Cost]:
    """Each command once."""
    root = scratch / "runs"
    shutil.rmtree(root, ignore_errors=True)
    command = str(Path(sys.executable).with_name("wandb"))
    ours = [sys.executable, "-m", "trackbridge", "import", str(file), "--root", str(root)]
    return {
        "wandb leet inspect --json": cost_of([command, "leet", "inspect", "--json", str(file)], scratch / "leet.jsonl"),
        "trackbridge import": cost_of(ours, scratch / "ours.txt"),
        "trackbridge import, again": cost_of(ours, scratch / "again.txt"),
    }


def median(costs: list[Cost]) -> Cost:
    """The median of each of their numbers."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def main() -> None:
    """Write the run, take the times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=333_334)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        file = written_run(asked.folder or scratch / "source", asked.rows)
        print(f"{file.stat().st_size / 1e6:.0f} MB, {3 * asked.rows:,} points, {asked.rounds} rounds")
        rounds = [one_round(file, scratch) for _ in range(asked.rounds)]
    medians = {name: median([one[name] for one in rounds]) for name in rounds[0]}
    print(f"{'':28}{'wall s':>9}{'cpu s':>9}{'peak MB':>9}")
    for name, cost in medians.items():
        print(f"{name:28}{cost.wall_s:9.2f}{cost.cpu_s:9.2f}{cost.peak_mb:9.0f}")
    theirs, ours = medians["wandb leet inspect --json"], medians["trackbridge import"]
    print(f"ratio of wall times: {ours.wall_s / theirs.wall_s:.2f} (aim: at most 1)")


if __name__ == "__main__":
    main()
