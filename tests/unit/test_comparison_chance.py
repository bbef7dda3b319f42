"""What a model that has learned nothing scores, and what the size of an evaluation set does to a score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trackbridge.comparison.chance import chance_level, evaluation_floor, learned_nothing, phi_error
from trackbridge.testing.records import build_run

RTE = {"examples": 277, "labels": {"0": 146, "1": 131}}


@pytest.mark.parametrize(
    ("metric", "level"),
    [
        ("eval/mcc", 0.0),
        ("eval/matthews_correlation", 0.0),
        ("eval_mcc", 0.0),
        ("eval/spearmanr", 0.0),
        ("eval/roc_auc", 0.5),
        ("eval/accuracy", 146 / 277),
        ("eval/f1", 2 * 131 / (277 + 131)),
        ("eval/macro_f1", None),
        ("eval/balanced_accuracy", None),
        ("eval/loss", None),
        ("test/accuracy", None),
    ],
)
def test_chance_follows_from_the_metric_and_the_labels(metric: str, level: float | None) -> None:
    assert chance_level(build_run("a", config={"data": {"eval_dev": RTE}}), metric) == pytest.approx(level)


def test_a_score_computed_in_32_bits_is_as_bad_as_chance_all_the_same() -> None:
    level = 2 * 131 / (277 + 131)

    assert learned_nothing(float(np.float32(level)), level)
    assert learned_nothing(math.nan, level)
    assert not learned_nothing(level + 1 / 277, level)


def test_the_recorded_share_of_the_training_majority_is_what_counts() -> None:
    run = build_run("a", config={"data": {"eval_dev": {**RTE, "majority_accuracy": 131 / 277}}})

    assert chance_level(run, "eval/accuracy") == 131 / 277


def test_a_metric_of_several_sets_is_of_its_own() -> None:
    data = {"eval_in": {"majority_accuracy": 0.7}, "eval_out": {"majority_accuracy": 0.6}}
    run = build_run("a", config={"data": data})

    assert chance_level(run, "eval_out/accuracy") == 0.6
    assert chance_level(run, "eval/accuracy") is None


def test_unknown_labels_give_no_chance_level() -> None:
    assert chance_level(build_run("a"), "eval/accuracy") is None
    assert chance_level(build_run("a", config={"data": {"eval_dev": {"labels": "many"}}}), "eval/f1") is None


@pytest.mark.parametrize(
    ("examples", "score", "error"), [(277, 0.70, 0.0275), (408, 0.88, 0.0161), (872, 0.93, 0.0086)]
)
def test_the_floor_of_an_accuracy(examples: int, score: float, error: float) -> None:
    """RTE, MRPC and SST-2 at typical scores."""
    run = build_run("a", config={"data": {"eval_dev": {"examples": examples}}})

    floor = evaluation_floor(run, "eval/accuracy", score)

    assert floor is not None
    assert floor.standard_error == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize(("share", "phi"), [(0.5, 0.0), (0.5, 0.6), (0.7, 0.5), (0.7, 0.0)])
def test_the_floor_of_a_matthews_correlation_is_what_sampling_does(share: float, phi: float) -> None:
    n, spread = 500, share * (1 - share)
    both = share**2 + phi * spread
    cells = [both, share - both, share - both, 1 - 2 * share + both]
    tables = np.random.default_rng(0).multinomial(n, cells, 20_000)
    tp, fp, fn, tn = tables.T.astype(float)
    sampled = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))

    assert phi_error(phi, share, n) == pytest.approx(sampled.std(), rel=0.03)


def test_the_floor_of_mcc_needs_the_labels() -> None:
    with_labels = build_run("a", config={"data": {"eval_dev": RTE}})
    without = build_run("b", config={"data": {"eval_dev": {"examples": 277}}})

    assert evaluation_floor(with_labels, "eval/mcc", 0.5) is not None
    assert evaluation_floor(without, "eval/mcc", 0.5) is None
    assert evaluation_floor(with_labels, "eval/mcc", math.nan) is None


def test_the_floor_of_a_pearson_correlation() -> None:
    floor = evaluation_floor(build_run("a", config={"data": {"eval_dev": {"examples": 1500}}}), "eval/pearson", 0.88)

    assert floor is not None
    assert floor.standard_error == pytest.approx((1 - 0.88**2) / math.sqrt(1499))
