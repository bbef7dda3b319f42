"""
Scores: what one metric says of each run (last, best, at the last common step) and of each replicate group.

Every figure a view shows comes from here, so that a table, its JSON and its chart cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trackbridge.comparison.align import value_at
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.halted import is_halted
from trackbridge.events.names import lower_is_better
from trackbridge.store.records import MetricSummary, RunRecord

At: TypeAlias = Literal["best", "last", "common"]
"""Which value of a run is compared: at the step where the leading metric was best, the last, or at the last step that
all runs reached."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value and the step it was logged at."""

    value: float
    step: int


@dataclass(frozen=True, slots=True)
class RunScore:
    """One metric of one run. `best` is None when no value was finite; `common` when it began too late.

    `chosen` is the value at the step where the leading metric was best: the model one would keep. For the
    leading metric it is `best`; for the others it is rarely their own best, which no one model reached.
    """

    run_id: str
    n: int
    n_nonfinite: int
    last: Point
    best: Point | None
    common: Point | None
    chosen: Point | None

    def at(self, at: At) -> Point | None:
        """The point that counts: of the model that the leading metric chose, the last one, or the common one."""
        return {"best": self.chosen, "last": self.last, "common": self.common}[at]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Mean and sample sd (ddof 1) over finite values; None where there are too few to have one."""

    n: int
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class GroupScore:
    """One metric of one replicate group: `scores.n` of its `n_runs` runs have a finite value.

    `difference` is the mean minus the baseline's mean: an observed number, no statement about its cause.
    """

    label: str
    n_runs: int
    scores: Aggregate
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric across all runs that have it. `common_step` is the last step that all of these reached."""

    name: str
    lower_is_better: bool
    common_step: int
    runs: tuple[RunScore, ...]
    groups: tuple[GroupScore, ...]

    def run(self, run_id: str) -> RunScore | None:
        """The score of one run; None when it has no such metric."""
        return next((score for score in self.runs if score.run_id == run_id), None)


def aggregate(values: Iterable[float]) -> Aggregate:
    """Mean, sample sd and range of the finite values; ties count as often as they occur.

    Dropping equal values, as aim's aggregateGroupData.ts does, hides several failed runs behind one.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Aggregate(0, None, None, None, None)
    n = len(finite)
    mean = math.fsum(finite) / n
    # The squares of a diverged perplexity pass what a float holds; `hypot` scales them.
    sd = math.hypot(*(value - mean for value in finite)) / math.sqrt(n - 1) if n > 1 else None
    return Aggregate(n, mean, sd, min(finite), max(finite))


def compare_metric(
    name: str,
    groups: Sequence[ReplicateGroup],
    *,
    at: At,
    baseline_of: Mapping[int, int],
    leading: MetricComparison | None = None,
) -> MetricComparison:
    """The scores of one metric, with one `GroupScore` per group, in the groups' order.

    Args:
        name: the metric; runs without it are left out of `runs`, and count in a group's `n_runs`.
        groups: all groups compared.
        at: which value of each run the groups' figures are made of.
        baseline_of: for a group's index, the index of the group it is read against.
        leading: the metric whose best step is where this one is read; this one itself when None.
    """
    having = [run for group in groups for run in group.runs if name in run.metrics]
    whole = [run for run in having if not is_halted(run)]
    common_step = min((run.metrics[name].last_step for run in whole or having), default=0)
    scores = {run.run_id: _run_score(run, name, common_step, leading) for run in having}
    aggregates = [_over_group(group, scores, at) for group in groups]
    compared = tuple(
        GroupScore(group.label, len(group.runs), one, _difference(one, aggregates, baseline_of.get(index)))
        for index, (group, one) in enumerate(zip(groups, aggregates, strict=True))
    )
    return MetricComparison(name, lower_is_better(name), common_step, tuple(scores.values()), compared)


def best_point(summary: MetricSummary) -> Point | None:
    """The best finite value of a metric and the first step it was reached at."""
    if lower_is_better(summary.name):
        value, step = summary.minimum, summary.minimum_step
    else:
        value, step = summary.maximum, summary.maximum_step
    return None if value is None or step is None else Point(value, step)


def _run_score(run: RunRecord, name: str, common_step: int, leading: MetricComparison | None) -> RunScore:
    summary = run.metrics[name]
    best = best_point(summary)
    if leading is None:
        chosen = best
    else:
        leader = leading.run(run.run_id)
        chosen = _point_at(run, name, leader.best.step) if leader and leader.best else None
    last, common = Point(summary.last, summary.last_step), _point_at(run, name, common_step)
    return RunScore(run.run_id, summary.n, summary.n_nonfinite, last, best, common, chosen)


def _point_at(run: RunRecord, name: str, step: int) -> Point | None:
    summary = run.metrics[name]
    # The summary answers for the end of a run, so the points need not be read.
    if summary.last_step <= step:
        return Point(summary.last, summary.last_step)
    held = value_at(run.series(name), step)
    return Point(*held) if held else None


def _over_group(group: ReplicateGroup, scores: Mapping[str, RunScore], at: At) -> Aggregate:
    points = [scores[run.run_id].at(at) for run in group.runs if run.run_id in scores and not is_halted(run)]
    return aggregate(point.value for point in points if point is not None)


def _difference(one: Aggregate, aggregates: Sequence[Aggregate], baseline: int | None) -> float | None:
    if baseline is None or one.mean is None:
        return None
    against = aggregates[baseline].mean
    return None if against is None or aggregates[baseline] is one else one.mean - against
