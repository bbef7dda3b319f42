"""What a picture keeps of a curve, and what chunks keep of its points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackbridge.store.chunks import CHUNK_POINTS, OUTLINE_POINTS, outline, pack, unpack
from trackbridge.store.curves import downsample, draw, sketch_outline, sketch_points
from trackbridge.store.records import Series

STEPS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=200, unique=True).map(sorted)


def series(values: np.ndarray, steps: np.ndarray | None = None) -> Series:
    at = np.arange(len(values), dtype=np.int64) if steps is None else steps
    return Series("loss", at, values, 10 * at, np.full(len(values), np.nan))


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def test_few_points_are_given_as_they_are() -> None:
    curve = downsample(series(np.array([3.0, 1.0, 2.0])), pixels=100)

    assert curve.steps.tolist() == [0, 1, 2]
    assert curve.values.tolist() == [3.0, 1.0, 2.0]
    assert not curve.is_thinned


def test_every_spike_and_both_ends_survive_thinning() -> None:
    values = noise(50_000)
    values[[1, 31_234, 49_998]] = [50.0, -60.0, 70.0]
    curve = downsample(series(values), pixels=200)

    assert {50.0, -60.0, 70.0} <= set(curve.values.tolist())
    assert (curve.steps[0], curve.steps[-1]) == (0, 49_999)
    assert (curve.values[0], curve.values[-1]) == (values[0], values[-1])
    assert len(curve.steps) <= 2 * 200 + 2
    assert curve.is_thinned
    assert curve.n == 50_000


def test_every_pixel_column_keeps_its_lowest_and_highest_value() -> None:
    values = noise(10_000)
    curve = downsample(series(values), pixels=100)
    column = np.minimum(np.arange(10_000) * 100 // 9_999, 99)

    for number in range(100):
        assert {values[column == number].min(), values[column == number].max()} <= set(curve.values.tolist())


def test_columns_are_as_wide_in_steps_where_points_lie_unevenly() -> None:
    steps = np.concatenate([np.arange(9_000), 9_000 + 1_000 * np.arange(1, 1001)])
    curve = downsample(series(noise(10_000), steps), pixels=100)

    # The first 9,000 points fill less than one of the hundred columns of a million steps.
    assert (curve.steps < 9_000).sum() <= 4


def test_non_finite_points_are_kept_apart_and_thinned_to_the_picture() -> None:
    values = noise(10_000)
    values[100], values[5_000:] = math.inf, math.nan
    curve = downsample(series(values), pixels=50)

    assert np.isfinite(curve.values).all()
    assert curve.n_nonfinite == 5_001
    assert curve.nonfinite_steps[0] == 100
    assert curve.nonfinite_steps[1] == 5_000
    assert len(curve.nonfinite_steps) <= 50


def test_curve_without_a_finite_point_has_only_marks() -> None:
    curve = downsample(series(np.full(3, np.nan)), pixels=50)

    assert (len(curve.steps), curve.nonfinite_steps.tolist(), curve.n) == (0, [0, 1, 2], 3)


def test_range_includes_both_of_its_ends() -> None:
    curve = downsample(series(noise(100)), start=10, stop=20)

    assert curve.steps.tolist() == list(range(10, 21))
    assert downsample(series(noise(100)), start=200).n == 0


@pytest.mark.parametrize("n", [1, OUTLINE_POINTS, OUTLINE_POINTS + 1, 1000])
def test_outline_holds_the_extremes_of_every_64_points_and_where_they_are(n: int) -> None:
    values = noise(n)
    values[::7] = math.nan
    steps = np.arange(n) * 3
    rows = outline(steps, values)

    assert len(rows) == -(-n // OUTLINE_POINTS)
    assert int(rows["n_nonfinite"].sum()) == int(np.isnan(values).sum())
    for number, row in enumerate(rows):
        block = slice(number * OUTLINE_POINTS, (number + 1) * OUTLINE_POINTS)
        inside, at = values[block], steps[block]
        if not np.isfinite(inside).any():
            assert row["low"] == math.inf
            continue
        assert row["low"] == np.nanmin(inside)
        assert row["high_step"] == at[np.nanargmax(inside)]
        assert row["n_nonfinite"] == 0 or row["nonfinite_step"] == at[np.flatnonzero(np.isnan(inside))[0]]


def test_picture_from_outlines_equals_the_picture_from_all_points_but_for_the_last_pixel() -> None:
    values = noise(200_000)
    values[123_456] = 99.0
    steps = np.arange(200_000)
    whole = downsample(series(values), pixels=100)
    from_outline = draw("loss", [sketch_outline(outline(steps, values), len(values))], pixels=100)

    assert 99.0 in from_outline.values
    assert from_outline.n == whole.n
    # A row of 64 points that straddles two columns gives its extremes to one of them: nothing else may differ.
    assert len(set(whole.values.tolist()) - set(from_outline.values.tolist())) <= 2 + 100


@given(STEPS, st.randoms(use_true_random=False))
def test_chunks_give_back_any_points_exactly(steps: list[int], random: object) -> None:
    n = len(steps)
    values = np.array([random.choice([0.1, math.nan, -math.inf, 1e300]) for _ in range(n)])  # type: ignore[attr-defined]
    epochs = np.array([random.choice([math.nan, 0.5]) for _ in range(n)])  # type: ignore[attr-defined]
    points = Series("x", np.array(steps, np.int64), values, np.arange(n, dtype=np.int64), epochs)
    back = unpack("x", list(pack(points)))

    for name in ("steps", "values", "times_ns", "epochs"):
        np.testing.assert_array_equal(getattr(back, name), getattr(points, name))


def test_even_steps_are_not_stored() -> None:
    even, odd = series(noise(1000), np.arange(0, 5000, 5)), series(noise(1000), np.arange(1000) ** 2)

    assert [chunk.steps is None for one in (even, odd) for chunk in pack(one)] == [True, False]


def test_chunks_but_the_last_are_full() -> None:
    assert [chunk.n for chunk in pack(series(noise(2 * CHUNK_POINTS + 5)))] == [CHUNK_POINTS, CHUNK_POINTS, 5]


def test_sketch_of_finite_points_is_those_points() -> None:
    sketch = sketch_points(np.arange(3), np.array([1.0, math.nan, 3.0]))

    assert (sketch.steps.tolist(), sketch.nonfinite_steps.tolist(), sketch.n) == ([0, 2], [1], 3)
