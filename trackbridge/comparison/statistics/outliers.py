"""Outliers among replicates: the run that is not like the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from trackbridge.comparison.statistics.distributions import t_quantile
from trackbridge.comparison.statistics.intervals import sample_of

MIN_RUNS = 5
ALPHA = 0.05


class Outlier(NamedTuple):
    """The number at this place, how many sds it is from the mean of those not taken away yet, and how many it may be.

    Where numbers hide one another, one that is within what it may be is an outlier if a nearer one is too far.
    """

    place: int
    deviations: float
    critical: float


def outliers(values: Sequence[float], alpha: float = ALPHA) -> list[Outlier]:
    """The outliers among five or more finite numbers, the farthest first; at most a quarter of them.

    The generalized extreme Studentized deviate test: the farthest number is taken away again and again, and those up
    to the last one that is too far are outliers. The common |modified z| > 3.5 calls a run an outlier in 20 % of
    healthy groups of five; this test in `alpha` of them.

    Source: Rosner 1983, "Percentage points for a generalized ESD many-outlier procedure", Technometrics 25.
    """
    n = len(values)
    rest, taken, found = list(range(n)), list[Outlier](), 0
    for i in range(1, n // 4 + 1 if n >= MIN_RUNS else 1):
        sample = sample_of([values[index] for index in rest])
        if sample.sd == 0:
            break
        farthest = max(rest, key=lambda index: abs(values[index] - sample.mean))
        t = t_quantile(1 - alpha / (2 * (n - i + 1)), n - i - 1)
        critical = (n - i) * t / math.sqrt((n - i - 1 + t * t) * (n - i + 1))
        rest.remove(farthest)
        taken.append(Outlier(farthest, abs(values[farthest] - sample.mean) / sample.sd, critical))
        if taken[-1].deviations > critical:
            found = i
    return taken[:found]
