"""Optimism: how far the best of several is above their mean by luck alone."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np


@lru_cache(maxsize=256)
def expected_maximum(k: int) -> float:
    """The mean of the largest of k standard normal numbers, in sd: .56 for 2, 1.16 for 5, 1.54 for 10, 1.87 for 20.

    The integral of x d(Phi(x)^k), by the trapezoidal rule.

    Source: Tippett 1925, "On the extreme individuals and the range of samples taken from a normal population",
    Biometrika 17.
    """
    x = np.linspace(-9.0, 9.0, 3601)
    normal = NormalDist()
    cdf = np.array([normal.cdf(float(one)) for one in x])
    pdf = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(k * x * cdf ** (k - 1) * pdf) * (x[1] - x[0]))
