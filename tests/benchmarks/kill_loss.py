"""
How many acknowledged points a killed training loses: it must be none.

    python tests/benchmarks/kill_loss.py --trials 50

Each trial starts a process that logs a growing counter and tells each number on a pipe after `log` returned, ends
it at a random moment, and reads the journal back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from crash_kit import ENDINGS, PACES, STATUS_LEFT, Crash, crash


def try_one(pace: str, ending: str) -> Crash | str:
    """The crash, or what was wrong with the journal it left."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return crash(Path(folder), pace=pace, ending=ending)
        except AssertionError as error:
            return str(error)


def print_row(ending: str, pace: str, tried: list[Crash | str]) -> int:
    """One line of the table; returns how many things in it are not as promised."""
    crashes = [one for one in tried if isinstance(one, Crash)]
    acknowledged, lost = sum(one.acknowledged for one in crashes), sum(one.lost for one in crashes)
    statuses = Counter(one.status or "none" for one in crashes)
    told = ", ".join(f"{status} x {n}" for status, n in statuses.items())
    damaged = [one for one in tried if isinstance(one, str)]
    print(f"{ending:<10} {pace:<8} {len(tried):>6} {acknowledged:>13,} {lost:>5} {len(damaged):>9}  {told}")
    print(*(f"    {error}\n" for error in damaged), sep="", end="", flush=True)
    return lost + len(damaged) + sum(one.status != STATUS_LEFT[ending] for one in crashes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10, help="trials per way to die and pace (default: 10)")
    parser.add_argument("--at-once", type=int, default=2, help="processes that run at once (default: 2)")
    options = parser.parse_args()
    print(f"{'ended by':<10} {'pace':<8} {'trials':>6} {'acknowledged':>13} {'lost':>5} {'problems':>9}  status left")
    failures = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        for ending in ENDINGS:
            for pace in PACES:
                tried = list(pool.map(try_one, [pace] * options.trials, [ending] * options.trials))
                failures += print_row(ending, pace, tried)
    print("nothing was lost" if not failures else f"{failures} failures")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
