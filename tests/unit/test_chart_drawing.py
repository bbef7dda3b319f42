"""The picture itself: what is drawn, what is marked, what is escaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.report.chart import NARROW, WIDE, Chart, Line, Size, draw_chart
from trackbridge.report.curves import metric_chart
from trackbridge.report.downsample import min_max_indices
from trackbridge.report.palette import colour, dash
from trackbridge.report.scale import LinearScale, LogScale, suitable_scale
from trackbridge.store.records import RunRecord
from trackbridge.testing.records import build_run

SVG = "{http://www.w3.org/2000/svg}"


def line(*values: float, label: str = "a", style: int = 0, **fields: object) -> Line:
    steps = np.arange(1, len(values) + 1, dtype=np.int64)
    return Line(label, steps, np.array(values, dtype=np.float64), style, **fields)  # type: ignore[arg-type]


def drawn(*lines: Line, size: Size = WIDE, **fields: object) -> ElementTree.Element:
    return ElementTree.fromstring(draw_chart(Chart("eval/mcc", lines), size=size, **fields))  # type: ignore[arg-type]


def solid_paths(svg: ElementTree.Element) -> list[str]:
    return [path.get("d", "") for path in svg.iter(f"{SVG}path") if path.get("stroke-width") == "2.2"]


def drawn_heights(path: str) -> list[float]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return list(np.cumsum(numbers[1::2]))


def study(*scores: tuple[float, list[float]]) -> list[RunRecord]:
    return [
        build_run(f"{lr}-{index}", config={"script": {"lr": lr}}, curves={"eval/mcc": [0.0, value]})
        for lr, values in scores
        for index, value in enumerate(values)
    ]


def test_a_chart_tells_itself_to_those_who_do_not_see_it() -> None:
    svg = drawn(line(0.1, 0.6))

    assert svg.get("role") == "img"
    title, desc = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert svg.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text == "eval/mcc by step"
    assert desc.text == "a ends at 0.6000 at step 2"


def test_hostile_names_are_text() -> None:
    hostile = "</title><script>alert(1)</script>\x1b[2J\u202e\" onload='x'"

    svg = drawn(line(1, 2, label=hostile), line(2, 3, label="b", style=1))

    assert not list(svg.iter(f"{SVG}script"))
    assert not [one for one in svg.iter() if "onload" in one.attrib]
    shown = "".join(svg.itertext())
    assert "<script>alert(1)</script>\\x1b[2J\\u202e" in shown


def test_nan_breaks_the_line_and_is_marked_at_its_step() -> None:
    svg = drawn(line(1.0, 2.0, math.nan, 4.0, 5.0))

    (path,) = solid_paths(svg)
    assert path.count("M") == 2
    assert "a: NaN at step 3" in "".join(svg.itertext())


def test_infinities_are_marked_and_do_not_stretch_the_axis() -> None:
    svg = drawn(line(1.0, math.inf, 1.5, -math.inf, 2.0))

    told = "".join(svg.itertext())
    assert "a: ∞ at step 2" in told
    assert "a: -∞ at step 4" in told
    assert "2.00" in [text.text for text in svg.iter(f"{SVG}text")]


def test_a_stretch_of_one_point_is_a_dot() -> None:
    assert len(list(drawn(line(math.nan, 2.0, math.nan)).iter(f"{SVG}circle"))) == 1


def test_a_chart_of_nothing_is_still_a_chart() -> None:
    assert drawn().get("role") == "img"
    assert drawn(line()).get("role") == "img"
    assert drawn(line(math.nan, math.nan)).get("role") == "img"


def test_a_constant_line_has_an_axis() -> None:
    assert len(solid_paths(drawn(line(0.0, 0.0, 0.0)))) == 1


@pytest.mark.parametrize("n_points", [10_000, 200_000])
def test_a_long_line_is_cut_to_the_width_with_its_spikes(n_points: int) -> None:
    values = np.zeros(n_points)
    values[n_points // 3], values[n_points // 2] = 7.0, -5.0

    svg = drawn(Line("a", np.arange(n_points), values, 0))

    (path,) = solid_paths(svg)
    heights = drawn_heights(path)
    assert len(heights) <= 2 * WIDE.width + 2
    # The scale covers -5 to 7, so that both spikes reach from one end of the plot to the other.
    assert np.ptp(heights) == pytest.approx((WIDE.height - 74) / 1.08, abs=0.5)


def test_downsampling_keeps_extremes_and_ends() -> None:
    rng = np.random.default_rng(0)
    steps, values = np.arange(8000), rng.normal(size=8000)

    kept = min_max_indices(steps, values, 100)

    assert len(kept) <= 202
    assert {0, 7999, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_downsampling_leaves_short_lines_alone() -> None:
    assert len(min_max_indices(np.arange(50), np.ones(50), 100)) == 50


def test_the_best_point_is_marked() -> None:
    svg = drawn(line(0.1, 0.9, 0.5, best=1))

    assert "a: best 0.9000 at step 2" in "".join(svg.itertext())


def test_lines_are_labelled_at_their_ends_without_overlap() -> None:
    svg = drawn(*(line(0, 0.5 + index / 1000, label=f"run {index}", style=index) for index in range(6)))

    heights = sorted(float(text.get("y", 0)) for text in svg.iter(f"{SVG}text") if "run " in "".join(text.itertext()))
    assert len(heights) == 6
    assert min(np.diff(heights)) >= 15.9


def test_many_lines_and_narrow_charts_have_a_legend_instead() -> None:
    many = [line(0, index, label=f"run {index}", style=index) for index in range(20)]

    for svg in (drawn(*many), drawn(*many[:3], size=NARROW)):
        labels = [text for text in svg.iter(f"{SVG}text") if "run " in "".join(text.itertext())]
        assert len(labels) in (20, 3)
        assert all(float(text.get("x", 0)) < float(svg.get("width", 0)) - 40 for text in labels)


def test_styles_stay_apart_for_28_lines() -> None:
    assert len({(colour(style), dash(style)) for style in range(28)}) == 28


def test_colours_follow_the_readers_preference_for_dark() -> None:
    assert "@media screen and (prefers-color-scheme:dark)" in draw_chart(Chart("x", (line(1, 2),)))


def test_groups_have_a_mean_a_band_and_their_runs() -> None:
    chart = metric_chart(compare(study((1e-5, [0.5, 0.6]), (2e-5, [0.7]))), "eval/mcc")

    assert [(one.label, one.weight) for one in chart.lines] == [
        ("1e-05-0", "thin"),
        ("1e-05-1", "thin"),
        ("lr=1e-05", "bold"),
        ("lr=2e-05", "bold"),
    ]
    (band,) = chart.bands
    assert band.high[-1] - band.low[-1] == pytest.approx(2 * np.std([0.5, 0.6], ddof=1))


def test_a_band_stops_where_a_member_stops() -> None:
    runs = [
        build_run("long", curves={"eval/mcc": {10: 0.1, 20: 0.2, 30: 0.9}}),
        build_run("short", curves={"eval/mcc": {10: 0.2, 20: 0.4}}),
    ]

    chart = metric_chart(compare(runs), "eval/mcc")

    assert chart.bands[0].steps[-1] == 20
    assert [int(one.steps[-1]) for one in chart.lines] == [30, 20, 20]


def test_two_charts_of_one_page_have_ids_of_their_own() -> None:
    ids = re.findall(r'id="(\w+)"', draw_chart(Chart("a", (line(1, 2),))) + draw_chart(Chart("b", (line(1, 2),))))

    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.55, 0.62, ["0.56", "0.58", "0.60", "0.62"]),
        (0.0, 12000.0, ["0", "2.5k", "5k", "7.5k", "10k"]),
        (-1.0, 1.0, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (0.0, 3e-5, ["0", "1e-05", "2e-05", "3e-05"]),
        (0.0, 0.1, ["0", "0.02", "0.04", "0.06", "0.08", "0.10"]),
    ],
)
def test_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in LinearScale(low, high).ticks(5)] == labels


def test_a_log_scale_has_decades() -> None:
    scale = LogScale.covering(np.array([0.001, 1000.0]))

    assert [tick.label for tick in scale.ticks(5)] == ["0.01", "1", "100"]
    np.testing.assert_allclose(np.diff(scale.place(np.array([0.1, 1.0, 10.0]))), 1 / (scale.high - scale.low))


def test_a_narrow_log_scale_has_ticks_too() -> None:
    assert len(LogScale.covering(np.array([0.3, 0.9])).ticks(5)) >= 2


def test_the_scale_turns_logarithmic_over_three_decades() -> None:
    assert suitable_scale([np.array([1e-4, 1.0])]) is LogScale
    assert suitable_scale([np.array([0.0, 1e6])]) is LinearScale
    assert suitable_scale([np.array([0.1, 1.0]), np.array([math.nan])]) is LinearScale


def test_values_of_zero_have_a_place_on_a_log_scale() -> None:
    assert LogScale.covering(np.array([0.0, 1.0, 10.0])).place(np.array([0.0]))[0] == pytest.approx(0)


def test_curves_are_drawn_over_what_the_comparison_aligns_by() -> None:
    runs = [
        build_run(name, config={"script": {"batch_size": size, "lr": 1}}, curves={"eval/mcc": {10: 0.4, 20: value}})
        for name, size, value in (("a", 16, 0.5), ("b", 32, 0.6), ("c", 32, 0.7))
    ]

    chart = metric_chart(compare(runs, align="samples"), "eval/mcc")

    assert chart.x_title == "sample"
    assert [line.steps.tolist() for line in chart.lines] == [[160, 320], [320, 640], [320, 640], [320, 640]]
    assert [band.steps.tolist() for band in chart.bands] == [[320, 640]]


def test_a_curve_over_the_seconds_of_training_marks_its_best_point() -> None:
    run = build_run("a", curves={"eval/mcc": [0.1, 0.6, 0.5]})

    chart = metric_chart(compare([run], align="time"), "eval/mcc")

    assert (chart.x_title, chart.lines[0].best) == ("second", 1)
    assert np.diff(chart.lines[0].steps).min() > 0
