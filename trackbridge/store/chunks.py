"""
Chunks: the points of a metric as blocks of bytes of up to 65,536 points, each with an outline.

An outline (a "mip", as in texture mapping) has one row per 64 points with their lowest and highest value and
where these stand, so a curve of ten million points is drawn from 1/64 of its rows and still shows every spike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackbridge.store.records import Series
from trackbridge.store.series import concatenate, pick

CHUNK_POINTS = 65_536
OUTLINE_POINTS = 64

OUTLINE = np.dtype(
    [
        ("low", "<f8"),
        ("high", "<f8"),
        ("low_step", "<i8"),
        ("high_step", "<i8"),
        ("nonfinite_step", "<i8"),
        ("n_nonfinite", "<u1"),
    ]
)
"""One row per 64 points; `low` is +inf where none is finite, `nonfinite_step` counts only if `n_nonfinite` > 0."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points in step order as little-endian bytes; `steps` is None when evenly spaced, `epochs` when all NaN."""

    n: int
    first_step: int
    last_step: int
    outline: bytes
    steps: bytes | None
    values: bytes
    times_ns: bytes
    epochs: bytes | None


def pack(series: Series) -> Iterator[Chunk]:
    """The points of a series with strictly increasing steps, in chunks; all but the last are full."""
    for begin in range(0, len(series), CHUNK_POINTS):
        part = pick(series, slice(begin, begin + CHUNK_POINTS))
        yield Chunk(
            n=len(part),
            first_step=int(part.steps[0]),
            last_step=int(part.steps[-1]),
            outline=outline(part.steps, part.values).tobytes(),
            steps=None if _is_even(part.steps) else part.steps.astype("<i8").tobytes(),
            values=part.values.astype("<f8").tobytes(),
            times_ns=part.times_ns.astype("<i8").tobytes(),
            epochs=None if bool(np.isnan(part.epochs).all()) else part.epochs.astype("<f8").tobytes(),
        )


def unpack(name: str, chunks: Sequence[Chunk]) -> Series:
    """The points of consecutive chunks."""
    return concatenate(name, [_unpack_one(name, chunk) for chunk in chunks])


def unpack_steps(n: int, first_step: int, last_step: int, steps: bytes | None) -> NDArray[np.int64]:
    """The steps of a chunk, evenly spaced where none are stored."""
    if steps is not None:
        return np.frombuffer(steps, "<i8").astype(np.int64, copy=False)
    stride = (last_step - first_step) // max(1, n - 1)
    return first_step + stride * np.arange(n, dtype=np.int64)


def outline(steps: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.void]:
    """One row of `OUTLINE` per 64 points, the last for what remains."""
    n_rows = -(-len(values) // OUTLINE_POINTS)
    # What fills up the last row is not finite, and must not count as such either.
    padded = np.full(n_rows * OUTLINE_POINTS, np.nan)
    padded[: len(values)] = values
    block = padded.reshape(n_rows, OUTLINE_POINTS)
    finite = np.isfinite(block)
    lows, highs = np.where(finite, block, np.inf), np.where(finite, block, -np.inf)
    first_of_row = np.arange(n_rows) * OUTLINE_POINTS
    low_at, high_at, nonfinite_at = lows.argmin(axis=1), highs.argmax(axis=1), finite.argmin(axis=1)
    rows = np.zeros(n_rows, OUTLINE)
    rows["low"] = lows.min(axis=1)
    rows["high"] = highs.max(axis=1)
    last = len(steps) - 1
    for field, at in (("low_step", low_at), ("high_step", high_at), ("nonfinite_step", nonfinite_at)):
        rows[field] = steps[np.minimum(first_of_row + at, last)]
    rows["n_nonfinite"] = OUTLINE_POINTS - finite.sum(axis=1)
    rows["n_nonfinite"][-1] -= len(padded) - len(values)
    return rows


def _unpack_one(name: str, chunk: Chunk) -> Series:
    return Series(
        name,
        unpack_steps(chunk.n, chunk.first_step, chunk.last_step, chunk.steps),
        np.frombuffer(chunk.values, "<f8").astype(np.float64, copy=False),
        np.frombuffer(chunk.times_ns, "<i8").astype(np.int64, copy=False),
        np.full(chunk.n, np.nan) if chunk.epochs is None else np.frombuffer(chunk.epochs, "<f8"),
    )


def _is_even(steps: NDArray[np.int64]) -> bool:
    # Steps from hand-written journals may be 2**63 apart: the span must not wrap around.
    span = int(steps[-1]) - int(steps[0])
    stride, rest = divmod(span, max(1, len(steps) - 1))
    return rest == 0 and span < 2**63 and bool((np.diff(steps) == stride).all())
