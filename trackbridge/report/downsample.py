"""Downsampling that keeps what a reader looks for: the lowest and the highest value of each pixel column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def min_max_indices(
    steps: NDArray[np.int64 | np.float64], values: NDArray[np.float64], n_buckets: int
) -> NDArray[np.int64]:
    """The indices to draw, in order: per bucket of steps its lowest and highest value, and the first and last point.

    Args:
        steps: int64[n] or float64[n], increasing.
        values: float64[n], finite.
        n_buckets: equal shares of the step range; at most twice as many points plus two come back.
    """
    if len(values) <= 2 * n_buckets + 2:
        return np.arange(len(values))
    span = float(steps[-1] - steps[0])
    buckets = np.minimum((steps - steps[0]) * n_buckets / span, n_buckets - 1).astype(np.int64)
    # Sorted by bucket and then by value, a bucket's extremes are its first and last entry.
    order = np.lexsort((values, buckets))
    starts = np.flatnonzero(np.r_[True, np.diff(buckets[order]) > 0])
    ends = np.r_[starts[1:], len(order)] - 1
    return np.unique(np.concatenate([[0], order[starts], order[ends], [len(values) - 1]]))
