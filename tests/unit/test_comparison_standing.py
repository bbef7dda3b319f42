"""Which runs count in a mean: not those that learned nothing, and not those a rule paused early."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from trackbridge.comparison import Comparison, compare
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import Curve, build_run


def run(name: str, curve: Curve, **fields: object) -> RunRecord:
    return build_run(name, config={"script": {"lr": 1}}, curves={"eval/mcc": curve}, **fields)


def standings(comparison: Comparison, metric: str = "eval/mcc") -> dict[str, str]:
    scores = comparison.metrics[metric].by_run
    names = {one.run_id: one.name for one in comparison.runs}
    return {names[run_id]: score.standing for run_id, score in scores.items()}


HEALTHY = {f"run-{seed}": [0.1, 0.5, 0.6 + seed / 100] for seed in range(4)}


def runs_with(extra: Mapping[str, Curve]) -> list[RunRecord]:
    return [run(name, curve) for name, curve in {**HEALTHY, **extra}.items()]


def test_a_run_that_learned_nothing_is_no_part_of_the_mean() -> None:
    comparison = compare(runs_with({"failed": [0.0, -0.02, 0.0]}))

    group = comparison.metrics["eval/mcc"].groups[0]
    assert (group.scores.n, group.n_degenerate, group.mixed.n) == (4, 1, 5)
    assert group.scores.mean == pytest.approx(0.615)
    assert group.mixed.mean == pytest.approx(0.492)
    note = next(note for note in comparison.notes if note.code == "degenerate")
    assert note.text == (
        "failed of lr learned nothing by eval/mcc and was left out of its mean: 1 of 5 runs, 20% [4%, 62%];"
        " with them the mean is 0.492"
    ).replace("of lr", f"of {group.label}")


def test_a_lucky_early_evaluation_does_not_save_a_run_that_failed() -> None:
    comparison = compare(runs_with({"failed": [0.04, 0.1, 0.0]}))

    assert standings(comparison)["failed"] == "degenerate"


def test_a_run_that_broke_down_late_keeps_its_best_model() -> None:
    comparison = compare(runs_with({"late": [0.1, 0.58, 0.0]}))

    assert standings(comparison)["late"] == "counts"
    assert standings(compare(runs_with({"late": [0.1, 0.58, 0.0]}), at="last"))["late"] == "degenerate"


def test_a_loss_of_a_run_that_learned_nothing_is_left_out_too() -> None:
    runs = [
        build_run(f"run-{seed}", curves={"eval/mcc": [score], "eval/loss": [loss]})
        for seed, (score, loss) in enumerate([(0.5, 0.4), (0.6, 0.4), (0.0, 0.69)])
    ]

    group = compare(runs).metrics["eval/loss"].groups[0]

    assert (group.scores.n, group.n_degenerate, group.scores.mean) == (2, 1, pytest.approx(0.4))


def test_a_run_that_learned_by_the_leading_metric_counts_in_every_mean() -> None:
    data = {"eval_dev": {"majority_accuracy": 0.69}}
    runs = [
        build_run(f"{k}", config={"data": data}, curves={"eval/mcc": [mcc], "eval/accuracy": [accuracy]})
        for k, (mcc, accuracy) in enumerate([(0.3, 0.72), (0.25, 0.68)])
    ]

    group = compare(runs, metrics=["eval/mcc", "eval/accuracy"]).metrics["eval/accuracy"].groups[0]

    assert (group.scores.n, group.scores.mean) == (2, pytest.approx(0.70))


def test_where_the_leading_metric_has_no_chance_level_another_one_tells_what_learned_nothing() -> None:
    runs = [build_run(f"{k}", curves={"eval/loss": [0.5], "eval/mcc": [mcc]}) for k, mcc in enumerate([0.5, 0.6, 0.0])]

    group = compare(runs, metrics=["eval/loss", "eval/mcc"]).metrics["eval/mcc"].groups[0]

    assert (group.scores.n, group.n_degenerate) == (2, 1)


def test_accuracy_has_its_chance_level_from_the_labels() -> None:
    data = {"eval_dev": {"majority_accuracy": 0.53}}
    runs = [
        build_run(f"run-{seed}", config={"data": data}, curves={"eval/accuracy": [score]})
        for seed, score in enumerate([0.7, 0.72, 0.53])
    ]

    assert compare(runs).metrics["eval/accuracy"].groups[0].n_degenerate == 1


def test_a_halted_run_is_left_out_and_the_rest_is_said_to_flatter() -> None:
    halted = run("halted", {10: 0.2, 20: 0.3}, summary={"halted_at": 20, "halted_by": "the worst half"})
    going_on = [run(name, {10: 0.1, 20: 0.5, 100: 0.6}) for name in "abc"]

    comparison = compare([*going_on, halted])

    group = comparison.metrics["eval/mcc"].groups[0]
    assert (group.scores.n, group.n_halted, group.scores.mean) == (3, 1, pytest.approx(0.6))
    told = {note.code: note.text for note in comparison.notes}
    assert told["halted"] == (
        "halted was stopped early by a rule (the worst half): no mean counts them, and the means of the others flatter"
    )
    assert "unequal_length" not in told
    assert comparison.metrics["eval/mcc"].common.position == 100


def test_a_run_that_went_on_after_its_pause_counts() -> None:
    assert standings(compare([run("on", [0.5], summary={"halted_at": None})])) == {"on": "counts"}


def test_a_run_ended_by_early_stopping_counts_and_is_not_called_short() -> None:
    stopped = run("stopped", {10: 0.2, 20: 0.6}, summary={"stopped_early_at": 20})

    comparison = compare([stopped, run("full", {10: 0.2, 100: 0.6})])

    assert standings(comparison)["stopped"] == "counts"
    codes = {note.code for note in comparison.notes}
    assert "stopped_early" in codes
    assert "unequal_length" not in codes


def test_no_mean_where_no_run_learned() -> None:
    group = compare([run("a", [0.0]), run("b", [-0.1])]).metrics["eval/mcc"].groups[0]

    assert (group.scores.n, group.scores.mean, group.n_degenerate, group.mixed.mean) == (0, None, 2, -0.05)


def test_folds_are_told_to_be_no_independent_replicates() -> None:
    folds = [
        build_run(
            f"fold-{index}", config={"pipeline": {"folds": {"index": index, "of": 5}}}, curves={"eval/mcc": [0.5]}
        )
        for index in range(5)
    ]

    comparison = compare(folds)

    assert len(comparison.groups) == 1
    assert [note.level for note in comparison.notes if note.code == "folds"] == ["warning"]


def test_the_choice_among_many_evaluations_is_marked() -> None:
    few = [build_run(f"few-{k}", config={"script": {"every": 50}}, curves={"eval/mcc": [0.5] * 4}) for k in range(3)]
    many = [build_run(f"many-{k}", config={"script": {"every": 5}}, curves={"eval/mcc": [0.5] * 40}) for k in range(3)]

    unequal = [note for note in compare([*few, *many]).notes if note.code == "best_of_many"]
    equal = [note for note in compare(many).notes if note.code == "best_of_many"]

    assert "takes the best of 40 evaluations, every=50 of 4" in unequal[0].text
    assert unequal[0].level == "warning"
    assert "the best of 40 evaluations, which flatters it: by 2.2 standard deviations" in equal[0].text
    assert not [note for note in compare([*few, *many], at="last").notes if note.code == "best_of_many"]


def test_the_rate_of_failed_runs_has_an_interval_and_eight_runs_an_interquartile_mean() -> None:
    scores = [0.60, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66, 0.95, 0.0, 0.0]
    runs = [run(f"run-{seed}", [score], seeds=Seeds(dropout=seed)) for seed, score in enumerate(scores)]

    statistics = compare(runs).metrics["eval/mcc"].groups[0].statistics

    assert statistics is not None
    assert statistics.iqm == pytest.approx((0.62 + 0.63 + 0.64 + 0.65) / 4)
    assert (statistics.degenerate_rate.low, statistics.degenerate_rate.high) == pytest.approx(
        (0.0567, 0.5098), abs=1e-4
    )
    assert statistics.best_run_optimism is not None
    assert statistics.interval is not None


@pytest.mark.parametrize(("n", "has_one"), [(7, False), (8, True)])
def test_an_interquartile_mean_comes_with_eight_runs(n: int, has_one: bool) -> None:
    statistics = compare([run(f"run-{k}", [0.5 + k / 100]) for k in range(n)]).metrics["eval/mcc"].groups[0].statistics

    assert statistics is not None
    assert (statistics.iqm is not None) == has_one
