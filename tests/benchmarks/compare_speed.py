"""
How long a comparison takes: 1,000 runs of 100 config keys, and the importance of the parameters of 200 runs.

    python tests/benchmarks/compare_speed.py [--runs 1000] [--keys 100] [--repeats 7] [--folder DIR]

Writes journals in a fresh folder, reads them through a store, and prints medians of warm calls in milliseconds, by the
clock and of the processor, with the first, cold call beside. Every run has five metrics, each evaluated twenty times.
Of 1,000 runs, 200 are settings of their own, and the others replicates, ten seeds of each setting.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackbridge.comparison import compare, diff_runs
from trackbridge.events.models import ConfigLogged, RunFinished, SeedsLogged
from trackbridge.store.store import open_store
from trackbridge.testing.journals import ToldJournal

N_EVALUATIONS = 20
SEEDS_PER_SETTING = 10


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description="Speed of comparisons.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_runs(Path(folder), arguments.runs, arguments.keys)
        store = open_store(folder)
        runs = store.runs()
        fewer = [run for run in runs if run.group == "single"]
        show = Meter(arguments.repeats)
        show(f"compare {len(runs)} runs of {arguments.keys} keys", lambda: compare(runs), aim_ms=500)
        show("the same against a baseline", lambda: compare(runs, baseline=runs[0]), aim_ms=500)
        show("the same at the end, one metric", lambda: compare(runs, metrics=["eval/mcc"], at="last"), aim_ms=500)
        show(f"diff of {len(runs)} runs", lambda: diff_runs(runs), aim_ms=500)
        compared, singles = compare(runs), compare(fewer)
        show(f"importance over {len(fewer)} settings", singles.importance, aim_ms=500)
        show(f"importance over {len(compared.groups)} settings of replicates", compared.importance)
        show(f"findings of {len(fewer)} runs, all curves", singles.findings)
        show("all as JSON", compared.to_json)


class Meter:
    """Prints the median of several calls, and the first one."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats

    def __call__(self, what: str, call: Callable[[], object], aim_ms: float | None = None) -> None:
        """Measure one kind of call."""
        first, *warm = [_times_ms(call) for _ in range(1 + self._repeats)]
        wall, processor = (statistics.median(one) for one in zip(*warm, strict=True))
        aim = f" (aim: under {aim_ms:.0f})" if aim_ms else ""
        print(f"{what}: {wall:.0f} ms, {processor:.0f} of the processor; first {first[0]:.0f} ms{aim}", flush=True)


def write_runs(root: Path, n_runs: int, n_keys: int) -> None:
    """Journals of replicates in groups of ten; the first 200 are each a setting of its own."""
    noise = random.Random(0)
    for index in range(n_runs):
        setting, seed = (index, 0) if index < 200 else (index // SEEDS_PER_SETTING, index % SEEDS_PER_SETTING)
        lr = 1e-5 * (1 + setting % 17)
        config: dict[str, Any] = {f"key_{key}": key for key in range(n_keys - 6)}
        config |= {"lr": lr, "setting": setting, "warmup": setting % 3 / 10, "depth": setting % 5, "cut": setting % 7}
        config["seed"] = seed
        journal = ToldJournal(f"writer-{index}", run=f"run-{index}", started_s=60.0 * index)
        journal.start(f"run-{index}", group="single" if index < 200 else "replicates")
        journal.tell(ConfigLogged, scope="training", config=config)
        journal.tell(SeedsLogged, init=1, data=2, dropout=seed)
        for step in range(1, N_EVALUATIONS + 1):
            score = 0.6 + 1e3 * lr * step / N_EVALUATIONS + noise.gauss(0, 0.02)
            losses = {"eval/loss": 1 / (step + score), "train/loss": 1 / step, "eval/f1": score, "eval/accuracy": score}
            journal.log(step * 50, {"eval/mcc": score, **losses})
        journal.tell(RunFinished, status="finished")
        journal.write(root)


def _times_ms(call: Callable[[], object]) -> tuple[float, float]:
    """What a call takes by the clock, and of the processor: on a busy machine the first is several times the second."""
    started, worked = time.perf_counter(), time.process_time()
    call()
    return 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - worked)


if __name__ == "__main__":
    main()
