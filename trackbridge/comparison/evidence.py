"""
Evidence: what the scores of two settings say about a difference, before other comparisons are counted in.

How a pair is judged follows from how its runs are laid out, never from what comes out. Measured error rates of these
rules: `python tests/benchmarks/verdict_error_rates.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.keys import replicate_mark
from trackbridge.comparison.scores import GroupScore
from trackbridge.comparison.statistics.distributions import t_two_sided_p
from trackbridge.comparison.statistics.intervals import Interval, sample_of, t_interval, welch_error
from trackbridge.comparison.statistics.noise import MIN_DF, SeedNoise
from trackbridge.comparison.statistics.power import ALPHA
from trackbridge.comparison.statistics.significance import sign_flip_p, smallest_sign_flip_p
from trackbridge.comparison.verdict import Method

MIN_RUNS = 3
"""With fewer runs of a setting, only the noise of other replicates can judge it."""

MIN_RUNS_FOR_SIGN_FLIPS = 6
"""With five pairs the smallest two-sided p is 2 / 2**5 = .0625, which can show nothing."""

MIN_MATCHED_SHARE = 0.75
"""Of the runs of the larger setting, the share that must have a run of equal seeds in the other to judge by pairs."""

Partners: TypeAlias = tuple[tuple[str, str], ...]
"""Ids of runs with equal seeds, of the one and of the other group; empty where the seeds do not match."""


Scores: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the scores of two settings say, before the other comparisons are counted in.

    `scores` are those judged by. `p` is None where nothing can be said, and `reason` says why. `error` is the standard
    error of the effect, `df` its degrees of freedom, `sd` the unit in which effects are counted.
    """

    method: Method
    scores: Scores
    reason: str = ""
    effect: float | None = None
    error: float = 0.0
    df: float = 0.0
    sd: float = 0.0
    p: float | None = None
    n_pairs: int | None = None
    noise: SeedNoise | None = None

    @property
    def is_identical(self) -> bool:
        """Whether every run scores the same as the run of equal seeds of the other setting."""
        return self.method == "none" and self.n_pairs is not None

    @property
    def interval(self) -> Interval | None:
        """The 95 % t interval of the effect; None where nothing can be said."""
        if self.effect is None or self.p is None:
            return None
        return t_interval(self.effect, self.error, self.df)

    @property
    def seed_correlation(self) -> float | None:
        """Pearson's correlation of the scores at equal seeds; None where they are not paired, or do not vary."""
        first, second = (sample_of(scores) if scores else None for scores in self.scores)
        if self.n_pairs is None or first is None or second is None or first.sd == 0 or second.sd == 0:
            return None
        pairs = zip(*self.scores, strict=True)
        products = ((a - first.mean) / first.sd * ((b - second.mean) / second.sd) for a, b in pairs)
        return math.fsum(products) / (first.n - 1)


def matched(one: ReplicateGroup, other: ReplicateGroup) -> Partners:
    """Runs of equal seeds, where nearly all runs of both groups have such a partner; else none.

    Pairing by equal seeds takes the part of the noise away that they share. Where they share nothing it costs 4 points
    of power at 10 seeds, where they are correlated by .5 it gives 25.
    """
    marks = [{replicate_mark(run): run.run_id for run in group.runs} for group in (one, other)]
    sizes = (len(one.runs), len(other.runs))
    if any(None in found or len(found) < size for found, size in zip(marks, sizes, strict=True)):
        return ()
    pairs = tuple((run_id, marks[1][mark]) for mark, run_id in marks[0].items() if mark in marks[1])
    return pairs if len(pairs) >= MIN_MATCHED_SHARE * max(sizes) else ()


def weigh(
    one: GroupScore, other: GroupScore, partners: Partners, noise: SeedNoise | None, *, n_shown: int = 1
) -> Evidence:
    """The evidence for a difference between two settings.

    By pairs where three or more runs of equal seeds count in both; by Welch's test where three or more runs count in
    both; else by the noise of other replicates, where these have five degrees of freedom.

    Args:
        one: the setting that is judged.
        other: the setting that it is read against.
        partners: its runs with their partners of equal seeds.
        noise: how far seeds move the score, over all replicates.
        n_shown: how many comparisons are shown with it.
    """
    both = [(a, b) for a, b in partners if a in one.counted and b in other.counted]
    paired = tuple(one.counted[a] for a, _ in both), tuple(other.counted[b] for _, b in both)
    everyone = tuple(one.counted.values()), tuple(other.counted.values())
    if both and paired[0] == paired[1] and len(both) == max(map(len, everyone)):
        return Evidence("none", paired, effect=0.0, n_pairs=len(both))
    if not all(everyone):
        lacking = one if not one.counted else other
        return Evidence("none", everyone, f"{lacking.label} has no run whose score counts")
    if len(both) >= MIN_RUNS:
        return _paired(paired, n_shown)
    if min(map(len, everyone)) >= MIN_RUNS:
        return _unpaired(everyone)
    return _by_ruler(everyone, noise)


def _paired(scores: Scores, n_shown: int) -> Evidence:
    gaps = [a - b for a, b in zip(*scores, strict=True)]
    sample = sample_of(gaps)
    n = sample.n
    found = Evidence("paired t", scores, effect=sample.mean, df=n - 1, sd=sample.sd, n_pairs=n)
    found = replace(found, error=sample.sd / math.sqrt(n))
    # Where there are too many comparisons for the smallest p of n sign flips to count, flips could never show anything.
    if n >= MIN_RUNS_FOR_SIGN_FLIPS and smallest_sign_flip_p(n) * n_shown < ALPHA:
        return replace(found, method="paired sign flips", p=sign_flip_p(gaps))
    return _by_t(found)


def _unpaired(scores: Scores) -> Evidence:
    one, other = sample_of(scores[0]), sample_of(scores[1])
    found = Evidence("Welch", scores, effect=one.mean - other.mean)
    if max(one.sd, other.sd) == 0:
        return _by_t(found)
    error, df = welch_error(one, other)
    return _by_t(replace(found, error=error, df=df, sd=math.hypot(one.sd, other.sd) / math.sqrt(2)))


def _by_ruler(scores: Scores, noise: SeedNoise | None) -> Evidence:
    effect = sample_of(scores[0]).mean - sample_of(scores[1]).mean
    if noise is None or noise.df < MIN_DF:
        counts = " and ".join(str(len(one)) for one in scores)
        reason = f"{counts} runs, and too few other replicates to tell how far seeds alone move the score"
        return Evidence("none", scores, f"{reason}; run each with {MIN_RUNS} seeds or more", effect=effect)
    error = noise.sd * math.sqrt(1 / len(scores[0]) + 1 / len(scores[1]))
    return _by_t(Evidence("seed-noise ruler", scores, "", effect, error, noise.df, noise.sd, noise=noise))


def _by_t(found: Evidence) -> Evidence:
    if found.error == 0 or found.effect is None:
        return replace(found, reason="the scores do not vary, so nothing tells how far seeds move them")
    return replace(found, p=t_two_sided_p(found.effect / found.error, found.df))
