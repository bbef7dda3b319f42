"""
Detectors: what the curve of one metric shows, each as one function over its values.

Thresholds are chosen so that a curve of pure noise (normal, exponential, gamma, lognormal, Student's t with 3 degrees
of freedom) hardly ever trips them; `tests/unit/test_comparison_detectors.py` holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Values = NDArray[np.float64]

N_BUCKETS = 10
DIVERGED_RATIO = 2.0
DIVERGED_RISE = 0.5
DIVERGED_ERRORS = 4.0
NEVER_LEARNED_RATIO = 0.95
NEVER_LEARNED_LOWEST = 0.85
NEVER_LEARNED_ERRORS = 2.0
OVERFIT_RATIO = 1.05
OVERFIT_EVALUATIONS = 3
JUMP_TAIL = 0.3
JUMP_WINDOW = 5
JUMP_T = 4.0
JUMP_RANGE_SHARE = 0.15
JUMP_USUAL = 3.0
MIN_EVALUATIONS_FOR_JUMP = 15
PLATEAU_TAIL = 0.25
PLATEAU_ERRORS = 2.0
SPIKE_WINDOW = 21
SPIKE_DEVIATIONS = 20.0
"""In median absolute deviations. Eight of them are passed by half of all curves with skewed noise."""

# A normal distribution's sd in median absolute deviations, and the error of its median in errors of its mean.
_SD_PER_MAD = 1.4826
_MEDIAN_ERROR = 1.2533


@dataclass(frozen=True, slots=True)
class Signal:
    """Where a curve shows something: the index of the point, the number that tells, and the threshold it passed."""

    index: int
    value: float
    threshold: float


def first_nonfinite(values: Values) -> Signal | None:
    """The first NaN or infinity; the number is how many there are."""
    where = np.flatnonzero(~np.isfinite(values))
    return Signal(int(where[0]), float(len(where)), 0.0) if len(where) else None


def diverged(losses: Values) -> Signal | None:
    """A loss that fell and then rose for good: its last tenth is above twice its lowest tenth.

    It must have lost half of what it had gained, and more than noise explains; the number is the ratio of the last
    tenth to the lowest. The index is where the lowest tenth ends.
    """
    buckets = _bucket_means(losses)
    if buckets is None:
        return None
    lowest = int(buckets.argmin())
    gained, lost = buckets[0] - buckets[lowest], buckets[-1] - buckets[lowest]
    ratio = float(buckets[-1] / buckets[lowest]) if buckets[lowest] > 0 else np.inf
    noise = DIVERGED_ERRORS * _noise(losses) * np.sqrt(2 * N_BUCKETS / len(losses))
    if ratio <= DIVERGED_RATIO or lost <= max(DIVERGED_RISE * gained, noise):
        return None
    return Signal(min(len(losses) - 1, (lowest + 1) * len(losses) // N_BUCKETS), ratio, DIVERGED_RATIO)


def never_learned(losses: Values) -> Signal | None:
    """A loss whose median over the last tenth is hardly below that over the first; the number is their ratio.

    Hardly: by 5 %, or by what noise explains, but never by more than 15 %. One that fell and rose again is not meant.
    """
    tenth = len(losses) // N_BUCKETS
    if tenth < 2 or diverged(losses):
        return None
    first, last = float(np.median(losses[:tenth])), float(np.median(losses[-tenth:]))
    noise = NEVER_LEARNED_ERRORS * _MEDIAN_ERROR * _noise(losses) * np.sqrt(2 / tenth)
    enough = max(NEVER_LEARNED_LOWEST, min(NEVER_LEARNED_RATIO, 1 - noise / first)) if first > 0 else np.inf
    return Signal(len(losses) - 1, last / first, enough) if last > enough * first else None


def overfit(eval_losses: Values, train_losses: Values) -> Signal | None:
    """An evaluation loss that ends 5 % above its minimum, three times in a row, while the training loss falls.

    The number is the ratio of the last evaluation to the minimum; the index is that of the minimum.
    """
    if len(eval_losses) <= OVERFIT_EVALUATIONS or len(train_losses) < 4:
        return None
    lowest = int(eval_losses.argmin())
    floor = float(eval_losses[lowest])
    half = len(train_losses) // 2
    if not np.median(train_losses[half + half // 2 :]) < np.median(train_losses[half : half + half // 2]):
        return None
    if not floor > 0 or (eval_losses[-OVERFIT_EVALUATIONS:] <= OVERFIT_RATIO * floor).any():
        return None
    return Signal(lowest, float(eval_losses[-1]) / floor, OVERFIT_RATIO)


def late_jump(scores: Values) -> Signal | None:
    """A step up or down in the last 30 % of evaluations that noise and the trend before it do not explain.

    The level of the next evaluations (two to five) less that of the last five, less what the trend before accounts
    for. It is told when it is above four of its errors, above 15 % of the range, and above three times what is
    usual in the middle of the curve, where slow waves show. The number is the height. Fifteen evaluations or more.
    """
    n = len(scores)
    first = int(np.ceil((1 - JUMP_TAIL) * n))
    if n < MIN_EVALUATIONS_FOR_JUMP:
        return None
    noise = _noise(scores)
    usual = np.median([abs(_height(scores, index)) for index in range(int(JUMP_TAIL * n), first)])
    heights = {index: _height(scores, index) for index in range(first, n - 1)}
    errors = {index: noise * np.sqrt(1 / JUMP_WINDOW + 1 / min(JUMP_WINDOW, n - index)) for index in heights}
    index = max(heights, key=lambda one: abs(heights[one]) / errors[one] if errors[one] else abs(heights[one]))
    enough = max(JUMP_T * errors[index], JUMP_RANGE_SHARE * float(np.ptp(scores)), JUMP_USUAL * float(usual))
    return Signal(index, heights[index], enough) if abs(heights[index]) > enough else None


def plateau(scores: Values) -> Signal | None:
    """A curve that no longer moves: the two halves of its last quarter differ by less than two errors.

    The number is the difference of their medians; the index is where the last quarter begins.
    """
    half = int(PLATEAU_TAIL * len(scores)) // 2
    if half < 2:
        return None
    older, newer = scores[-2 * half : -half], scores[-half:]
    enough = PLATEAU_ERRORS * _MEDIAN_ERROR * _noise(scores[-2 * half :]) * np.sqrt(2 / half)
    gap = float(np.median(newer) - np.median(older))
    return Signal(len(scores) - 2 * half, gap, enough) if abs(gap) <= enough else None


def spike(losses: Values) -> Signal | None:
    """The highest spike of a positive loss: its logarithm is 20 median deviations above the running median.

    The number is how many deviations.
    """
    if len(losses) < 2 * SPIKE_WINDOW or not (losses > 0).all():
        return None
    logs = np.log(losses)
    padded = np.pad(logs, SPIKE_WINDOW // 2, mode="edge")
    above = logs - np.median(sliding_window_view(padded, SPIKE_WINDOW), axis=1)
    deviation = float(np.median(np.abs(above)))
    index = int(above.argmax())
    if deviation == 0 or above[index] <= SPIKE_DEVIATIONS * deviation:
        return None
    return Signal(index, float(above[index]) / deviation, SPIKE_DEVIATIONS)


def _bucket_means(values: Values) -> Values | None:
    if len(values) < 2 * N_BUCKETS:
        return None
    edges = np.arange(N_BUCKETS + 1) * len(values) // N_BUCKETS
    sums = np.add.reduceat(values, edges[:-1])
    return np.asarray(sums / np.diff(edges), dtype=np.float64)


def _noise(values: Values) -> float:
    """The sd of a curve around its trend, from the median absolute difference of neighbours."""
    steps = np.diff(values)
    return float(_SD_PER_MAD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def _height(scores: Values, index: int) -> float:
    before = scores[max(0, index - JUMP_WINDOW) : index]
    after = scores[index : index + JUMP_WINDOW]
    height = float(after.mean() - before.mean())
    # The trend comes from twice as many points: that of five is mostly noise. One against the jump explains nothing.
    expected = _slope(scores[max(0, index - 2 * JUMP_WINDOW) : index]) * (len(before) + len(after)) / 2
    return height - expected if expected * height > 0 else height


def _slope(values: Values) -> float:
    places = np.arange(len(values)) - (len(values) - 1) / 2
    return float(places @ values / (places @ places))
