"""Standing: which runs' scores count in the mean of their group, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from trackbridge.comparison.chance import chance_level, learned_nothing
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.halted import is_halted
from trackbridge.comparison.run_scores import At, RunScore, Standing
from trackbridge.comparison.statistics.intervals import is_usable
from trackbridge.store.records import RunRecord

if TYPE_CHECKING:
    from trackbridge.comparison.scores import MetricComparison


def with_standings(
    group: ReplicateGroup,
    name: str,
    scores: Mapping[str, RunScore],
    at: At,
    leading: MetricComparison | None,
) -> Iterator[RunScore]:
    """The scores of a group's runs that have the metric, each with its standing.

    Args:
        group: the replicates.
        name: the metric.
        scores: by run id, the scores by this metric.
        at: which value of a run counts.
        leading: the leading metric; None where this is the one. Where it can tell whether a run learned, this one
            is not asked: the mean F1 of those runs whose F1 is above chance flatters a setting that others learned.
    """
    having = [run for run in group.runs if run.run_id in scores]
    present = {run.run_id: _present(run, scores[run.run_id], at) for run in having}
    counted = [run for run in having if present[run.run_id] == "counts"]
    told = {run.run_id for run in counted if leading and _can_tell(run, leading)}
    failed = {run_id for run_id in told if leading and leading.by_run[run_id].standing == "degenerate"}
    failed |= set(_failed([run for run in counted if run.run_id not in told], name, scores, at))
    for run in having:
        standing: Standing = "degenerate" if run.run_id in failed else present[run.run_id]
        yield replace(scores[run.run_id], standing=standing)


def _present(run: RunRecord, score: RunScore, at: At) -> Standing:
    """The standing of a run before anybody asks whether it learned."""
    if is_halted(run):
        return "halted"
    point = score.at(at)
    if point is None:
        return "not finite" if score.n == score.n_nonfinite else "no value"
    return "counts" if is_usable(point.value) else "not finite"


def _can_tell(run: RunRecord, leading: MetricComparison) -> bool:
    return leading.run(run.run_id) is not None and chance_level(run, leading.name) is not None


def _failed(runs: Sequence[RunRecord], name: str, scores: Mapping[str, RunScore], at: At) -> Iterator[str]:
    """Runs that this metric shows to have learned nothing, by the value that counts or, at best, by how they ended."""
    learned = []
    for run in runs:
        level, point = chance_level(run, name), scores[run.run_id].at(at)
        if level is not None and point is not None and learned_nothing(point.value, level):
            yield run.run_id
        else:
            learned.append(run)
    if at == "best":
        yield from _collapsed(learned, name, scores)


def _collapsed(runs: Sequence[RunRecord], name: str, scores: Mapping[str, RunScore]) -> Iterator[str]:
    """Runs that ended no better than chance, and whose best is nearer to it than to the best of their replicates.

    A failed run is one that ends no better than chance (Mosbach et al. 2021, https://arxiv.org/abs/2006.04884). At an
    early evaluation it is often a little better by luck, while a run that failed late may have a best worth keeping.
    """
    bests = {run.run_id: one.value for run in runs if (one := scores[run.run_id].best) is not None}
    ended = {run.run_id: level for run in runs if (level := _level_it_ended_at(run, name, scores)) is not None}
    healthy = [bests[run.run_id] for run in runs if run.run_id not in ended]
    for run_id, level in ended.items():
        if healthy and bests[run_id] - level < median(healthy) - bests[run_id]:
            yield run_id


def _level_it_ended_at(run: RunRecord, name: str, scores: Mapping[str, RunScore]) -> float | None:
    level, last = chance_level(run, name), scores[run.run_id].last.value
    # A loss that became NaN at the end of a run learned nothing that lasted, either.
    return level if level is not None and learned_nothing(last, level) else None
