"""
A training as a test: five seeds, each a run of its own, offline and without a key.

    python -m pytest examples/ci/test_training.py --trackbridge-root runs --trackbridge-project smoke

`trackbridge check` holds these runs against golden ones, which the same command makes with another root.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import trackbridge as tb

SETTINGS = {"lr": 0.5, "steps": 200, "batch_size": 16}


def points(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`n` points of two clouds that overlap, with a constant 1 beside the coordinates, and which cloud each is of."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, n).astype(np.float64)
    x = generator.normal(0, 1, (n, 2)) + np.stack([label, -label], axis=1)
    return np.hstack([x, np.ones((n, 1))]), label


@pytest.mark.parametrize("seed", range(1, 6))
def test_logistic_regression_learns(trackbridge_run: tb.Run, seed: int) -> None:
    (x, y), (eval_x, eval_y) = points(2000, seed=10), points(1000, seed=11)
    trackbridge_run.log_config(SETTINGS)
    trackbridge_run.log_seeds(tb.Seeds(all=seed))
    generator = np.random.default_rng(seed)
    weights = generator.normal(0, 0.1, 3)

    for step in range(1, int(SETTINGS["steps"]) + 1):
        batch = generator.integers(0, len(x), int(SETTINGS["batch_size"]))
        slope = x[batch].T @ (1 / (1 + np.exp(-x[batch] @ weights)) - y[batch])
        weights -= SETTINGS["lr"] * slope / len(batch)
        if step % 20 == 0:
            accuracy = float(np.mean((eval_x @ weights > 0) == eval_y))
            trackbridge_run.log({"eval/accuracy": accuracy}, step=step)

    # Whether it got worse is for `trackbridge check` to say; here only what is broken fails.
    assert np.isfinite(weights).all()
