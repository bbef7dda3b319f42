"""
Curves: the points of a metric as many as a picture can show, and no spike lost. Pure, numpy only.

Thinning keeps the lowest and the highest value of every pixel column (min-max decimation), and the two ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackbridge.store.records import Series
from trackbridge.store.series import between

DEFAULT_PIXELS = 2000
_NO_STEPS = np.empty(0, np.int64)
_NO_VALUES = np.empty(0)


@dataclass(frozen=True, slots=True)
class Curve:
    """What to draw of a metric, in step order.

    `steps`: int64[m], `values`: float64[m], all finite, at most two per pixel column and the two ends;
    `nonfinite_steps`: int64[k], where the line breaks, at most one per pixel column. `n` and `n_nonfinite`
    count the points in the range before thinning; `is_thinned` says whether any were left out.
    """

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    nonfinite_steps: NDArray[np.int64]
    n: int
    n_nonfinite: int

    @property
    def is_thinned(self) -> bool:
        """True when the curve shows fewer points than the range has."""
        return len(self.steps) + len(self.nonfinite_steps) < self.n


@dataclass(frozen=True, slots=True)
class Sketch:
    """Points that stand for a stretch of a curve: its extremes at least; not necessarily all of its points."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    nonfinite_steps: NDArray[np.int64]
    n: int
    n_nonfinite: int


def downsample(
    series: Series, *, start: int | None = None, stop: int | None = None, pixels: int = DEFAULT_PIXELS
) -> Curve:
    """The curve of the points with start <= step <= stop, for a picture `pixels` wide."""
    inside = between(series, start, stop)
    return draw(series.name, [sketch_points(inside.steps, inside.values)], pixels=pixels)


def sketch_points(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Sketch:
    """All of these points."""
    finite = np.isfinite(values)
    if finite.all():
        return Sketch(steps, values, _NO_STEPS, len(steps), 0)
    nonfinite_steps = steps[~finite]
    return Sketch(steps[finite], values[finite], nonfinite_steps, len(steps), len(nonfinite_steps))


def sketch_outline(rows: NDArray[np.void], n: int) -> Sketch:
    """The extremes of `n` points from the outline of their chunks."""
    filled = rows[np.isfinite(rows["low"])]
    steps = np.stack([filled["low_step"], filled["high_step"]], axis=1)
    values = np.stack([filled["low"], filled["high"]], axis=1)
    swapped = steps[:, 0] > steps[:, 1]
    steps[swapped], values[swapped] = steps[swapped, ::-1], values[swapped, ::-1]
    broken = rows[rows["n_nonfinite"] > 0]
    n_nonfinite = int(broken["n_nonfinite"].sum())
    return Sketch(steps.ravel(), values.ravel(), broken["nonfinite_step"].astype(np.int64), n, n_nonfinite)


def draw(name: str, sketches: Sequence[Sketch], *, pixels: int) -> Curve:
    """Consecutive sketches, thinned to a picture `pixels` wide."""
    steps = np.concatenate([_NO_STEPS, *(sketch.steps for sketch in sketches)])
    values = np.concatenate([_NO_VALUES, *(sketch.values for sketch in sketches)])
    nonfinite = np.concatenate([_NO_STEPS, *(sketch.nonfinite_steps for sketch in sketches)])
    ends = [float(array[at]) for array in (steps, nonfinite) if len(array) for at in (0, -1)]
    columns = np.linspace(min(ends), max(ends), pixels + 1)[:-1] if ends else _NO_VALUES
    if len(steps) > 2 * pixels:
        chosen = _extremes(values, _first_in_column(steps, columns))
        steps, values = steps[chosen], values[chosen]
    if len(nonfinite) > pixels:
        nonfinite = nonfinite[_first_in_column(nonfinite, columns)]
    n = sum(sketch.n for sketch in sketches)
    return Curve(name, steps, values, nonfinite, n, sum(sketch.n_nonfinite for sketch in sketches))


def _first_in_column(steps: NDArray[np.int64], columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """The position of the first point in every pixel column that has one."""
    # The first point opens a column whatever rounding makes of a step above 2**53.
    begins = np.append(0, np.searchsorted(steps, columns))
    return begins[_is_first_of_equals(begins) & (begins < len(steps))]


def _extremes(values: NDArray[np.float64], begins: NDArray[np.intp]) -> NDArray[np.intp]:
    """The positions of both ends, and per column of the first lowest and the first highest value, in order."""
    counts = np.diff(np.append(begins, len(values)))
    column = np.repeat(np.arange(len(begins)), counts)
    is_chosen = np.zeros(len(values), np.bool_)
    is_chosen[[0, -1]] = True
    for reduce in (np.minimum.reduceat, np.maximum.reduceat):
        at = np.flatnonzero(values == np.repeat(reduce(values, begins), counts))
        is_chosen[at[_is_first_of_equals(column[at])]] = True
    return np.flatnonzero(is_chosen)


def _is_first_of_equals(ordered: NDArray[np.intp]) -> NDArray[np.bool_]:
    # np.unique would sort or hash what is in order already, and take ten times as long.
    return np.append(True, ordered[1:] != ordered[:-1])
