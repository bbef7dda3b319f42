"""Findings: what a comparison says of its runs, with step, number and threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.finding import Finding
from trackbridge.store.records import RunRecord
from trackbridge.testing.records import STARTED_NS, build_run


def only(runs: list[RunRecord], code: str, **options: object) -> Finding:
    found = [one for one in compare(runs).findings(**options) if one.code == code]  # type: ignore[arg-type]
    assert len(found) == 1, found
    return found[0]


def learning(name: str, n: int, jump_at: int | None = None, *, seed: int = 0) -> RunRecord:
    """MCC evaluated every 10 steps that rises to about .5, and jumps by .15 at an evaluation."""
    generator = np.random.default_rng(seed)
    scores = 0.5 - 0.4 * np.exp(-np.arange(n) / 8) + generator.normal(0, 0.005, n)
    if jump_at is not None:
        scores[jump_at:] += 0.15
    return build_run(name, curves={"eval/mcc": {10 * (k + 1): float(score) for k, score in enumerate(scores)}})


def test_the_run_that_trained_longer_and_jumped_at_the_end_is_told_in_one_sentence() -> None:
    runs = [learning(f"run-{seed}", 50, seed=seed) for seed in range(1, 5)] + [learning("run-0", 70, 62, seed=0)]

    found = [one for one in compare(runs).findings() if one.severity == "warning"]

    assert [one.code for one in found] == ["longer_and_jumped"]
    told = found[0]
    assert (told.step, told.metric) == (630, "eval/mcc")
    assert told.sentence == (
        "run-0 trained 40% longer than the median run (700 against 500 steps) and eval/mcc jumped by +0.156 at step"
        " 630, after the last common step, 500: there it was 0.5057, against a median of 0.5041 of the other runs"
    )


def test_a_jump_before_the_common_end_and_the_length_are_two_findings() -> None:
    runs = [learning(f"run-{seed}", 50, seed=seed) for seed in range(1, 5)] + [learning("run-0", 58, 47, seed=0)]

    codes = {one.code for one in compare(runs).findings() if one.run_id == runs[-1].run_id}

    assert {"unequal_length", "late_jump"} <= codes


def test_of_two_runs_the_longer_one_is_told() -> None:
    told = only([learning("short", 10), learning("long", 14)], "unequal_length")

    assert told.sentence == "long trained 40% longer than the median run (140 against 100 steps)"
    assert (told.value, told.threshold) == (pytest.approx(0.4), 0.1)


def test_a_run_that_ended_before_its_plan_is_told_so() -> None:
    short = build_run("short", curves={"eval/mcc": {50: 0.5}}, summary={"planned_updates": 100})

    told = only([short, *(build_run(name, curves={"eval/mcc": {100: 0.5}}) for name in "abc")], "unequal_length")

    assert told.sentence.endswith("trained 50% less than the median run (50 against 100 steps), of 100 planned")


def test_runs_ended_by_a_rule_are_of_no_unequal_length() -> None:
    halted = build_run("halted", curves={"eval/mcc": {20: 0.5}}, summary={"halted_at": 20})
    stopped = build_run("stopped", curves={"eval/mcc": {50: 0.5}}, summary={"stopped_early_at": 50})
    full = [build_run(name, curves={"eval/mcc": {100: 0.5}}) for name in "ab"]

    assert not [one for one in compare([halted, stopped, *full]).findings() if one.code == "unequal_length"]


def test_a_nan_is_an_error_with_its_first_step() -> None:
    told = only([build_run("a", curves={"train/loss": {10: 1.0, 20: math.nan, 30: math.inf}})], "nonfinite")

    assert (told.severity, told.step, told.value) == ("error", 20, 2)
    assert told.sentence == "a: train/loss is NaN or infinite at 2 of 3 points, first at step 20"


def test_losses_that_diverge_never_fall_or_spike() -> None:
    fall = 0.2 + np.exp(-np.linspace(0, 4, 300)) + np.random.default_rng(0).normal(0, 0.01, 300)
    spiky = fall.copy()
    spiky[150] = 40
    runs = [
        build_run("diverged", curves={"train/loss": np.where(np.arange(300) < 200, fall, 2.0).tolist()}),
        build_run("flat", curves={"train/loss": np.full(300, 0.69).tolist()}),
        build_run("spiky", curves={"train/loss": spiky.tolist()}),
    ]

    found = {one.run_id: one for one in compare(runs).findings() if one.code != "plateau"}

    assert [found[run.run_id].code for run in runs] == ["diverged", "never_learned", "spike"]
    assert "ended at 100% of where it began" in found[runs[1].run_id].sentence
    assert found[runs[2].run_id].step == 151


def test_overfitting_names_the_best_step() -> None:
    run = build_run(
        "a",
        curves={
            "train/loss": (0.2 + np.exp(-np.linspace(0, 4, 60))).tolist(),
            "eval/loss": {10: 0.7, 20: 0.5, 30: 0.4, 40: 0.45, 50: 0.5, 60: 0.6},
        },
    )

    told = only([run], "overfit")

    assert told.step == 30
    assert told.sentence.endswith(
        "eval/loss ended 50% above its minimum while train/loss fell: its best model is that of step 30"
    )


def test_a_run_no_better_than_chance_is_an_error_and_a_halted_one_is_not() -> None:
    failed = build_run("failed", curves={"eval/mcc": [0.02, 0.0]})
    halted = build_run("halted", curves={"eval/mcc": [0.0]}, summary={"halted_at": 1})

    told = only([failed, halted], "degenerate")

    assert (told.run_id, told.severity, told.value, told.threshold) == (failed.run_id, "error", 0.0, 0.0)


def test_the_replicate_that_stands_apart_is_named() -> None:
    scores = [0.60, 0.61, 0.62, 0.60, 0.61, 0.62, 0.30]
    runs = [build_run(f"run-{seed}", curves={"eval/mcc": [score]}) for seed, score in enumerate(scores)]

    told = only(runs, "seed_outlier")

    assert told.run_id == runs[-1].run_id
    assert "0.3 stands apart from the 6 other runs" in told.sentence
    assert told.value is not None
    assert told.threshold is not None
    assert told.value > told.threshold
    assert f"{told.value:.3g} standard deviations, where {told.threshold:.3g} are usual" in told.sentence


def test_a_silent_run_is_stalled_only_where_the_time_is_known() -> None:
    run = build_run("a", curves={"train/loss": [1.0, 0.9, 0.8]}, status="running", last_seen_ns=STARTED_NS)

    assert only([run], "stalled", now_ns=STARTED_NS + 6 * 10**9).value == 6
    assert not [one for one in compare([run]).findings() if one.code == "stalled"]
    assert not [one for one in compare([run]).findings(now_ns=STARTED_NS + 4 * 10**9) if one.code == "stalled"]


def test_the_gravest_findings_come_first() -> None:
    runs = [learning("fine", 60), build_run("broken", curves={"eval/mcc": {600: math.nan}})]

    severities = [one.severity for one in compare(runs).findings()]

    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert severities[0] == "error"


def test_sound_runs_have_no_warning() -> None:
    runs = [learning(f"run-{seed}", 50, seed=seed) for seed in range(5)]

    assert {one.severity for one in compare(runs).findings()} <= {"info"}


def test_what_replicates_share_is_told_once() -> None:
    config = {"script": {"lr": 1}}
    runs = [build_run(name, config=config, curves={"eval/mcc": [0.2, 0.0]}) for name in "abc"]
    runs += [build_run("other", config={"script": {"lr": 2}}, curves={"eval/mcc": [0.2, 0.0]})]
    comparison = compare(runs)

    shared, alone = comparison.grouped_findings()

    assert [one.run_id for one in shared.findings] == [run.run_id for run in runs[:3]]
    assert shared.sentence == f"{comparison.findings()[0].sentence}; likewise 2 more of its 3 replicates"
    assert alone.sentence == alone.first.sentence
