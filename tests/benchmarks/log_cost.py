"""
What a call of `run.log` costs beside the one `write(2)` it makes, and what `start_run` and a heard `print` cost.

    python tests/benchmarks/log_cost.py --calls 200000

Each call is timed by itself, in blocks that alternate with blocks of bare writes of the same line in the same
process, so that both see the same machine. The cost of the clock is taken off both. A ratio is that of two medians
of one round; what is printed is the median over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import torch

import trackbridge as tb

BLOCK_CALLS = 2000
RATIO_LIMIT = 3.0
START_LIMIT_MS = 150.0
VALUES = {"train/loss": 0.6931471805599453, "train/grad_norm": 1.2345678901234567, "train/learning_rate": 2.1e-05}

COLD_START = """
import sys, time
began = time.perf_counter()
import trackbridge as tb
imported = time.perf_counter()
run = tb.start_run("cost", root=sys.argv[1], config={"lr": 2e-5})
print((imported - began) * 1e3, (time.perf_counter() - imported) * 1e3)
"""


def clock_ns() -> float:
    """What two readings of the clock cost when nothing is between them."""
    return statistics.median(-(perf_counter_ns() - perf_counter_ns()) for _ in range(10_000))


def time_each(call: Callable[[int], object]) -> tuple[float, float]:
    """Median and 99th percentile of one block of calls, in nanoseconds, the clock included."""
    took = []
    for step in range(BLOCK_CALLS):
        began = perf_counter_ns()
        call(step)
        took.append(perf_counter_ns() - began)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def print_log_costs(folder: Path, calls: int) -> float:
    """The table of what a call costs; returns the ratio for three floats, the larger of with and without an epoch."""
    run = tb.start_run("cost", root=folder)
    run.log(VALUES, step=0)
    (journal,) = run.path.glob("journal-*.jsonl")
    line = journal.read_bytes().splitlines(keepends=True)[-1]
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    tensor, scalars = torch.tensor(0.6931), {name: np.float64(value) for name, value in VALUES.items()}
    ways: dict[str, Callable[[int], object]] = {
        "os.write of the same line": lambda step: os.write(fd, line),
        "run.log, three floats": lambda step: run.log(VALUES, step=step),
        "run.log, three floats, epoch": lambda step: run.log(VALUES, step=step, epoch=0.5),
        "run.log, one torch scalar": lambda step: run.log({"train/loss": tensor}, step=step),
        "run.log, three numpy scalars": lambda step: run.log(scalars, step=step),
    }
    costs = {name: list(measured) for name, measured in rounds_of(ways, max(3, calls // BLOCK_CALLS))}
    bare = [median for median, _ in costs["os.write of the same line"]]
    ratios = {}
    print(f"{'':<30}{'median':>9}{'p99':>9}{'ratio':>8}{'events/s':>11}")
    for name, measured in costs.items():
        median, p99 = (statistics.median(column) for column in zip(*measured, strict=True))
        ratio = ratios[name] = statistics.median(own / write for (own, _), write in zip(measured, bare, strict=True))
        print(f"{name:<30}{median / 1e3:>6.2f} us{p99 / 1e3:>6.2f} us{ratio:>8.2f}{1e9 / median:>11,.0f}")
    run.finish()
    os.close(fd)
    return max(ratios["run.log, three floats"], ratios["run.log, three floats, epoch"])


def print_console_costs(folder: Path, calls: int) -> None:
    """The table of what a `print` costs to a stream that no run hears, and to one that is heard."""
    line = "step 1200: loss 0.4321, learning rate 2e-05"
    with open(os.devnull, "w") as unheard, open(os.devnull, "w") as heard:
        with redirect_stdout(heard):
            run = tb.start_run("cost", root=folder)
        ways: dict[str, Callable[[int], object]] = {
            "print": lambda step: print(line, file=unheard),
            "print, while a run is open": lambda step: print(line, file=heard),
        }
        costs = rounds_of(ways, max(3, calls // BLOCK_CALLS))
        run.finish()
    for name, measured in costs:
        median, p99 = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:<30}{median / 1e3:>6.2f} us{p99 / 1e3:>6.2f} us")


def rounds_of(
    ways: dict[str, Callable[[int], object]], n_rounds: int
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each way with its median and p99 per round, without the clock; the ways take turns in every round."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for call in ways.values():
        time_each(call)
    clock = clock_ns()
    for _ in range(n_rounds):
        for name, call in ways.items():
            median, p99 = time_each(call)
            measured[name].append((median - clock, p99 - clock))
    return iter(measured.items())


def print_start_costs(folder: Path) -> float:
    """The table of what `start_run` costs; returns the median of the cold starts in milliseconds."""
    cold = [
        [float(word) for word in subprocess.check_output([sys.executable, "-c", COLD_START, str(folder)]).split()]
        for _ in range(11)
    ]
    warm = []
    for _ in range(21):
        began = perf_counter_ns()
        run = tb.start_run("cost", root=folder, config={"lr": 2e-5})
        warm.append((perf_counter_ns() - began) / 1e6)
        run.finish()
    cold_ms = statistics.median(start for _, start in cold)
    print(f"{'start_run':<30}{'median':>9}{'worst':>9}")
    print(f"{'first of a process':<30}{cold_ms:>6.0f} ms{max(start for _, start in cold):>6.0f} ms")
    print(f"{'later':<30}{statistics.median(warm):>6.0f} ms{max(warm):>6.0f} ms")
    return cold_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="timed calls per way (default: 100000)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the folder for temporary files)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ratio = print_log_costs(Path(folder), options.calls)
        print_console_costs(Path(folder), options.calls)
        print()
        cold_ms = print_start_costs(Path(folder))
    print(f"\nratio {ratio:.2f} (at most {RATIO_LIMIT}), start {cold_ms:.0f} ms (at most {START_LIMIT_MS:.0f} ms)")
    return int(ratio > RATIO_LIMIT or cold_ms > START_LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
