"""
Scores: what one metric says of each run (last, best, at the last common position) and of each replicate group.

Every figure a view shows comes from here, so that a table, its JSON and its chart cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from trackbridge.comparison.align import Align, CommonPosition, held_at, positions
from trackbridge.comparison.chance import chance_level
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.replicates import GroupStatistics
from trackbridge.comparison.statistics.intervals import sample_of
from trackbridge.comparison.verdict import PairVerdict, Verdict, overall_verdict
from trackbridge.events.names import lower_is_better
from trackbridge.store.records import MetricSummary, RunRecord

At: TypeAlias = Literal["best", "last", "common"]
"""Which value of a run is compared: at the step where the leading metric was best, the last, or at the last position
that all runs reached."""

Standing: TypeAlias = Literal["counts", "halted", "degenerate", "not finite", "no value"]
"""Whether a run's score counts in its group's mean, or why it does not.

`halted`: a study's rule paused it early, and it has not gone on. `degenerate`: it scores no better than a model that
has learned nothing. `no value`: there is none at the position compared."""


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
    standing: Standing = "counts"

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
    """One metric of one replicate group.

    `counted` holds the score of each run that counts, and `scores` sums these up: runs that learned nothing, were
    halted early or have no finite score are left out. `mixed` has the degenerate ones in it, and is no result: a mean
    over both kinds is the score of no run. `difference` is the mean minus the baseline's mean: an observed number, no
    statement about its cause. `statistics` is None where scipy is not installed.
    """

    label: str
    n_runs: int
    scores: Aggregate
    mixed: Aggregate
    counted: Mapping[str, float]
    n_degenerate: int
    n_halted: int
    difference: float | None = None
    statistics: GroupStatistics | None = None


@dataclass(frozen=True)
class MetricComparison:
    """One metric across all runs that have it. `common` is the last position that all of these reached.

    `groups` are in the order of the comparison's groups. `verdicts` has one for each pair of groups that is shown.
    """

    name: str
    lower_is_better: bool
    common: CommonPosition
    runs: tuple[RunScore, ...]
    groups: tuple[GroupScore, ...]
    verdicts: tuple[PairVerdict, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its pairs: "worse", else "cannot tell", else "better", else "identical".

        So `verdict != "worse"` lets a change pass that no evidence speaks against, and `verdict == "better"` one that
        is better than every baseline it is read against. Without a pair it is "cannot tell".
        """
        return overall_verdict(self.verdicts)

    def run(self, run_id: str) -> RunScore | None:
        """The score of one run; None when it has no such metric."""
        return self._by_run.get(run_id)

    @cached_property
    def _by_run(self) -> dict[str, RunScore]:
        return {score.run_id: score for score in self.runs}


def aggregate(values: Iterable[float]) -> Aggregate:
    """Mean, sample sd and range of the finite values; ties count as often as they occur.

    Dropping equal values, as aim's aggregateGroupData.ts does, hides several failed runs behind one.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Aggregate(0, None, None, None, None)
    sample = sample_of(finite)
    return Aggregate(sample.n, sample.mean, sample.sd if sample.n > 1 else None, min(finite), max(finite))


def compare_metric(
    name: str,
    groups: Sequence[ReplicateGroup],
    *,
    at: At,
    align: Align,
    baseline_of: Mapping[int, int],
    leading: MetricComparison | None = None,
) -> MetricComparison:
    """The scores of one metric, with one `GroupScore` per group, in the groups' order.

    Args:
        name: the metric; runs without it are left out of `runs`, and count in a group's `n_runs`.
        groups: all groups compared.
        at: which value of each run the groups' figures are made of.
        align: the axis that the last common position is on.
        baseline_of: for a group's index, the index of the group it is read against.
        leading: the metric whose best step is where this one is read; this one itself when None.
    """
    having = [run for group in groups for run in group.runs if name in run.metrics]
    common = _last_common(having, name, align)
    scores = {run.run_id: _run_score(run, name, common, at, leading) for run in having}
    alone = [_over_group(group, scores, at) for group in groups]
    compared = tuple(_with_difference(index, alone, baseline_of.get(index)) for index in range(len(alone)))
    return MetricComparison(name, lower_is_better(name), common, tuple(scores.values()), compared)


def best_point(summary: MetricSummary) -> Point | None:
    """The best finite value of a metric and the first step it was reached at."""
    if lower_is_better(summary.name):
        value, step = summary.minimum, summary.minimum_step
    else:
        value, step = summary.maximum, summary.maximum_step
    return None if value is None or step is None else Point(value, step)


def is_halted(run: RunRecord) -> bool:
    """Whether a study's rule paused the run early and it has not gone on: its score says little of its setting's."""
    return run.summary.get("halted_at") is not None


def is_ended_by_rule(run: RunRecord) -> bool:
    """Whether a rule, of the study or of early stopping, ended the run before its last planned update."""
    return is_halted(run) or run.summary.get("stopped_early_at") is not None


def _last_common(having: Sequence[RunRecord], name: str, align: Align) -> CommonPosition:
    # A halted run was stopped on purpose, and must not shorten the comparison of the others.
    bounding = [run for run in having if not is_halted(run)] or having
    return CommonPosition(align, min((_last_position(run, name, align) for run in bounding), default=0))


def _last_position(run: RunRecord, name: str, align: Align) -> float:
    # The summary answers for the end of a run, so the points need not be read.
    return run.metrics[name].last_step if align == "step" else float(positions(run, run.series(name), align)[-1])


def _run_score(run: RunRecord, name: str, common: CommonPosition, at: At, leading: MetricComparison | None) -> RunScore:
    summary = run.metrics[name]
    best = best_point(summary)
    leader = leading.run(run.run_id) if leading else None
    if leading is None:
        chosen = best
    else:
        chosen = _point_at(run, name, CommonPosition("step", leader.best.step)) if leader and leader.best else None
    score = RunScore(
        run_id=run.run_id,
        n=summary.n,
        n_nonfinite=summary.n_nonfinite,
        last=Point(summary.last, summary.last_step),
        best=best,
        common=_point_at(run, name, common),
        chosen=chosen,
    )
    return replace(score, standing=_standing(run, name, score.at(at), leader))


def _point_at(run: RunRecord, name: str, where: CommonPosition) -> Point | None:
    summary = run.metrics[name]
    if where.align == "step" and summary.last_step <= where.position:
        return Point(summary.last, summary.last_step)
    series = run.series(name)
    held = held_at(series, positions(run, series, where.align), where.position)
    return Point(*held) if held else None


def _standing(run: RunRecord, name: str, point: Point | None, leader: RunScore | None) -> Standing:
    if is_halted(run):
        return "halted"
    if point is None:
        return "not finite" if run.metrics[name].n == run.metrics[name].n_nonfinite else "no value"
    if not math.isfinite(point.value):
        return "not finite"
    level = chance_level(run, name)
    # A model that learned nothing by the metric it is judged by has no loss or F1 worth a mean, either.
    if (leader and leader.standing == "degenerate") or (level is not None and point.value <= level):
        return "degenerate"
    return "counts"


def _over_group(group: ReplicateGroup, scores: Mapping[str, RunScore], at: At) -> GroupScore:
    members = [scores[run.run_id] for run in group.runs if run.run_id in scores]
    points = {one.run_id: point.value for one in members if (point := one.at(at)) is not None}
    counted = {one.run_id: points[one.run_id] for one in members if one.standing == "counts"}
    degenerate = [one.run_id for one in members if one.standing == "degenerate"]
    return GroupScore(
        label=group.label,
        n_runs=len(group.runs),
        scores=aggregate(counted.values()),
        mixed=aggregate([*counted.values(), *(points[run_id] for run_id in degenerate)]),
        counted=counted,
        n_degenerate=len(degenerate),
        n_halted=sum(one.standing == "halted" for one in members),
    )


def _with_difference(index: int, groups: Sequence[GroupScore], baseline: int | None) -> GroupScore:
    one = groups[index]
    against = groups[baseline].scores.mean if baseline is not None and baseline != index else None
    if one.scores.mean is None or against is None:
        return one
    return replace(one, difference=one.scores.mean - against)
