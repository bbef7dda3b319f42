"""
Alignment: runs of different length, or evaluated at different steps, on one step axis.

No point is invented. Where a run has no point at a step, its last earlier value stands for it, and what
comes out says that it was held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackbridge.store.records import Series


@dataclass(frozen=True, slots=True)
class GroupCurve:
    """Mean and sd of replicates at every step where all of them have a value.

    `steps`: int64[n]; `mean`, `sd`: float64[n], NaN where a member's value is not finite (`sd` also when the
    group has one member). `held` says that members were evaluated at different steps, so that some values
    were held from an earlier step.
    """

    steps: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    held: bool


def value_at(series: Series, step: int) -> tuple[float, int] | None:
    """The last value at or before `step` and the step it was logged at; None when there is none."""
    index = int(np.searchsorted(series.steps, step, side="right")) - 1
    return (float(series.values[index]), int(series.steps[index])) if index >= 0 else None


def group_curve(members: Sequence[Series]) -> GroupCurve:
    """Mean and sd over replicates, from the latest first step to the earliest last one.

    A band that went on after a member stopped would jump with the change of members, not with training
    (wandb#6672, wandb#4879). Equal values count as often as they occur.
    """
    filled = [one for one in members if len(one)]
    if not filled:
        return GroupCurve(np.empty(0, np.int64), np.empty(0), np.empty(0), held=False)
    begin = max(int(one.steps[0]) for one in filled)
    end = min(int(one.steps[-1]) for one in filled)
    steps = np.unique(np.concatenate([one.steps for one in filled]))
    steps = steps[(steps >= begin) & (steps <= end)]
    rows = np.stack([one.values[np.searchsorted(one.steps, steps, side="right") - 1] for one in filled])
    held = any(not np.isin(steps, one.steps).all() for one in filled)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(np.isfinite(rows).all(axis=0), rows.mean(axis=0), np.nan)
        sd = rows.std(axis=0, ddof=1) if len(filled) > 1 else np.full(len(steps), np.nan)
    return GroupCurve(steps, mean, np.where(np.isfinite(mean), sd, np.nan), held)
