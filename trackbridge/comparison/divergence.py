"""The first divergence: the step at which two runs that should be the same are not, and what could have caused it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trackbridge.comparison.diff import diff_runs, unique_names
from trackbridge.comparison.difference import Difference, Section
from trackbridge.comparison.metrics import is_timing
from trackbridge.store.records import RunRecord, Series

MAX_NAMED = 6

PLAUSIBILITY: tuple[Section, ...] = ("seeds", "config", "code", "data", "environment")
"""Where to look first for what made two runs differ: another seed more likely than another version of a package."""


@dataclass(frozen=True, slots=True)
class MetricDivergence:
    """Where one metric of two runs first differs in any bit, and the two values there."""

    metric: str
    step: int
    one: float
    other: float


@dataclass(frozen=True)
class Divergence:
    """How far two runs are the same, bit for bit.

    `first` holds every metric that differs at the first step at which any does; empty where none does. `n_metrics`
    and `n_points` were compared, at common steps. `only_one`, `only_other` count the points that the other run has
    none for. `causes` are the differences that could have caused it, the likeliest first: in seeds, config, code, data
    and environment; volatile ones, and values that differ in type alone, are left out.
    """

    names: tuple[str, str]
    first: tuple[MetricDivergence, ...]
    n_metrics: int
    n_points: int
    only_one: int
    only_other: int
    causes: tuple[Difference, ...]

    @property
    def is_identical(self) -> bool:
        """Whether both runs logged the same points, and every value is the same."""
        return not self.first and bool(self.n_points) and self.only_one == self.only_other == 0

    @property
    def sentence(self) -> str:
        """The result and its likely causes, to be read on its own."""
        one, other = self.names
        if not self.n_points:
            return f"{one} and {other} have no metric with a step in common"
        compared = f"{self.n_points} values of {self.n_metrics} metric{'s' if self.n_metrics > 1 else ''}"
        if self.is_identical:
            return f"{one} and {other} are identical, bit for bit, in {compared}"
        if not self.first:
            return (
                f"{one} and {other} are identical in {compared}, as far as both go:"
                f" {one} has {self.only_one} points more, {other} {self.only_other}"
            )
        shown = ", ".join(f"{at.metric} ({at.one!r} and {at.other!r})" for at in self.first[:MAX_NAMED])
        return f"{one} and {other} first differ at step {self.first[0].step}, in {shown}; {self._causes()}"

    def _causes(self) -> str:
        if not self.causes:
            return "nothing recorded explains it: seeds, config, code, data and environment are the same"
        told: dict[str, list[str]] = {}
        for one in self.causes[:MAX_NAMED]:
            told.setdefault(one.section, []).append(one.key)
        more = f" and {len(self.causes) - MAX_NAMED} more" if len(self.causes) > MAX_NAMED else ""
        named = "; ".join(f"{section} {', '.join(keys)}" for section, keys in told.items())
        return f"what differs and could have caused it: {named}{more}"


def first_divergence(one: RunRecord, other: RunRecord) -> Divergence:
    """The first step at which any metric of both runs differs bitwise, and what differs in what they were told.

    Running times and the like are left out, since they always differ. A NaN in both is the same.
    """
    common = [name for name in one.metrics if name in other.metrics and not is_timing(name)]
    found: list[MetricDivergence] = []
    n_points = 0
    only_one, only_other = _n_points_without(common, one), _n_points_without(common, other)
    for name in common:
        left, right = one.series(name), other.series(name)
        _, in_left, in_right = np.intersect1d(left.steps, right.steps, assume_unique=True, return_indices=True)
        n_points += len(in_left)
        only_one += len(left) - len(in_left)
        only_other += len(right) - len(in_right)
        differing = np.flatnonzero(_bits(left)[in_left] != _bits(right)[in_right])
        if len(differing):
            a, b = int(in_left[differing[0]]), int(in_right[differing[0]])
            found.append(MetricDivergence(name, int(left.steps[a]), float(left.values[a]), float(right.values[b])))
    earliest = min((at.step for at in found), default=0)
    left_name, right_name = unique_names([one, other])
    return Divergence(
        names=(left_name, right_name),
        first=tuple(at for at in found if at.step == earliest),
        n_metrics=len(common),
        n_points=n_points,
        only_one=only_one,
        only_other=only_other,
        causes=_causes(one, other),
    )


def _causes(one: RunRecord, other: RunRecord) -> tuple[Difference, ...]:
    # Of two runs a seed is a cause as any other, even where it is the nuisance of a comparison of settings.
    told = [difference for difference in diff_runs([one, other]).visible if difference.kind != "type_only"]
    return tuple(sorted(told, key=lambda difference: PLAUSIBILITY.index(difference.section)))


def _n_points_without(common: list[str], run: RunRecord) -> int:
    return sum(one.n for name, one in run.metrics.items() if name not in common and not is_timing(name))


def _bits(series: Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    # A NaN has many bit patterns, of which a journal keeps none: all are read back as one.
    values = np.where(np.isnan(series.values), np.nan, series.values)
    return np.ascontiguousarray(values).view(np.int64)
