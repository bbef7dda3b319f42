"""A stretch of a curve from the index: its points when they are few, else the outlines of its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np

from trackbridge.store.chunks import OUTLINE_POINTS
from trackbridge.store.curves import Curve, Sketch, downsample, draw, sketch_outline, sketch_points
from trackbridge.store.index import Index, Stream

_FIRST_STEP, _LAST_STEP = -(2**63), 2**63 - 1
# Below this many outline rows per pixel column, rows that straddle two columns would show.
_ROWS_PER_PIXEL = 2


def zoom(index: Index, folder: str, metric: str, start: int | None, stop: int | None, pixels: int) -> Curve:
    """The curve of the points with start <= step <= stop, for a picture `pixels` wide.

    Raises:
        IndexTrouble: the index cannot be used any longer.
    """
    first = _FIRST_STEP if start is None else start
    last = _LAST_STEP if stop is None else stop
    with index.reading():
        streams = index.streams(folder, metric)
        if not _have_steps_in_common(streams):
            parts = (_sketches(index, one, first, min(last, _last_step(one)), pixels) for one in streams)
            return draw(metric, list(chain.from_iterable(parts)), pixels=pixels)
    # Writers that logged the same steps: only their merged points say which of them stand.
    return downsample(index.series(folder, metric), start=start, stop=stop, pixels=pixels)


def _have_steps_in_common(streams: Sequence[Stream]) -> bool:
    return any(_last_step(before) >= after.first_step for before, after in pairwise(streams))


def _sketches(index: Index, stream: Stream, start: int, stop: int, pixels: int) -> list[Sketch]:
    extents = index.extents(stream, start, stop)
    if not extents:
        return []
    first, last = extents[0][0], extents[-1][0]
    # The chunks at both ends may lie partly outside, so they are always read point by point.
    inside = extents[1:-1]
    n_inside = sum(n for _, n in inside)
    if n_inside < OUTLINE_POINTS * _ROWS_PER_PIXEL * pixels:
        return [_exact(index, stream, first, last, start, stop)]
    return [
        _exact(index, stream, first, first, start, stop),
        sketch_outline(index.outline(stream, inside[0][0], inside[-1][0]), n_inside),
        _exact(index, stream, last, last, start, stop),
    ]


def _exact(index: Index, stream: Stream, first: int, last: int, start: int, stop: int) -> Sketch:
    steps, values = index.points(stream, first, last)
    inside = slice(int(np.searchsorted(steps, start, side="left")), int(np.searchsorted(steps, stop, side="right")))
    return sketch_points(steps[inside], values[inside])


def _last_step(stream: Stream) -> int:
    return stream.summary.last_step if stream.last_step is None else min(stream.summary.last_step, stream.last_step)
