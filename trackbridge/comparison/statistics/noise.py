"""Seed noise: how far seeds alone move a score, pooled over settings, and its share of all variance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.comparison.statistics.distributions import f_quantile, f_upper_p
from trackbridge.comparison.statistics.intervals import LEVEL, Interval, sample_of

MIN_DF = 5
"""With fewer degrees of freedom a pooled sd says too little to judge single runs by."""


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """The sd that seeds alone give a score, and the degrees of freedom it is known with."""

    sd: float
    df: int


@dataclass(frozen=True, slots=True)
class SeedShare:
    """The share of a score's variance that seeds explain, with its interval; the rest is the settings'.

    `sd_seed` and `sd_settings` are in the metric's unit; `p` is that of the settings making no difference.
    """

    share: float
    interval: Interval
    sd_seed: float
    sd_settings: float
    p: float


def pooled_noise(groups: Sequence[Sequence[float]]) -> SeedNoise | None:
    """The within-group variance of replicates, pooled: sum (n - 1) s² / sum (n - 1); None where no group has two runs.

    It takes seeds to move all settings equally far. Source: the error mean square of Fisher's analysis of variance.
    """
    samples = [sample_of(group) for group in groups if len(group) > 1]
    df = sum(sample.n - 1 for sample in samples)
    if df == 0:
        return None
    scale = max(sample.sd for sample in samples) or 1.0
    return SeedNoise(scale * math.sqrt(sum((one.n - 1) * (one.sd / scale) ** 2 for one in samples) / df), df)


def seed_share(groups: Sequence[Sequence[float]]) -> SeedShare | None:
    """Which share of the variance seeds explain, by one-way random effects.

    None with fewer than two settings, where no setting was repeated, or where seeds change nothing. The interval is
    the exact one of the F ratio (approximate where groups differ in size), and wide for few settings.

    Source: Searle, Casella and McCulloch 1992, "Variance components", sections 3.6 and 3.7; Bouthillier et al. 2021,
    https://arxiv.org/abs/2103.03098, for asking it of seeds.
    """
    samples = [sample_of(group) for group in groups if group]
    n_total, k = sum(sample.n for sample in samples), len(samples)
    if k < 2 or n_total == k:
        return None
    grand = math.fsum(sample.n * sample.mean for sample in samples) / n_total
    within = math.fsum((sample.n - 1) * sample.sd**2 for sample in samples) / (n_total - k)
    between = math.fsum(sample.n * (sample.mean - grand) ** 2 for sample in samples) / (k - 1)
    if within == 0:
        return None
    size = (n_total - sum(sample.n**2 for sample in samples) / n_total) / (k - 1)
    settings = max(0.0, (between - within) / size)
    ratio = between / within
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    low, high = (_share(ratio / f_quantile(tail, k - 1, n_total - k) - 1, size) for tail in tails)
    return SeedShare(
        share=within / (within + settings),
        interval=Interval(low, high),
        sd_seed=math.sqrt(within),
        sd_settings=math.sqrt(settings),
        p=f_upper_p(ratio, k - 1, n_total - k),
    )


def _share(excess: float, size: float) -> float:
    return 1 - max(0.0, excess / (excess + size))
