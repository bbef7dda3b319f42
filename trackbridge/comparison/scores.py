"""
Scores: what one metric says of each run and of each replicate group.

Every figure a view shows comes from here, so that a table, its JSON and its chart cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from trackbridge.comparison.align import Align, CommonPosition
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.replicates import GroupStatistics
from trackbridge.comparison.run_scores import At, RunScore, last_common, run_score
from trackbridge.comparison.standing import with_standings
from trackbridge.comparison.statistics.intervals import is_usable, sample_of
from trackbridge.comparison.statistics.noise import SeedShare
from trackbridge.comparison.verdict import PairVerdict, Verdict, overall_verdict
from trackbridge.events.names import lower_is_better


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
    `seed_share` is how much of the variance seeds explain, beside the settings; None where that cannot be told.
    """

    name: str
    lower_is_better: bool
    common: CommonPosition
    runs: tuple[RunScore, ...]
    groups: tuple[GroupScore, ...]
    verdicts: tuple[PairVerdict, ...] = ()
    seed_share: SeedShare | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its pairs: "worse", else "cannot tell", else "better", else "identical".

        So `verdict != "worse"` lets a change pass that no evidence speaks against, and `verdict == "better"` one that
        is better than every baseline it is read against. Without a pair it is "cannot tell".
        """
        return overall_verdict(self.verdicts)

    def run(self, run_id: str) -> RunScore | None:
        """The score of one run; None when it has no such metric."""
        return self.by_run.get(run_id)

    @cached_property
    def by_run(self) -> Mapping[str, RunScore]:
        """The scores by run id."""
        return {score.run_id: score for score in self.runs}


def aggregate(values: Iterable[float]) -> Aggregate:
    """Mean, sample sd and range of the usable values, neither NaN nor infinite; ties count as often as they occur.

    Dropping equal values, as aim's aggregateGroupData.ts does, hides several failed runs behind one.
    """
    usable = [value for value in values if is_usable(value)]
    if not usable:
        return Aggregate(0, None, None, None, None)
    sample = sample_of(usable)
    return Aggregate(sample.n, sample.mean, sample.sd if sample.n > 1 else None, min(usable), max(usable))


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
    common = last_common(having, name, align)
    leaders = leading.by_run if leading else None
    measured = {run.run_id: run_score(run, name, common, leaders) for run in having}
    scores = {score.run_id: score for group in groups for score in with_standings(group, name, measured, at, leading)}
    alone = [_over_group(group, scores, at) for group in groups]
    compared = tuple(_with_difference(index, alone, baseline_of.get(index)) for index in range(len(alone)))
    return MetricComparison(name, lower_is_better(name), common, tuple(scores.values()), compared)


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
        counted=MappingProxyType(counted),
        n_degenerate=len(degenerate),
        n_halted=sum(one.standing == "halted" for one in members),
    )


def _with_difference(index: int, groups: Sequence[GroupScore], baseline: int | None) -> GroupScore:
    one = groups[index]
    against = groups[baseline].scores.mean if baseline is not None and baseline != index else None
    if one.scores.mean is None or against is None:
        return one
    return replace(one, difference=one.scores.mean - against)
