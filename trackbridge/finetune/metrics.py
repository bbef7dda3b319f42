"""Scores of predictions: Matthews correlation, accuracy, F1 and Pearson correlation, with numpy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.number[Any]]


def scores_of(outputs: Numbers, labels: Numbers) -> dict[str, float]:
    """Every score that fits: Pearson for one output per example, the others for one output per class.

    Args:
        outputs: float[n, k], logits of k classes; k = 1 for regression.
        labels: int[n] class ids, or float[n] values.
    """
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        return {"pearson": pearson(outputs.reshape(-1), labels)}
    predicted = outputs.argmax(axis=1)
    return {
        "mcc": matthews_correlation(predicted, labels),
        "accuracy": accuracy(predicted, labels),
        "f1": f1(predicted, labels, classes=outputs.shape[1]),
    }


def matthews_correlation(predicted: Numbers, labels: Numbers) -> float:
    """The Matthews correlation coefficient in [-1, 1] of class ids int[n]; 0 when either side has one class.

    With s examples, c of them right, and p_k predicted as and t_k truly of class k:
    (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)). For two classes this is Matthews 1975.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient",
    Computational Biology and Chemistry 28, equation 8. CoLA's metric (Warstadt et al. 2019).
    """
    classes = np.union1d(predicted, labels)
    predicted_counts = (predicted[:, None] == classes).sum(axis=0, dtype=np.float64)
    true_counts = (labels[:, None] == classes).sum(axis=0, dtype=np.float64)
    n, right = float(len(labels)), float((predicted == labels).sum())
    variances = (n**2 - predicted_counts @ predicted_counts) * (n**2 - true_counts @ true_counts)
    if variances == 0:
        return 0.0
    return float((right * n - predicted_counts @ true_counts) / np.sqrt(variances))


def accuracy(predicted: Numbers, labels: Numbers) -> float:
    """The share of class ids int[n] that are right, in [0, 1]."""
    return float((predicted == labels).mean())


def f1(predicted: Numbers, labels: Numbers, *, classes: int) -> float:
    """F1 in [0, 1] of class ids int[n]: of class 1 when there are two, else the mean over all classes.

    2 tp / (2 tp + fp + fn); 0 for a class that is neither predicted nor true.

    Source: van Rijsbergen 1979, "Information Retrieval", chapter 7; of class 1 for MRPC and QQP as in
    GLUE (Wang et al. 2018, arXiv 1804.07461).
    """
    if classes == 2:
        return _f1_of(predicted == 1, labels == 1)
    return float(np.mean([_f1_of(predicted == k, labels == k) for k in range(classes)]))


def pearson(predicted: Numbers, labels: Numbers) -> float:
    """Pearson's correlation in [-1, 1] of float[n] and float[n]; NaN when either is constant.

    Source: Pearson 1895, "Note on regression and inheritance in the case of two parents".
    """
    x = predicted.astype(np.float64) - predicted.mean(dtype=np.float64)
    y = labels.astype(np.float64) - labels.mean(dtype=np.float64)
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _f1_of(predicted: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float:
    claims = int(predicted.sum() + labels.sum())
    return 2 * int((predicted & labels).sum()) / claims if claims else 0.0
