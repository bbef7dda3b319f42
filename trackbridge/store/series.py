"""
What can be done to the points of a metric: order them, cut them, merge writers, summarize. Pure, numpy only.

Everything here takes and gives `Series`; nothing changes its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trackbridge.store.records import MetricSummary, Series


def empty_series(name: str) -> Series:
    """A series without points."""
    return Series(name, np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0))


def pick(series: Series, chosen: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Series:
    """The points at these positions, in this order."""
    return Series(
        series.name, series.steps[chosen], series.values[chosen], series.times_ns[chosen], series.epochs[chosen]
    )


def concatenate(name: str, parts: Sequence[Series]) -> Series:
    """The parts one after the other, as they are."""
    if len(parts) == 1:
        return parts[0]
    return Series(
        name,
        np.concatenate([part.steps for part in parts] or [np.empty(0, np.int64)]),
        np.concatenate([part.values for part in parts] or [np.empty(0)]),
        np.concatenate([part.times_ns for part in parts] or [np.empty(0, np.int64)]),
        np.concatenate([part.epochs for part in parts] or [np.empty(0)]),
    )


def in_step_order(series: Series) -> Series:
    """The points of one writer with strictly increasing steps: of several at one step, the one logged last."""
    steps = series.steps
    if len(steps) < 2 or bool((steps[1:] > steps[:-1]).all()):
        return series
    order = np.argsort(steps, kind="stable")
    return pick(series, order[_is_last_of_its_step(steps[order])])


def up_to(series: Series, last_step: int | None) -> Series:
    """The points at or before a step; all of them for None."""
    if last_step is None or not len(series) or series.steps[-1] <= last_step:
        return series
    return pick(series, slice(0, int(np.searchsorted(series.steps, last_step, side="right"))))


def between(series: Series, start: int | None, stop: int | None) -> Series:
    """The points with start <= step <= stop; None leaves that end open."""
    begin = 0 if start is None else int(np.searchsorted(series.steps, start, side="left"))
    return pick(up_to(series, stop), slice(begin, None))


def merge(name: str, streams: Sequence[tuple[int, Series]]) -> Series:
    """The points of several writers as one series, each writer's in step order.

    Args:
        name: the metric.
        streams: (session, points) per writer, with sessions numbered by their start. Where two writers have a
            point at one step, that of the later session stands; within a session, the one logged later.
    """
    filled = sorted((stream for stream in streams if len(stream[1])), key=lambda stream: int(stream[1].steps[0]))
    if not filled:
        return empty_series(name)
    parts = [points for _, points in filled]
    joined = concatenate(name, parts)
    if all(before.steps[-1] < after.steps[0] for before, after in pairwise(parts)):
        return joined
    sessions = np.concatenate([np.full(len(points), session) for session, points in filled])
    # Epochs and values come last, so that the order of the writers decides nothing, not even between equal times.
    order = np.lexsort((joined.epochs, joined.values, joined.times_ns, sessions, joined.steps))
    return pick(joined, order[_is_last_of_its_step(joined.steps[order])])


def summarize(series: Series) -> MetricSummary:
    """The summary of a series with at least one point and strictly increasing steps."""
    finite = np.isfinite(series.values)
    n_finite = int(finite.sum())
    values, steps = (series.values, series.steps) if n_finite == len(series) else _where(series, finite)
    lowest, highest = (int(values.argmin()), int(values.argmax())) if n_finite else (0, 0)
    return MetricSummary(
        name=series.name,
        n=len(series),
        n_nonfinite=len(series) - n_finite,
        last=float(series.values[-1]),
        last_step=int(series.steps[-1]),
        minimum=float(values[lowest]) if n_finite else None,
        minimum_step=int(steps[lowest]) if n_finite else None,
        maximum=float(values[highest]) if n_finite else None,
        maximum_step=int(steps[highest]) if n_finite else None,
    )


def join_summaries(earlier: MetricSummary, later: MetricSummary) -> MetricSummary:
    """The summary of two stretches of one metric, of which the second begins after the first ends."""
    lowest, highest = earlier, earlier
    if earlier.minimum is None or (later.minimum is not None and later.minimum < earlier.minimum):
        lowest = later
    if earlier.maximum is None or (later.maximum is not None and later.maximum > earlier.maximum):
        highest = later
    return MetricSummary(
        name=earlier.name,
        n=earlier.n + later.n,
        n_nonfinite=earlier.n_nonfinite + later.n_nonfinite,
        last=later.last,
        last_step=later.last_step,
        minimum=lowest.minimum,
        minimum_step=lowest.minimum_step,
        maximum=highest.maximum,
        maximum_step=highest.maximum_step,
    )


def _is_last_of_its_step(sorted_steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.append(sorted_steps[1:] != sorted_steps[:-1], True)


def _where(series: Series, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return series.values[mask], series.steps[mask]
