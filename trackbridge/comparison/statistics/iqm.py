"""The interquartile mean: a mean that a lucky or a failed run does not move."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trackbridge.comparison.statistics.intervals import LEVEL, Interval

N_DRAWS = 2000


def interquartile_mean(scores: ArrayLike) -> float:
    """The mean of the middle half: floor(n / 4) scores are cut at each end. All tasks count as one list.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
    https://arxiv.org/abs/2108.13264, section 4.2.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interquartile_mean_interval(scores: ArrayLike, seed: int = 0, level: float = LEVEL) -> Interval:
    """Its percentile bootstrap interval, runs drawn anew for each task, 2,000 draws.

    Args:
        scores: float[runs] or float[runs, tasks]; ten runs or more, since with fewer a bootstrap promises too much.
        seed: of the draws, so that a report says the same when it is made again.
        level: the share of such intervals that hold the truth.

    Source: Agarwal et al. 2021, section 4.1 (stratified bootstrap).
    """
    table = np.asarray(scores, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    n_runs, n_tasks = table.shape
    drawn = np.random.default_rng(seed).integers(n_runs, size=(N_DRAWS, n_runs, n_tasks))
    ordered = np.sort(table[drawn, np.arange(n_tasks)].reshape(N_DRAWS, -1), axis=1)
    cut = ordered.shape[1] // 4
    means = ordered[:, cut : ordered.shape[1] - cut].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
