"""What replicates tell together: the interval of their mean, a robust mean, how often a run fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.comparison.statistics.intervals import Interval, mean_interval, rate_interval, sample_of
from trackbridge.comparison.statistics.iqm import interquartile_mean
from trackbridge.comparison.statistics.optimism import expected_maximum

MIN_RUNS_FOR_IQM = 8
"""Below this many runs an interquartile mean cuts one score or none at each end."""


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Statistics of the runs of a group that count.

    `interval` is the 95 % t interval of their mean, None for fewer than two. `iqm` is their interquartile mean, from
    eight runs on. `degenerate_rate` is the Wilson interval of the rate of runs that learned nothing, among all that
    ended with a score. `best_run_optimism` is how far the best of so many runs is expected to be from their mean by
    luck alone: whoever reports the best seed reports that much luck.
    """

    interval: Interval | None
    iqm: float | None
    degenerate_rate: Interval
    best_run_optimism: float | None


def group_statistics(counted: Sequence[float], n_degenerate: int) -> GroupStatistics:
    """The statistics of the scores that count, beside so many runs that learned nothing."""
    sample = sample_of(counted) if counted else None
    return GroupStatistics(
        interval=mean_interval(sample) if sample and sample.n > 1 else None,
        iqm=interquartile_mean(counted) if len(counted) >= MIN_RUNS_FOR_IQM else None,
        degenerate_rate=rate_interval(n_degenerate, n_degenerate + len(counted)),
        best_run_optimism=expected_maximum(sample.n) * sample.sd if sample and sample.n > 1 else None,
    )
