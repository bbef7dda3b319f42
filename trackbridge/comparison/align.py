"""
Alignment: runs of different length, or evaluated at different steps, on one axis.

No point is invented. Where a run has no point at a position, its last earlier value stands for it, and what
comes out says that it was held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.errors import MisuseError
from trackbridge.store.records import RunRecord, Series

Align: TypeAlias = Literal["step", "epoch", "time", "samples"]
"""By what points of two runs are laid side by side: updates, passes over the data, seconds trained, examples seen."""


@dataclass(frozen=True, slots=True)
class CommonPosition:
    """How far all compared runs came: `position` is in steps, epochs, seconds of training or samples."""

    align: Align
    position: float

    @property
    def unit(self) -> str:
        """What the position counts, in the singular: `step`, `epoch`, `second`, `sample`."""
        return {"step": "step", "epoch": "epoch", "time": "second", "samples": "sample"}[self.align]

    @property
    def number(self) -> str:
        """The position in digits; steps and samples in full."""
        return str(int(self.position)) if self.align in ("step", "samples") else f"{self.position:.4g}"


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


def positions(run: RunRecord, series: Series, align: Align) -> NDArray[np.float64]:
    """Where each point of a run lies on an axis: float64[n], never falling.

    Raises:
        MisuseError: the run does not tell: it logged no epochs, or recorded no batch size.
    """
    if align == "epoch":
        if not np.isfinite(series.epochs).all():
            raise MisuseError(
                f"cannot align by epoch: {run.name!r} logged {series.name!r} without epochs; align by 'step' or 'time'"
            )
        return np.asarray(series.epochs, dtype=np.float64)
    if align == "time":
        if not run.started_ns:
            raise MisuseError(f"run {run.name!r} was imported without times: compare by step")
        return _training_seconds(run, series)
    scale = _samples_per_step(run) if align == "samples" else 1
    return np.asarray(series.steps * scale, dtype=np.float64)


def later_of_each_place(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these places come before all that follow: bool[n], of those that share one the last.

    A resumed run may have gone back, and where one axis is coarser than another, points share a place.
    """
    return np.append(np.minimum.accumulate(places[::-1])[::-1][1:] > places[:-1], True)[: len(places)]


def value_at(series: Series, step: int) -> tuple[float, int] | None:
    """The last value at or before `step` and the step it was logged at; None when there is none."""
    return held_at(series, series.steps, step)


def held_at(series: Series, where: NDArray[Any], position: float) -> tuple[float, int] | None:
    """The last value whose place in `where` is at or before a position, and its step; None when there is none."""
    index = int(np.searchsorted(where, position, side="right")) - 1
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


def _training_seconds(run: RunRecord, series: Series) -> NDArray[np.float64]:
    """Seconds in which a session ran; the time between two sessions does not count."""
    begin_s = 0.0
    knots_ns: list[int] = []
    seconds: list[float] = []
    for session in run.sessions:
        started_ns = max(session.started_ns, knots_ns[-1] if knots_ns else session.started_ns)
        length_s = max(0, session.last_seen_ns - started_ns) / 1e9
        knots_ns += [started_ns, started_ns + int(length_s * 1e9)]
        seconds += [begin_s, begin_s + length_s]
        begin_s += length_s
    if not knots_ns:
        return (series.times_ns - run.started_ns) / 1e9
    # Relative to the first one, since nanoseconds of this century do not fit into a float.
    knots = np.array([knot - knots_ns[0] for knot in knots_ns], dtype=np.float64)
    return np.interp((series.times_ns - knots_ns[0]).astype(np.float64), knots, seconds)


def _samples_per_step(run: RunRecord) -> int:
    arguments = run.config.get("training_arguments", {})
    per_device, accumulated = arguments.get("per_device_train_batch_size"), arguments.get("gradient_accumulation_steps")
    if isinstance(per_device, int):
        processes = run.config.get("trainer", {}).get("processes") or 1
        return per_device * (accumulated or 1) * int(processes)
    sizes = [scope["batch_size"] for scope in run.config.values() if isinstance(scope.get("batch_size"), int)]
    if not sizes:
        raise MisuseError(
            f"cannot align by samples: {run.name!r} recorded no batch size; log one as config={{'batch_size': ...}},"
            " or align by 'step', 'epoch' or 'time'"
        )
    return int(sizes[0])
