"""Means, spreads, last, best and common values: the numbers every view shows."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.align import group_curve, value_at
from trackbridge.comparison.run_scores import Point
from trackbridge.comparison.scores import aggregate
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run, build_series


def scored(name: str, lr: float, *mcc: float, **fields: object) -> RunRecord:
    return build_run(name, config={"script": {"lr": lr}}, curves={"eval/mcc": mcc}, **fields)


def test_equal_scores_all_count() -> None:
    """aim drops equal values before averaging, which hides three degenerate runs behind one."""
    healthy, degenerate = [0.60, 0.61, 0.62, 0.60, 0.63, 0.59, 0.61], [0.0, 0.0, 0.0]
    runs = [scored(f"run-{index}", 1e-5, value) for index, value in enumerate(healthy + degenerate)]

    group = compare(runs).metrics["eval/mcc"].groups[0]

    assert group.mixed.n == 10
    assert group.mixed.mean == pytest.approx(statistics.fmean(healthy + degenerate), abs=1e-15)
    assert group.mixed.sd == pytest.approx(statistics.stdev(healthy + degenerate), abs=1e-15)
    assert group.scores.n == 7
    assert group.scores.mean == pytest.approx(statistics.fmean(healthy), abs=1e-15)


def test_another_group_does_not_change_the_mean_of_this_one() -> None:
    """In wandb#6672 showing a second group moved the first one's mean from 86 to 91 %."""
    group = [scored(f"a{index}", 1e-5, value) for index, value in enumerate((0.5, 0.6, 0.7))]
    other = [scored(f"b{index}", 2e-5, value, value) for index, value in enumerate((0.1, 0.2))]

    alone = compare(group).metrics["eval/mcc"].groups[0].scores
    beside = compare([*other, *group]).metrics["eval/mcc"].groups[1].scores

    assert beside == alone


def test_two_identical_lines_average_to_the_same_line() -> None:
    """In wandb#4879 two identical y = x runs, grouped, showed other values."""
    line = build_series("y", {step: float(step) for step in range(1, 5001)})

    curve = group_curve([line, line])

    np.testing.assert_array_equal(curve.steps, line.steps)
    np.testing.assert_array_equal(curve.mean, line.values)
    np.testing.assert_array_equal(curve.sd, np.zeros(5000))


def test_one_run_has_no_sd() -> None:
    scores = compare([scored("a", 1e-5, 0.5)]).metrics["eval/mcc"].groups[0].scores

    assert (scores.n, scores.mean, scores.sd) == (1, 0.5, None)


def test_non_finite_scores_are_left_out_and_counted() -> None:
    runs = [scored("a", 1e-5, 0.5), scored("b", 1e-5, math.nan), scored("c", 1e-5, 0.7)]

    group = compare(runs, at="last").metrics["eval/mcc"].groups[0]

    assert (group.scores.n, group.n_runs, group.scores.mean) == (2, 3, pytest.approx(0.6))


def test_no_finite_score_gives_no_mean() -> None:
    assert aggregate([math.nan, math.inf]).mean is None


def test_best_follows_the_direction_of_the_metric() -> None:
    run = build_run("a", curves={"eval/mcc": [0.1, 0.6, 0.4], "eval/loss": [0.9, 0.3, 0.5]})

    metrics = compare([run]).metrics

    assert metrics["eval/mcc"].runs[0].best.value == 0.6
    assert metrics["eval/loss"].runs[0].best.value == 0.3
    assert metrics["eval/loss"].runs[0].best.step == 2
    assert metrics["eval/loss"].runs[0].last.value == 0.5


def test_the_common_step_is_the_last_one_all_runs_reached() -> None:
    short = build_run("short", curves={"eval/mcc": {50: 0.3, 100: 0.5}})
    long = build_run("long", curves={"eval/mcc": {50: 0.2, 100: 0.4, 150: 0.6}})

    metric = compare([short, long], at="common").metrics["eval/mcc"]

    assert metric.common.position == 100
    assert [score.common.value for score in metric.runs] == [0.5, 0.4]
    assert [score.last.value for score in metric.runs] == [0.5, 0.6]


def test_a_value_not_logged_at_the_common_step_is_held_and_told() -> None:
    a = build_run("a", curves={"eval/mcc": {50: 0.3, 100: 0.5}})
    b = build_run("b", curves={"eval/mcc": {40: 0.2, 80: 0.4, 120: 0.6}})

    comparison = compare([a, b], at="common")

    assert comparison.metrics["eval/mcc"].runs[1].common.step == 80
    assert [note.code for note in comparison.notes if note.code == "held_values"] == ["held_values"]


def test_value_before_the_first_point_is_none() -> None:
    assert value_at(build_series("x", {10: 1.0}), 9) is None
    assert value_at(build_series("x", {10: 1.0}), 10) == (1.0, 10)


def test_a_band_stops_where_a_member_stops() -> None:
    long = build_series("y", dict.fromkeys(range(0, 101, 10), 1.0))
    short = build_series("y", dict.fromkeys(range(0, 61, 10), 3.0))

    curve = group_curve([long, short])

    assert curve.steps[-1] == 60
    assert set(curve.mean) == {2.0}
    assert curve.sd[0] == pytest.approx(math.sqrt(2))


def test_a_band_of_different_grids_holds_values_and_says_so() -> None:
    curve = group_curve([build_series("y", {10: 1.0, 30: 3.0}), build_series("y", {10: 1.0, 20: 5.0, 30: 7.0})])

    assert curve.held
    assert list(curve.mean) == [1.0, 3.0, 5.0]


def test_a_nan_in_one_member_leaves_a_gap_in_the_band() -> None:
    curve = group_curve([build_series("y", [1.0, math.nan, 3.0]), build_series("y", [1.0, 2.0, 3.0])])

    assert [math.isnan(value) for value in curve.mean] == [False, True, False]


def test_a_run_given_twice_counts_once() -> None:
    run = scored("a", 1e-5, 0.5)

    assert compare([run, run]).metrics["eval/mcc"].groups[0].scores.n == 1


RATES = ("train/learning_rate", "train/learning_rate/layer_11")


def test_bookkeeping_is_left_out_and_scores_come_first() -> None:
    run = build_run(
        "a",
        curves={name: [1.0] for name in (*RATES, "train/loss", "eval/loss", "eval/runtime", "eval/mcc")},
    )

    assert list(compare([run]).metrics) == ["eval/mcc", "eval/loss", "train/loss"]


@pytest.mark.parametrize(
    "told",
    [
        {"summary": {"chosen_by": "eval/mcc"}},
        {"config": {"training_arguments": {"metric_for_best_model": "eval_mcc"}}},
        {"config": {"training_arguments": {"metric_for_best_model": "mcc"}}},
    ],
)
def test_the_metric_that_chose_the_weights_leads(told: dict[str, object]) -> None:
    run = build_run("a", curves={"eval/accuracy": [1.0], "eval/mcc": [1.0]}, **told)

    assert list(compare([run]).metrics) == ["eval/mcc", "eval/accuracy"]


def test_what_most_runs_have_comes_before_what_a_few_are_judged_by() -> None:
    runs = [
        build_run(f"{k}", curves={"eval_dev/mcc": [0.5], "eval_dev/loss": [1.0]}, summary={"judged_by": "eval_dev/mcc"})
        for k in range(3)
    ]
    fold = build_run("fold", curves={"eval_fold/mcc": [0.5]}, summary={"judged_by": "eval_fold/mcc"})

    assert list(compare([*runs, fold]).metrics) == ["eval_dev/mcc", "eval_dev/loss", "eval_fold/mcc"]


def test_what_few_runs_have_never_leads() -> None:
    odd = build_run("odd", curves={"eval/mcc": [1.0]}, summary={"judged_by": "eval/mcc"})
    others = [build_run(name, curves={"dev/f1": [1.0]}, summary={"judged_by": "dev/f1"}) for name in "ab"]

    assert list(compare([odd, *others]).metrics) == ["dev/f1", "eval/mcc"]


def test_an_unknown_metric_names_the_nearest_one() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'eval/mcc'"):
        compare([scored("a", 1e-5, 0.5)], metrics=["eval/mc"])


def test_nothing_to_compare_is_misuse() -> None:
    with pytest.raises(MisuseError, match="no runs"):
        compare([])
    with pytest.raises(MisuseError, match="'latest'"):
        compare([scored("a", 1e-5, 0.5)], at="latest")  # type: ignore[arg-type]


def test_a_baseline_run_stands_for_its_replicates() -> None:
    runs = [scored("a0", 1.0, 0.5), scored("b0", 2.0, 0.8), scored("b1", 2.0, 0.6), scored("a1", 1.0, 0.7)]

    comparison = compare(runs, baseline=runs[1])

    assert [[run.name for run in group.runs] for group in comparison.groups] == [["b0", "b1"], ["a0", "a1"]]
    groups = comparison.metrics["eval/mcc"].groups
    assert groups[0].difference is None
    assert groups[1].difference == pytest.approx(0.6 - 0.7)


def test_baseline_runs_of_equal_config_are_kept_apart() -> None:
    golden = [scored("golden", 1.0, 0.6), scored("golden-2", 2.0, 0.1)]
    changed = [scored("changed", 1.0, 0.5)]

    comparison = compare(changed, baseline=golden)

    assert [group.label for group in comparison.groups] == ["baseline: lr=1.0", "baseline: lr=2.0", "lr=1.0"]
    assert comparison.metrics["eval/mcc"].groups[2].difference == pytest.approx(-0.1)


def test_rows_and_json_hold_the_numbers_of_the_table() -> None:
    runs = [scored(f"run-{seed}", 1e-5, 0.1, value, seeds=Seeds(dropout=seed)) for seed, value in ((1, 0.7), (2, 0.6))]

    comparison = compare(runs)

    assert [row["eval/mcc"] for row in comparison.rows()] == [0.7, 0.6]
    assert [row["eval/mcc step"] for row in comparison.rows()] == [2, 2]
    assert [row["seeds.dropout"] for row in comparison.rows()] == [1, 2]
    assert comparison.to_json()["metrics"]["eval/mcc"]["groups"][0]["mean"] == (
        comparison.metrics["eval/mcc"].groups[0].scores.mean
    )


def test_json_is_strict_and_keeps_non_finite_values() -> None:
    runs = [
        build_run("a", config={"script": {"clip": math.inf}}, curves={"eval/loss": [1.0, math.nan]}),
        build_run("b", curves={"eval/loss": [1.0, -math.inf]}),
    ]

    text = json.dumps(compare(runs).to_json(), allow_nan=False)

    scores = json.loads(text)["metrics"]["eval/loss"]["runs"]
    assert [score["last"]["value"] for score in scores] == ["NaN", "-Infinity"]
    assert {"value": "Infinity"} in json.loads(text)["diff"]["differences"][0]["values"]


def test_the_notebook_table_escapes_names() -> None:
    runs = [build_run("<script>alert(1)</script>", group="<b>", curves={"eval/<i>": [1.0]})]

    shown = compare(runs)._repr_html_()

    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "&lt;b&gt;" in shown


def test_at_best_every_metric_is_that_of_the_model_the_leading_one_chose() -> None:
    curves = {"eval/mcc": [0.2, 0.6, 0.5], "test/mcc": [0.1, 0.3, 0.9]}
    run = build_run("a", curves=curves)

    result = compare([run], metrics=["eval/mcc", "test/mcc"])

    score = result.metrics["test/mcc"].run(run.run_id)
    assert score is not None
    assert score.best is not None
    assert (score.chosen, score.best.value) == (Point(0.3, 2), 0.9)
    assert result.metrics["test/mcc"].groups[0].scores.mean == 0.3
    assert result.rows()[0]["test/mcc"] == 0.3


def test_a_run_without_a_leading_score_has_no_chosen_value_of_another_metric() -> None:
    runs = [build_run("a", curves={"eval/mcc": [0.5], "test/mcc": [0.4]}), build_run("b", curves={"test/mcc": [0.9]})]

    result = compare(runs, metrics=["eval/mcc", "test/mcc"])

    scores = result.metrics["test/mcc"]
    assert [score.chosen for score in scores.runs] == [Point(0.4, 1), None]
