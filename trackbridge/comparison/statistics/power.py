"""
Power: which difference so many runs can show, and how many runs show such a difference.

Effects are in seed standard deviations. Source of all: Colas, Sigaud and Oudeyer 2018, "How many random seeds?",
https://arxiv.org/abs/1806.08295, which takes the power of the two-sample t test (Cohen 1988, chapter 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

from trackbridge.comparison.statistics.distributions import noncentral_t_cdf, t_quantile

ALPHA = 0.05
POWER = 0.80
MAX_RUNS = 1000


def power_of_t(noncentrality: float, df: float, alpha: float = ALPHA) -> float:
    """The chance that a two-sided t test with these degrees of freedom sees an effect of this noncentrality."""
    critical = t_quantile(1 - alpha / 2, df)
    return 1 - noncentral_t_cdf(critical, df, noncentrality) + noncentral_t_cdf(-critical, df, noncentrality)


def visible_noncentrality(df: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The noncentrality that a t test sees with this power; times the standard error, the smallest visible difference.

    With n runs of each of two settings the standard error is sd sqrt(2 / n): 3.07 sd for n = 3, 1.33 for n = 10.
    """
    return _visible_noncentrality(round(df, 6), alpha, power)


def unpaired_runs_needed(effect: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """How many runs of each of two settings show an effect of so many seed sd: 17 for 1 sd; None above 1,000."""
    return _runs_needed(abs(effect), lambda n: math.sqrt(n / 2), lambda n: 2 * n - 2, alpha, power)


def paired_runs_needed(effect: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """How many pairs show an effect of so many sd of the paired differences: 10 for 1 sd; None above 1,000."""
    return _runs_needed(abs(effect), lambda n: math.sqrt(n), lambda n: n - 1, alpha, power)


@lru_cache(maxsize=1024)
def _visible_noncentrality(df: float, alpha: float, power: float) -> float:
    low, high = 0.0, 10.0
    while power_of_t(high, df, alpha) < power:
        high *= 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_t(middle, df, alpha) < power else (low, middle)
    return high


def _runs_needed(
    effect: float, root: Callable[[int], float], df: Callable[[int], int], alpha: float, power: float
) -> int | None:
    def is_enough(n: int) -> bool:
        return power_of_t(effect * root(n), df(n), alpha) >= power

    # The normal test needs a little fewer runs than the t test: the search starts there.
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    if effect * root(MAX_RUNS) < reach:
        return None
    n = max(2, next(n for n in _doubling() if effect * root(n) >= reach) // 2)
    while not is_enough(n):
        n += max(1, n // 64)
    while n > 2 and is_enough(n - 1):
        n -= 1
    return n


def _doubling() -> list[int]:
    return [2**exponent for exponent in range(1, 12)]
