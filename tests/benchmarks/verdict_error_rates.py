"""
How often the verdicts of a comparison are wrong, and what they miss: false positives, coverage and power.

    python tests/benchmarks/verdict_error_rates.py [--draws 2000] [--json FILE]

Each draw makes two settings of n runs with scores from a normal distribution (sd 1, of which pairs of equal seeds
share a half), lets `compare` judge them, and counts. `healthy`: all runs learn. `degenerate`: 15 % of the runs of both
settings end at the score of a model that has learned nothing. Power is for a true difference of 1 sd. Beside them what
others do with the same scores, all of them, failed or not: 1.96 standard errors, a percentile bootstrap, a t interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison import compare
from trackbridge.comparison.statistics.distributions import t_quantile
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

SIZES = (3, 5, 10, 20)
LEVEL, SD, CORRELATION, DEGENERATE_RATE = 10.0, 1.0, 0.5, 0.15
# Eight standard deviations below: no healthy run comes near.
CHANCE = 0.0


@dataclass(frozen=True)
class Rates:
    """What came out for one layout, one size and one kind of runs; shares of the draws."""

    kind: str
    layout: str
    n: int
    false_positives: float
    power: float
    difference_covered: float
    mean_covered: float
    z_covered: float
    bootstrap_covered: float
    mixed_covered: float


def measured(kind: str, layout: str, n: int, draws: int, seed: int = 0) -> Rates:
    """The rates of `draws` comparisons of two equal settings, and of as many of two that are 1 sd apart."""
    generator = np.random.default_rng([seed, n, len(kind), len(layout)])
    equal = [judged(generator, kind, layout, n, effect=0.0) for _ in range(draws)]
    apart = [judged(generator, kind, layout, n, effect=SD) for _ in range(draws)]
    both = equal + apart
    return Rates(
        kind=kind,
        layout=layout,
        n=n,
        false_positives=fmean(one.is_shown for one in equal),
        power=fmean(one.is_shown for one in apart),
        difference_covered=fmean(one.difference_covered for one in both if one.difference_covered is not None),
        mean_covered=fmean(one.mean_covered for one in both if one.mean_covered is not None),
        z_covered=fmean(one.others_covered[0] for one in both),
        bootstrap_covered=fmean(one.others_covered[1] for one in both),
        mixed_covered=fmean(one.others_covered[2] for one in both),
    )


@dataclass(frozen=True)
class Draw:
    """One comparison: whether a difference was claimed, which intervals hold the truth; None where none is given."""

    is_shown: bool
    difference_covered: bool | None
    mean_covered: bool | None
    others_covered: tuple[bool, bool, bool]


def judged(generator: np.random.Generator, kind: str, layout: str, n: int, effect: float) -> Draw:
    """Two settings of n runs whose means are `effect` apart, judged."""
    one, other = scores(generator, kind, layout, n, effect)
    first_seed = 0 if layout == "same seeds" else n
    metric = compare([*runs_of("other", other, 0), *runs_of("one", one, first_seed)]).metrics["eval/mcc"]
    verdict, statistics = metric.verdicts[0], metric.groups[1].statistics
    mean_interval = statistics.interval if statistics else None
    failing = DEGENERATE_RATE if kind == "degenerate" else 0.0
    return Draw(
        is_shown=verdict.verdict in ("better", "worse"),
        difference_covered=verdict.interval.holds(effect) if verdict.interval else None,
        mean_covered=mean_interval.holds(LEVEL + effect) if mean_interval else None,
        others_covered=_others_covered(generator, one, (1 - failing) * (LEVEL + effect) + failing * CHANCE),
    )


def scores(
    generator: np.random.Generator, kind: str, layout: str, n: int, effect: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of two settings; half of the variance comes from the seed, and is the same where seeds are."""
    from_seeds = [generator.normal(0, np.sqrt(CORRELATION) * SD, n) for _ in range(2)]
    both = []
    for index, shift in enumerate((effect, 0.0)):
        from_seed = from_seeds[0 if layout == "same seeds" else index]
        found = LEVEL + shift + from_seed + generator.normal(0, np.sqrt(1 - CORRELATION) * SD, n)
        failed = generator.random(n) < (DEGENERATE_RATE if kind == "degenerate" else 0.0)
        both.append(np.where(failed, CHANCE, found))
    return both[0], both[1]


def _others_covered(
    generator: np.random.Generator, values: NDArray[np.float64], truth: float
) -> tuple[bool, bool, bool]:
    """Whether intervals over all runs, failed or not, hold their mean: 1.96 errors, a percentile bootstrap, t."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    low, high = np.percentile(generator.choice(values, (1000, len(values))).mean(axis=1), [2.5, 97.5])
    t = t_quantile(0.975, len(values) - 1)
    return bool(abs(mean - truth) <= 1.96 * error), bool(low <= truth <= high), bool(abs(mean - truth) <= t * error)


def family_error_rate(draws: int, n_settings: int = 4, n: int = 5, seed: int = 0) -> float:
    """The share of comparisons of equal settings, each pair judged by each of two metrics, with any false claim."""
    generator = np.random.default_rng(seed)
    wrong = 0
    for _ in range(draws):
        runs = [
            build_run(
                f"{setting}-{k}",
                config={"script": {"setting": setting}},
                seeds=Seeds(dropout=setting * n + k),
                curves={name: [float(generator.normal(LEVEL, SD))] for name in ("eval/mcc", "test/mcc")},
            )
            for setting in range(n_settings)
            for k in range(n)
        ]
        wrong += any(one.verdict in ("better", "worse") for one in compare(runs).verdicts)
    return wrong / draws


def runs_of(setting: str, values: Sequence[float] | NDArray[np.float64], first_seed: int) -> list[RunRecord]:
    """Runs of one setting with these scores, and seeds from this one on."""
    return [
        build_run(
            f"{setting}-{seed}",
            config={"script": {"setting": setting}},
            seeds=Seeds(init=1, data=1, dropout=seed),
            curves={"eval/mcc": [float(value)]},
        )
        for seed, value in enumerate(values, start=first_seed)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Error rates of verdicts.")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{arguments.draws} draws a row; nominal: 5 % false positives, 95 % covered")
    print("| runs | seeds | n | false positives | power, 1 sd | difference covered | mean covered"
          " | 1.96 errors | bootstrap | t over all |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for kind in ("healthy", "degenerate"):
        for layout in ("same seeds", "other seeds"):
            for n in SIZES:
                row = measured(kind, layout, n, arguments.draws)
                rows.append(row)
                rates = " | ".join(f"{value:.3f}" for value in list(asdict(row).values())[3:])
                print(f"| {kind} | {layout} | {n} | {rates} |", flush=True)
    family = family_error_rate(arguments.draws)
    print(f"any false claim among 12 comparisons (4 settings, 2 metrics, 5 seeds): {100 * family:.1f} % of the time")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
