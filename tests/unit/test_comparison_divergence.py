"""The first step at which two runs are not the same, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.divergence import first_divergence
from trackbridge.errors import NotFoundError
from trackbridge.store.records import Seeds
from trackbridge.testing.records import build_run

LOSSES = {10: 0.7, 20: 0.6, 30: 0.5}


def test_runs_that_are_the_same_are_identical() -> None:
    one = build_run("one", curves={"train/loss": LOSSES, "eval/mcc": {30: math.nan}})
    other = build_run("other", curves={"train/loss": LOSSES, "eval/mcc": {30: math.nan}})

    found = first_divergence(one, other)

    assert found.is_identical
    assert found.sentence == "one and other are identical, bit for bit, in 4 values of 2 metrics"


def test_the_last_bit_of_one_value_is_a_divergence_with_its_causes() -> None:
    curves = {"train/loss": {**LOSSES, 20: float(np.nextafter(0.6, 1))}, "train/grad_norm": {10: 1.0, 20: 2.0}}
    one = build_run("one", curves={"train/loss": LOSSES, "train/grad_norm": {10: 1.0, 20: 2.5}}, seeds=Seeds(1, 2, 3))
    other = build_run("other", curves=curves, seeds=Seeds(1, 2, 4), environment={"torch": "2.13"})

    found = first_divergence(one, other)

    assert not found.is_identical
    assert [(at.metric, at.step) for at in found.first] == [("train/loss", 20), ("train/grad_norm", 20)]
    assert found.sentence == (
        "one and other first differ at step 20, in train/loss (0.6 and 0.6000000000000001),"
        " train/grad_norm (2.5 and 2.0); what differs and could have caused it: seeds seeds.dropout; environment torch"
    )


def test_causes_are_ordered_by_how_likely_they_are() -> None:
    one, other = (
        build_run(
            name,
            curves={"x": [float(n)]},
            config={"script": {"lr": n}, "data": {"train": {"sha256": name * 8}}},
            seeds=Seeds(dropout=n),
            environment={"git": {"commit": name * 40, "branch": name}, "packages": {"torch": f"2.{n}"}},
        )
        for n, name in enumerate("ab")
    )

    causes = first_divergence(one, other).causes

    assert [cause.section for cause in causes] == ["seeds", "config", "code", "data", "environment"]
    assert first_divergence(one, other).sentence.endswith(
        "could have caused it: seeds seeds.dropout; config script.lr; code git.commit; data data.train.sha256;"
        " environment packages.torch"
    )


def test_a_comparison_finds_its_runs_by_name_or_id() -> None:
    one, other = build_run("a", curves={"x": [1.0]}), build_run("b", curves={"x": [1.0]})
    comparison = compare([one, other])

    assert comparison.divergence("a", other.run_id).is_identical
    with pytest.raises(NotFoundError, match="has no run 'c'"):
        comparison.divergence("a", "c")


def test_a_divergence_that_nothing_recorded_explains_is_told_so() -> None:
    found = first_divergence(build_run("a", curves={"x": [1.0, 2.0]}), build_run("b", curves={"x": [1.0, 3.0]}))

    assert found.causes == ()
    assert "nothing recorded explains it" in found.sentence


def test_a_longer_run_is_the_same_as_far_as_both_go() -> None:
    found = first_divergence(build_run("a", curves={"x": LOSSES}), build_run("b", curves={"x": {**LOSSES, 40: 0.4}}))

    assert not found.is_identical
    assert (found.first, found.only_one, found.only_other) == ((), 0, 1)
    assert "identical in 3 values of 1 metric, as far as both go: a has 0 points more, b 1" in found.sentence


def test_minus_zero_differs_from_zero() -> None:
    found = first_divergence(build_run("a", curves={"x": [0.0]}), build_run("b", curves={"x": [-0.0]}))

    assert [at.step for at in found.first] == [1]


def test_running_times_are_left_out() -> None:
    names = ("eval/runtime", "eval/samples_per_second", "system/cpu")
    one = build_run("a", curves={"x": [1.0], **{name: [1.0] for name in names}})
    other = build_run("b", curves={"x": [1.0], **{name: [2.0] for name in names}})

    assert first_divergence(one, other).is_identical


def test_runs_without_a_common_step_cannot_be_compared() -> None:
    found = first_divergence(build_run("a", curves={"x": {1: 1.0}}), build_run("b", curves={"x": {2: 1.0}}))

    assert not found.is_identical
    assert found.sentence == "a and b have no metric with a step in common"


def test_a_metric_that_only_one_run_has_makes_them_not_identical() -> None:
    found = first_divergence(build_run("a", curves={"x": [1.0]}), build_run("b", curves={"x": [1.0], "y": [1.0, 2.0]}))

    assert (found.is_identical, found.only_other) == (False, 2)
