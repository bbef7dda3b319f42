"""
What is at each tracker after everything that can break has broken: every point, once, in order, at its time.

    python tests/benchmarks/delivery_faults.py --trials 3
    python tests/benchmarks/delivery_faults.py --vendor wandb --fault "relay killed"

Each trial is a real training of 3,000 steps that is delivered live to a tracker on this machine, and read back from
it. W&B, Comet and Neptune are the fakes of `trackbridge.testing`, MLflow is the real server, TensorBoard's files are
read by TensorBoard; what needs a server to break is not tried there.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault_kit import FAULTS, STATUS_AFTER, VENDORS, WITHOUT_A_SERVER, Faulty, Outcome, outcome_of, vendor

TARGETS = (*VENDORS, "tensorboard")
COLUMNS = ("logged", "at server", "missing", "doubled", "disorder", "wrong time")


def try_one(name: str, fault: str, trial: int, steps: int, kills: int) -> Outcome | str:
    """What one trial left, or why it came to no end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, vendor(name, Path(folder)) as server:
        run = Faulty(server, Path(folder) / "runs", random.Random(f"{name} {fault} {trial}"), steps=steps, kills=kills)
        try:
            FAULTS[fault](run)
            run.wait_until_delivered()
            return outcome_of(run)
        except AssertionError as error:
            return f"{name}, {fault}, trial {trial}: {error}"
        finally:
            for relay in run.relays():
                relay.kill()


def print_row(name: str, fault: str, tried: list[Outcome | str]) -> int:
    """One line of the table; returns how many things in it are not as promised."""
    outcomes = [one for one in tried if isinstance(one, Outcome)]
    sums = [
        sum(column)
        for column in zip(
            *((o.logged, o.at_server, o.missing, o.duplicated, o.out_of_order, o.wrong_time) for o in outcomes),
            strict=True,
        )
    ] or [0] * len(COLUMNS)
    statuses = {outcome.status for outcome in outcomes}
    print(f"{name:<11} {fault:<27} {len(tried):>6}", *(f"{number:>10,}" for number in sums), f"  {', '.join(statuses)}")
    stuck = [one for one in tried if isinstance(one, str)]
    print(*(f"    {one}\n" for one in stuck), sep="", end="", flush=True)
    untrue = len(statuses - set(STATUS_AFTER.get(fault, ("finished",))))
    return sum(outcome.defects for outcome in outcomes) + untrue + len(stuck)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1, help="trials per vendor and fault (default: 1)")
    parser.add_argument("--steps", type=int, default=3000, help="steps of each training (default: 3000)")
    parser.add_argument("--kills", type=int, default=20, help="deaths of the relay in one run (default: 20)")
    parser.add_argument("--vendor", choices=TARGETS, action="append", help="only this one; may be given again")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only this one; may be given again")
    parser.add_argument("--at-once", type=int, default=2, help="trials that run at once (default: 2)")
    options = parser.parse_args()
    cells = [
        (name, fault)
        for name in options.vendor or TARGETS
        for fault in options.fault or FAULTS
        if name in VENDORS or fault in WITHOUT_A_SERVER
    ]
    print(f"{'vendor':<11} {'fault':<27} {'trials':>6}", *(f"{column:>10}" for column in COLUMNS), "  status")
    failures = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        tried = {
            (name, fault): [
                pool.submit(try_one, name, fault, trial, options.steps, options.kills)
                for trial in range(options.trials)
            ]
            for name, fault in cells
        }
        for (name, fault), futures in tried.items():
            failures += print_row(name, fault, [future.result() for future in futures])
    print("everything is there once" if not failures else f"{failures} failures")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
