"""
How often `trackbridge check` passes what is too bad, fails what is good enough, and cannot tell.

    python tests/benchmarks/gate_error_rates.py [--draws 1000] [--json FILE]

Each draw holds n runs against n golden ones, with normal scores (sd 1, of which pairs of equal seeds share a half). The
truth is a change that does nothing, one that is worse by exactly the margin, or one that is worse by twice the margin.
Beside it what is often done instead: fail where the mean, or the one run there is, fell by more than the margin.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from verdict_error_rates import runs_of, scores

from trackbridge.comparison import Gate

SIZES = (3, 5, 10)
MARGINS = (1.0, 2.0)
TRUTHS = {"no change": 0.0, "worse by the margin": -1.0, "worse by twice the margin": -2.0}


@dataclass(frozen=True)
class Rates:
    """Shares of the draws of one layout, size, margin (in seed sd) and truth; the last two: by a mean or one run."""

    layout: str
    n: int
    margin: float
    truth: str
    passed: float
    failed: float
    cannot_tell: float
    naive_failed: float
    single_failed: float


def measured(layout: str, n: int, margin: float, truth: str, draws: int, seed: int = 0) -> Rates:
    """The rates of `draws` decisions."""
    generator = np.random.default_rng([seed, n, len(layout), int(10 * margin), len(truth)])
    outcomes: Counter[str] = Counter()
    naive = single = 0
    for _ in range(draws):
        new, golden = scores(generator, "healthy", layout, n, TRUTHS[truth] * margin)
        baseline = runs_of("golden", golden, 0)
        runs = runs_of("new", new, 0 if layout == "same seeds" else n)
        outcomes[Gate("eval/mcc", margin).decide(runs, baseline=baseline).outcome] += 1
        naive += bool(new.mean() - golden.mean() < -margin)
        single += bool(new[0] - golden[0] < -margin)
    rates = (outcomes[name] / draws for name in ("pass", "fail", "cannot tell"))
    return Rates(layout, n, margin, truth, *rates, naive / draws, single / draws)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Error rates of the gate.")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{arguments.draws} draws a row; the margin is in seed sd; nominal: at the margin 2.5 % pass and 2.5 % fail")
    print("| seeds | n | margin | truth | pass | fail | cannot tell | mean fell | one run fell |")
    print("|---|--:|--:|---|--:|--:|--:|--:|--:|")
    rows = []
    for layout in ("same seeds", "other seeds"):
        for n in SIZES:
            for margin in MARGINS:
                for truth in TRUTHS:
                    row = measured(layout, n, margin, truth, arguments.draws)
                    rows.append(row)
                    rates = " | ".join(f"{100 * value:.1f}" for value in list(asdict(row).values())[4:])
                    print(f"| {layout} | {n} | {margin:g} sd | {truth} | {rates} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
