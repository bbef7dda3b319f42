"""The scores against independent computations and values known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trackbridge.finetune.metrics import accuracy, f1, matthews_correlation, pearson, scores_of

RNG = np.random.default_rng(5)


def test_mcc_of_two_classes_is_the_correlation_of_the_0_1_variables() -> None:
    """Matthews 1975 defines it so: the phi coefficient."""
    labels = RNG.integers(0, 2, 500)
    predicted = np.where(RNG.random(500) < 0.8, labels, 1 - labels)

    assert matthews_correlation(predicted, labels) == pytest.approx(stats.pearsonr(predicted, labels).statistic)


def test_mcc_by_hand() -> None:
    # tp 6, tn 3, fp 1, fn 2: (6*3 - 1*2) / sqrt(7 * 8 * 4 * 5)
    labels = np.array([1] * 8 + [0] * 4)
    predicted = np.array([1] * 6 + [0] * 2 + [0] * 3 + [1])

    assert matthews_correlation(predicted, labels) == pytest.approx(16 / math.sqrt(7 * 8 * 4 * 5))


def test_mcc_of_three_classes_is_gorodkins_covariance_ratio() -> None:
    """cov(X, Y) / sqrt(cov(X, X) cov(Y, Y)) over one-hot vectors: the definition, computed the long way."""
    labels = RNG.integers(0, 3, 300)
    predicted = np.where(RNG.random(300) < 0.6, labels, RNG.integers(0, 3, 300))
    X, Y = (np.eye(3)[ids] - np.eye(3)[ids].mean(axis=0) for ids in (predicted, labels))

    expected = (X * Y).sum() / math.sqrt((X * X).sum() * (Y * Y).sum())

    assert matthews_correlation(predicted, labels) == pytest.approx(expected)


@pytest.mark.parametrize(("predicted", "score"), [([0, 1, 0, 1], 1.0), ([1, 0, 1, 0], -1.0), ([1, 1, 1, 1], 0.0)])
def test_mcc_of_perfect_opposite_and_constant_predictions(predicted: list[int], score: float) -> None:
    assert matthews_correlation(np.array(predicted), np.array([0, 1, 0, 1])) == score


def test_f1_of_two_classes_is_that_of_class_1() -> None:
    labels, predicted = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])

    assert f1(predicted, labels, classes=2) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_f1_of_three_classes_is_their_mean_with_0_for_an_absent_one() -> None:
    labels, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])

    assert f1(predicted, labels, classes=3) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_accuracy_is_the_share_that_is_right() -> None:
    assert accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75


def test_pearson_agrees_with_scipy() -> None:
    labels = RNG.normal(size=200).astype(np.float32)
    predicted = labels + RNG.normal(size=200).astype(np.float32)

    assert pearson(predicted, labels) == pytest.approx(stats.pearsonr(predicted, labels).statistic, abs=1e-6)


def test_pearson_of_a_constant_is_not_a_number() -> None:
    assert math.isnan(pearson(np.ones(3), np.array([1.0, 2.0, 3.0])))


def test_scores_fit_the_outputs() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 3.0]])

    assert scores_of(logits, np.array([0, 1])) == {"mcc": 1.0, "accuracy": 1.0, "f1": 1.0}
    assert scores_of(np.array([[1.0], [2.0]]), np.array([3.0, 5.0])) == {"pearson": pytest.approx(1.0)}
