"""
Intervals: what a mean, a difference of means or a rate may really be.

Bootstrap intervals are not among them: of five healthy scores a percentile bootstrap covers the mean in 84 % of the
cases, and 1.96 standard errors in 88 %, where 95 % are claimed (`tests/benchmarks/verdict_error_rates.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from trackbridge.comparison.statistics.distributions import t_quantile

LEVEL = 0.95

LARGEST = 1e150
"""A number beyond this is as good as infinite: its square is no float any more."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, in the unit of what it is about."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies in it, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Sample:
    """Size, mean and sample sd (ddof 1) of finite numbers; `sd` is 0 for fewer than two."""

    n: int
    mean: float
    sd: float


def is_usable(value: float) -> bool:
    """Whether a number can be averaged: it is neither NaN nor infinite, nor as good as that."""
    return abs(value) < LARGEST


def sample_of(values: Sequence[float]) -> Sample:
    """Size, mean and sample sd of one or more usable numbers.

    A spread that is nothing but the rounding of a sum is no spread: it becomes 0.
    """
    n = len(values)
    mean = math.fsum(values) / n
    # `hypot` scales: the squares of very small differences would vanish.
    sd = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1) if n > 1 else 0.0
    return Sample(n, mean, sd if sd > 1e-12 * max(map(abs, values)) else 0.0)


def mean_interval(sample: Sample, level: float = LEVEL) -> Interval:
    """The t interval of a mean: mean ± t sd / sqrt(n), n - 1 degrees of freedom; infinite for a single number.

    Source: Student 1908, "The probable error of a mean", Biometrika 6.
    """
    if sample.n < 2:
        return Interval(-math.inf, math.inf)
    return t_interval(sample.mean, sample.sd / math.sqrt(sample.n), sample.n - 1, level)


def t_interval(estimate: float, error: float, df: float, level: float = LEVEL) -> Interval:
    """The t interval of an estimate with this standard error: estimate ± t error, with `df` degrees of freedom."""
    half = t_quantile((1 + level) / 2, df) * error
    return Interval(estimate - half, estimate + half)


def welch_error(one: Sample, other: Sample) -> tuple[float, float]:
    """The standard error of the difference of two means, and its degrees of freedom.

    Variances need not be equal: sqrt(s1²/n1 + s2²/n2), with the degrees of freedom of Welch and Satterthwaite.
    Both samples have two numbers or more, and one of them varies.

    Source: Welch 1947, "The generalization of Student's problem when several different population variances are
    involved", Biometrika 34.
    """
    # Scaled first: the fourth powers of tiny spreads would vanish.
    scale = max(one.sd, other.sd)
    first, second = (one.sd / scale) ** 2 / one.n, (other.sd / scale) ** 2 / other.n
    df = (first + second) ** 2 / (first**2 / (one.n - 1) + second**2 / (other.n - 1))
    return scale * math.sqrt(first + second), df


def rate_interval(n_hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a rate, such as that of degenerate runs; it does not collapse at 0 or n hits.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = n_hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(0.0 if n_hits == 0 else centre - half, 1.0 if n_hits == n else centre + half)
