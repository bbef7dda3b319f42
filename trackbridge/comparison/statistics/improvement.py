"""The probability of improvement: how often a run of one setting beats a run of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trackbridge.comparison.statistics.intervals import LEVEL, Interval

GAMMA = 0.75
"""From here on an improvement is meaningful: it shows in three of four runs (Bouthillier et al. 2021)."""

MIN_RUNS = 10
N_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Improvement:
    """How often a run of one setting beats a run of the other, and what that means by Bouthillier et al. 2021."""

    probability: float
    interval: Interval

    @property
    def size(self) -> Literal["meaningful", "small", "inconclusive"]:
        """`small`: real, but a run beats the other setting's in less than three of four cases."""
        if self.interval.holds(0.5):
            return "inconclusive"
        return "meaningful" if max(self.interval.high, 1 - self.interval.low) > GAMMA else "small"


def probability_of_improvement(scores: ArrayLike, against: ArrayLike) -> float:
    """The share of all pairs of runs in which the first setting scores higher; ties count half.

    Args:
        scores: float[n].
        against: float[m]; the runs of the two settings have nothing in common.

    Source: Mann and Whitney 1947 (U / nm); Agarwal et al. 2021, https://arxiv.org/abs/2108.13264, section 4.3.
    """
    return float(_wins(np.asarray(scores, np.float64)[:, None] - np.asarray(against, np.float64)).mean())


def unpaired_improvement(scores: ArrayLike, against: ArrayLike, seed: int = 0) -> Improvement:
    """The probability of improvement of unpaired runs, ten or more each, with its percentile bootstrap interval.

    Source: Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks",
    https://arxiv.org/abs/2103.03098, appendix C. With three runs it calls 20 % of equal settings different.
    """
    wins = _wins(np.asarray(scores, np.float64)[:, None] - np.asarray(against, np.float64))
    n, m = wins.shape
    draws = np.einsum("dm,dm->d", _drawn_counts(n, seed) @ wins, _drawn_counts(m, seed + 1)) / (n * m)
    return Improvement(float(wins.mean()), _percentiles(draws))


def paired_improvement(differences: ArrayLike, seed: int = 0) -> Improvement:
    """The probability of improvement of paired runs, ten pairs or more, with its percentile bootstrap interval.

    Source: Bouthillier et al. 2021, appendix C.
    """
    wins = _wins(np.asarray(differences, np.float64))
    draws = _drawn_counts(len(wins), seed) @ wins / len(wins)
    return Improvement(float(wins.mean()), _percentiles(draws))


def runs_for_improvement(gamma: float = GAMMA, alpha: float = 0.05, beta: float = 0.05) -> int:
    """How many runs of each setting show a probability of improvement of `gamma`: 29 for .75.

    `alpha` is the share of false claims, one-sided; `beta` that of missed improvements.

    Source: Noether 1987, "Sample size determination for some common nonparametric tests", JASA 82, as used by
    Bouthillier et al. 2021, appendix C.3.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha) - normal.inv_cdf(beta)
    return math.ceil((z / (math.sqrt(6) * (0.5 - gamma))) ** 2)


def _wins(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    return (np.sign(differences) + 1) / 2


@lru_cache(maxsize=16)
def _drawn_counts(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of n runs is drawn in each resample: float[draws, n]."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_DRAWS).astype(np.float64)
    drawn.flags.writeable = False
    return drawn


def _percentiles(draws: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
