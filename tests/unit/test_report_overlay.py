"""Curves over one another: axes, ranges, smoothing, groups, and what a pointer reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trackbridge.report.chart import Size
from trackbridge.report.overlay import Curve, View, overlay_chart, overlay_words, place_text, read_out, smoothed
from trackbridge.report.parallel import Dimension, draw_parallel
from trackbridge.store.records import Session
from trackbridge.testing.records import STARTED_NS, build_run, build_series


def curve(label: str, values: list[float], *, style: int = 0, group: str = "") -> Curve:
    series = build_series("train/loss", values)
    series = replace(series, epochs=series.steps / 2)
    return Curve(build_run(label), group or label, style, series)


def test_smoothing_is_the_average_without_a_pull_to_zero_and_leaves_the_infinite() -> None:
    values = np.array([1.0, 1.0, np.nan, 1.0, 3.0])

    assert smoothed(values, 0.9)[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(smoothed(values, 0.9)[2])
    assert smoothed(values, 0.5)[4] == pytest.approx((0.5**3 + 0.5**2 + 0.5**1 * 1 + 3 * 1) / (1 + 0.5 + 0.25 + 0.125))
    assert smoothed(values, 0.0)[4] == 3.0


def test_a_range_keeps_its_points_and_one_on_either_side() -> None:
    chart = overlay_chart("train/loss", [curve("a", [5.0, 4.0, 3.0, 2.0, 1.0])], View(low=2.5, high=3.5))

    assert chart.x_range == (2.5, 3.5)
    assert chart.lines[0].steps.tolist() == [2, 3, 4]


def test_epochs_and_times_are_axes_too() -> None:
    one = curve("a", [5.0, 4.0, 3.0])
    by_epoch = overlay_chart("train/loss", [one], View(axis="epoch"))
    by_time = overlay_chart("train/loss", [one], View(axis="time"))

    assert by_epoch.lines[0].steps.tolist() == [0.5, 1.0, 1.5]
    assert by_time.lines[0].steps.tolist() == [1.0, 2.0, 3.0]
    assert by_time.x_title == "training time"


def test_a_run_whose_clock_went_back_has_one_value_at_a_place() -> None:
    one = curve("a", [5.0, 4.0, 3.0])
    series = replace(one.series, times_ns=STARTED_NS + np.array([3, 1, 2]) * 10**9)
    chart = overlay_chart("train/loss", [replace(one, series=series)], View(axis="time"))

    assert chart.lines[0].steps.tolist() == [1.0, 2.0]
    assert chart.lines[0].values.tolist() == [4.0, 3.0]


def test_the_time_axis_leaves_out_pauses_between_sessions_and_points_without_a_time() -> None:
    sessions = [
        Session("a", "host", None, 1, None, STARTED_NS, STARTED_NS + 3 * 10**9),
        Session("b", "host", None, 1, None, STARTED_NS + 100 * 10**9, STARTED_NS + 200 * 10**9),
    ]
    one = curve("a", [5.0, 4.0, 3.0, 2.0])
    times_ns = np.array([STARTED_NS + 2 * 10**9, 0, STARTED_NS + 3 * 10**9, STARTED_NS + 104 * 10**9])
    resumed = replace(one, run=build_run("a", sessions=sessions), series=replace(one.series, times_ns=times_ns))
    line = overlay_chart("train/loss", [resumed], View(axis="time")).lines[0]

    assert line.steps.tolist() == [2.0, 3.0, 7.0]
    assert line.values.tolist() == [5.0, 3.0, 2.0]


def test_groups_have_a_mean_a_band_and_their_runs_behind_them() -> None:
    curves = [curve("a", [1.0, 2.0], group="g"), curve("b", [3.0, 4.0], group="g"), curve("c", [9.0], style=1)]
    chart = overlay_chart("train/loss", curves, View(is_grouped=True))
    bold = {line.label: line.values.tolist() for line in chart.lines if line.weight == "bold"}

    assert bold == {"g": [2.0, 3.0], "c": [9.0]}
    assert len(chart.bands) == 1
    assert chart.bands[0].high.tolist() == pytest.approx([2 + 2**0.5, 3 + 2**0.5])


def test_a_pointer_reads_the_last_point_at_or_before_its_place() -> None:
    curves = [curve("a", [1.0, 2.0], group="g"), curve("b", [3.0, 4.0], group="g")]
    single = read_out(curves, View(), 1.7)
    grouped = read_out(curves, View(is_grouped=True), 2.0)

    assert [(one.label, one.value, one.at) for one in single] == [("a", 1.0, 1.0), ("b", 3.0, 1.0)]
    assert (grouped[0].value, grouped[0].n) == (3.0, 2)
    assert grouped[0].sd == pytest.approx(2**0.5)
    assert read_out(curves, View(), 0.5)[0].value is None


def test_words_say_how_many_runs_and_what_was_done_to_them() -> None:
    curves = [curve("a", [1.0]), curve("b", [2.0], style=1)]

    assert overlay_words(curves, View(), 0) == "2 runs"
    assert (
        overlay_words(curves, View(smoothing=0.5), 1)
        == "2 runs; smoothed by 0.5, as logged behind it; 1 run without it"
    )
    assert "2 runs in 2 groups" in overlay_words(curves, View(is_grouped=True), 0)
    assert place_text(1.5, "epoch") == "epoch 1.5"


def test_parallel_coordinates_break_no_line_where_a_value_is_missing_and_escape_names() -> None:
    dimensions = [
        Dimension("lr", (1e-5, 1e-3, None)),
        Dimension("<b>head</b>", ("mean", "first", "mean")),
        Dimension("eval/mcc", (0.2, 0.5, 0.1)),
    ]
    svg = draw_parallel(["a", "<script>", "c"], dimensions, False, size=Size(700, 400))

    assert svg.count("<path") == 3
    assert "<script>" not in svg
    assert "&lt;b&gt;head&lt;/b&gt;" in svg
    assert svg.index("c: lr") < svg.index("a: lr") < svg.index("&lt;script&gt;: lr"), "the best line is drawn last"
