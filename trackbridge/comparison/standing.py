"""Standing: which runs' scores count in the mean of their group, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from trackbridge.comparison.chance import chance_level, learned_nothing
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.halted import is_halted
from trackbridge.comparison.run_scores import At, RunScore, Standing
from trackbridge.comparison.statistics.intervals import is_usable
from trackbridge.store.records import RunRecord


def with_standings(
    group: ReplicateGroup,
    name: str,
    scores: Mapping[str, RunScore],
    at: At,
    leading: Mapping[str, RunScore] | None,
) -> Iterator[RunScore]:
    """The scores of a group's runs that have the metric, each with its standing.

    Args:
        group: the replicates.
        name: the metric.
        scores: by run id, the scores by this metric.
        at: which value of a run counts.
        leading: by run id, the scores by the leading metric; None where this is the one.
    """
    having = [run for run in group.runs if run.run_id in scores]
    alone = {run.run_id: _alone(run, name, scores[run.run_id], at) for run in having}
    counted = [run for run in having if alone[run.run_id] == "counts"]
    failed = set(_collapsed(counted, name, scores) if at == "best" else ())
    # A model that learned nothing by the metric it is judged by has no loss or F1 worth a mean, either.
    failed |= {run.run_id for run in counted if leading and _is_degenerate(leading.get(run.run_id))}
    for run in having:
        standing: Standing = "degenerate" if run.run_id in failed else alone[run.run_id]
        yield replace(scores[run.run_id], standing=standing)


def _alone(run: RunRecord, name: str, score: RunScore, at: At) -> Standing:
    if is_halted(run):
        return "halted"
    point = score.at(at)
    if point is None:
        return "not finite" if score.n == score.n_nonfinite else "no value"
    if not is_usable(point.value):
        return "not finite"
    level = chance_level(run, name)
    return "degenerate" if level is not None and learned_nothing(point.value, level) else "counts"


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


def _is_degenerate(score: RunScore | None) -> bool:
    return score is not None and score.standing == "degenerate"
