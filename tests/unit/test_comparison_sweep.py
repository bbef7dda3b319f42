"""Scores against a number in the config: every run is there, and no line joins what another key moved."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.sweep import sweep
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.report.chart import draw_chart
from trackbridge.report.page import comparison_page
from trackbridge.report.sweep import sweep_chart
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

RATE = "pipeline.pseudo_labels.rate"


def student(rate: float | None, seed: int, score: float, **keys: Any) -> RunRecord:
    """A run of a study that sweeps the sampling rate; the other scopes echo what was written, as a Trainer's do."""
    pseudo_labels = {} if rate is None else {"pseudo_labels": {"rate": rate, "threshold": 0.95}}
    return build_run(
        f"rate {rate} seed {seed} {keys}",
        config={
            "pipeline": {**pseudo_labels, "epochs": 3, **keys},
            "training_arguments": {"output_dir": f"/tmp/{seed}", "echo": str(rate)},
            "study": {"variant": f"rate {rate}"},
        },
        seeds=Seeds(dropout=seed),
        curves={"eval/mcc": [0.1, score]},
        group="rates",
    )


SWEPT = [student(rate, seed, rate / 2 + seed / 100) for rate in (1.0, 0.25, 0.5) for seed in (1, 2, 3)]


def test_runs_of_one_value_are_together_and_values_in_their_order() -> None:
    (line,) = sweep(compare(SWEPT), "eval/mcc", RATE).lines

    assert [point.value for point in line.points] == [0.25, 0.5, 1.0]
    assert line.points[1].scores == pytest.approx((0.26, 0.27, 0.28))
    assert line.points[1].together.mean == pytest.approx(0.27)
    assert line.points[1].together.sd == pytest.approx(0.01)


def test_what_else_differs_is_another_line_named_by_it() -> None:
    longer = [student(rate, 1, 0.9, epochs=6) for rate in (0.25, 0.5)]

    lines = sweep(compare([*SWEPT, *longer]), "eval/mcc", RATE).lines

    assert [(line.label, len(line.points)) for line in lines] == [("epochs=3", 3), ("epochs=6", 2)]


def test_runs_without_the_key_or_the_metric_are_counted_and_not_drawn() -> None:
    other = build_run("other", config={"pipeline": {"pseudo_labels": {"rate": 0.5}}}, curves={"eval/loss": [1.0]})

    swept = sweep(compare([*SWEPT, student(None, 1, 0.3), other]), "eval/mcc", RATE)

    assert swept.n_without == 2
    assert sum(len(point.scores) for line in swept.lines for point in line.points) == len(SWEPT)


def test_each_run_is_there_with_the_value_that_counts() -> None:
    falling = build_run("falling", config={"script": {"lr": 1e-5}}, curves={"eval/mcc": [0.4, 0.2]})

    def score(at: Any) -> tuple[float, ...]:
        return sweep(compare([falling], at=at), "eval/mcc", "script.lr").lines[0].points[0].scores

    assert (score("best"), score("last")) == ((0.4,), (0.2,))


def test_a_key_that_no_run_has_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"did you mean 'pipeline\.pseudo_labels\.rate'"):
        sweep(compare(SWEPT), "eval/mcc", "pipeline.pseudo_label.rate")


@pytest.mark.parametrize("value", ["hard", True, [1, 2]])
def test_a_key_that_holds_no_number_is_refused(value: Any) -> None:
    run = build_run("odd", config={"pipeline": {"labels": value}}, curves={"eval/mcc": [0.5]})

    with pytest.raises(MisuseError, match=re.escape(f"pipeline.labels of 'odd' is {value!r}")):
        sweep(compare([run]), "eval/mcc", "pipeline.labels")


def drawn(*runs: RunRecord) -> str:
    return draw_chart(sweep_chart(sweep(compare(runs), "eval/mcc", RATE)))


def test_the_chart_has_a_dot_for_each_run_a_line_through_the_means_and_a_band() -> None:
    picture = drawn(*SWEPT)

    assert picture.count("<circle") == len(SWEPT)
    assert picture.count('class="band"') == 1
    (mean,) = re.findall(r'<path d="M([^"]+)" stroke="[^"]+" stroke-width="2.2">', picture)
    assert mean.count("-") == 2, "it rises twice"
    assert f">{RATE}</text>" in picture
    assert "0.1450 at 0.25 (3 runs), 0.2700 at 0.5 (3 runs), 0.5200 at 1 (3 runs)" in picture


def test_a_diverged_run_is_marked_at_its_value_and_breaks_no_mean() -> None:
    picture = draw_chart(sweep_chart(sweep(compare([*SWEPT, student(0.25, 4, math.nan)], at="last"), "eval/mcc", RATE)))

    assert f"a run: NaN at {RATE} 0.25" in picture
    assert "0.1450 at 0.25 (3 runs)" in picture


def test_single_runs_have_a_line_and_no_band() -> None:
    picture = drawn(*(student(rate, 1, rate) for rate in (0.25, 0.5)))

    assert picture.count("<circle") == 2
    assert 'class="band"' not in picture


def test_the_report_draws_the_sweep_when_asked() -> None:
    comparison = compare([*SWEPT, student(None, 1, 0.3)])

    page = comparison_page(comparison, against=RATE)

    assert f"Scores against {RATE}" in page
    assert "1 run without that key or score not shown" in page
    assert "Scores against" not in comparison_page(comparison)


def test_a_run_that_learned_nothing_is_a_dot_and_no_part_of_the_mean() -> None:
    runs = [
        build_run(
            f"run-{seed}", config={"script": {"rate": 0.1}}, curves={"eval/mcc": [score]}, seeds=Seeds(dropout=seed)
        )
        for seed, score in enumerate((0.5, 0.6, 0.0))
    ]

    point = sweep(compare(runs), "eval/mcc", "script.rate").lines[0].points[0]

    assert point.scores == (0.5, 0.6, 0.0)
    assert (point.together.n, point.together.mean) == (2, pytest.approx(0.55))
