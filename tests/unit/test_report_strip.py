"""Strips: every score a dot, the mean and its interval, and names that fit."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.statistics.intervals import Interval
from trackbridge.report.groups import group_strip, replicates_table
from trackbridge.report.strip import Dot, Strip, StripRow, draw_strip
from trackbridge.testing.records import build_run


def row(label: str, *values: float, mean: float | None = None, interval: Interval | None = None) -> StripRow:
    return StripRow(label, 0, tuple(Dot(f"run {value}", value) for value in values), mean, interval)


def drawn(*rows: StripRow, width: int = 880) -> str:
    return draw_strip(Strip("eval/mcc", rows, "told"), width=width)


def centres(picture: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', picture)]


def test_equal_scores_do_not_hide_one_another() -> None:
    assert len(set(centres(drawn(row("a", 0.5, 0.5, 0.5, 0.1))))) == 4


@pytest.mark.parametrize(("n", "apart"), [(3, 7.0), (5, 7.0), (20, 1.4)])
def test_equal_scores_are_stacked_within_their_row(n: int, apart: float) -> None:
    heights = sorted(y for _, y in centres(drawn(row("a", *[0.0] * n, 1.0)))[:-1])

    assert [round(high - low, 1) for low, high in pairwise(heights)] == [apart] * (n - 1)
    assert heights[-1] - heights[0] <= 28


def test_higher_scores_lie_further_to_the_right() -> None:
    across = [x for x, _ in centres(drawn(row("a", 0.1, 0.3, 0.2)))]

    assert across[0] < across[2] < across[1]


def test_a_score_that_is_not_finite_is_no_dot() -> None:
    assert len(centres(drawn(row("a", 0.1, math.nan, math.inf)))) == 1


def test_an_interval_far_wider_than_the_scores_does_not_squeeze_them() -> None:
    picture = drawn(row("a", 0.50, 0.52, mean=0.51, interval=Interval(-0.6, 1.6)))

    (left, _), (right, _) = centres(picture)
    assert right - left > 150
    assert "interval of the mean -0.6000 to 1.600" in picture


@pytest.mark.parametrize(("width", "above"), [(880, 0), (370, 1)])
def test_names_stand_above_the_dots_where_there_is_no_room_beside(width: int, above: int) -> None:
    picture = drawn(row("a rather long name of a setting", 0.1, 0.2), width=width)

    (name_y,) = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*><title>a rather', picture)
    assert (centres(picture)[0][1] - float(name_y) > 10) == bool(above)


def test_hostile_names_are_shown_as_text() -> None:
    assert "<script" not in drawn(row("<script>", 0.1))


def test_runs_that_learned_nothing_are_hollow_and_no_part_of_the_mean() -> None:
    curves = [[0.5, 0.52], [0.5, 0.54], [0.0, 0.0]]
    runs = [build_run(f"{index}", curves={"eval/mcc": curve}) for index, curve in enumerate(curves)]
    comparison = compare(runs)

    (strip_row,) = group_strip(comparison, "eval/mcc").rows

    assert [dot.hollow for dot in strip_row.dots] == [False, False, True]
    assert strip_row.mean == pytest.approx(0.53)
    assert "(left out)" in draw_strip(group_strip(comparison, "eval/mcc"), width=880)
    assert "1 of 3 (6% to 79%)" in [cell.text for cell in replicates_table(comparison, "eval/mcc").rows[0]]
