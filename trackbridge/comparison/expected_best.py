"""The expected best of n runs: what a score promises that was found by trying n times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ExpectedBest:
    """The expected best score after 1 to B runs, and what these cost.

    `n_runs`: int64[B]; `best`, `sd`: float64[B], `sd` NaN where it is not defined; `hours`: float64[B], the mean
    duration of a run times n, NaN where no duration is known.
    """

    n_runs: NDArray[np.int64]
    best: NDArray[np.float64]
    sd: NDArray[np.float64]
    hours: NDArray[np.float64]


def expected_best(
    scores: Sequence[float], *, lower_is_better: bool = False, durations_s: Sequence[float] = ()
) -> ExpectedBest:
    """The expected best of n runs drawn from those at hand, with replacement, for n from 1 to all of them.

    E[n] = sum v(i) [(i/B)^n - ((i-1)/B)^n] over the scores from worst to best, and the sd of the same distribution.
    It is a little too low for n near B, and is never drawn beyond B.

    Args:
        scores: finite, one or more; of all runs that were tried, failed ones too.
        lower_is_better: the best is the lowest.
        durations_s: of the runs, in seconds, for the hours.

    Source: Dodge et al. 2019, "Show your work: improved reporting of experimental results",
    https://arxiv.org/abs/1909.03004, equations 5 to 8.
    """
    sign = -1.0 if lower_is_better else 1.0
    values = np.sort(sign * np.asarray(scores, dtype=np.float64))
    n_runs = np.arange(1, len(values) + 1)
    reached = (n_runs / len(values))[:, None] ** n_runs
    weights = np.diff(reached, axis=0, prepend=0.0)
    best = values @ weights
    sd = np.sqrt(np.sum(weights * (values[:, None] - best) ** 2, axis=0))
    return ExpectedBest(n_runs, sign * best, sd, _hours(n_runs, durations_s))


def expected_best_unbiased(
    scores: Sequence[float], *, lower_is_better: bool = False, durations_s: Sequence[float] = ()
) -> ExpectedBest:
    """The same without bias: the mean of the best over all ways to draw n of the runs without replacement.

    E[n] = sum v(i) C(i-1, n-1) / C(B, n). It has no sd of its own.

    Source: Tang et al. 2020, "Showing your work doesn't always work", https://arxiv.org/abs/2004.13705.
    """
    sign = -1.0 if lower_is_better else 1.0
    values = np.sort(sign * np.asarray(scores, dtype=np.float64))
    total = len(values)
    n_runs = np.arange(1, total + 1)
    # Binomials of 2,000 runs do not fit into a float; their logarithms do.
    logs = np.array([math.lgamma(k + 1) for k in range(total + 1)])
    i, n = n_runs[:, None], n_runs[None, :]
    chosen = logs[i - 1] - logs[n - 1] - logs[np.maximum(i - n, 0)]
    weights = np.where(i >= n, np.exp(chosen - (logs[total] - logs[n] - logs[total - n])), 0.0)
    return ExpectedBest(n_runs, sign * (values @ weights), np.full(total, np.nan), _hours(n_runs, durations_s))


def _hours(n_runs: NDArray[np.int64], durations_s: Sequence[float]) -> NDArray[np.float64]:
    mean_s = float(np.mean(durations_s)) if len(durations_s) else math.nan
    return np.asarray(n_runs * mean_s / 3600, dtype=np.float64)
