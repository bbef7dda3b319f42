"""Judging: from the evidence on each pair of settings to verdicts, all that are shown as one family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from trackbridge.comparison.chance import EvaluationFloor, evaluation_floor
from trackbridge.comparison.evidence import Evidence, matched, weigh
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.replicates import group_statistics
from trackbridge.comparison.scores import GroupScore, MetricComparison
from trackbridge.comparison.statistics.multiplicity import holm
from trackbridge.comparison.statistics.noise import pooled_noise, seed_share
from trackbridge.comparison.statistics.power import (
    ALPHA,
    paired_runs_needed,
    unpaired_runs_needed,
    visible_noncentrality,
)
from trackbridge.comparison.verdict import PairVerdict, Side, Verdict

Pair: TypeAlias = tuple[int, int]
"""The indices of two groups: the one that is judged, and the one that it is read against."""


def with_statistics(metrics: Mapping[str, MetricComparison]) -> dict[str, MetricComparison]:
    """The metrics with the statistics of each group, and of all groups together."""
    return {
        name: replace(
            metric,
            groups=tuple(
                replace(group, statistics=group_statistics(tuple(group.counted.values()), group.n_degenerate))
                for group in metric.groups
            ),
            seed_share=seed_share([tuple(group.counted.values()) for group in metric.groups]),
        )
        for name, metric in metrics.items()
    }


def with_verdicts(
    metrics: Mapping[str, MetricComparison],
    groups: Sequence[ReplicateGroup],
    pairs: Sequence[Pair],
    noise_beside: Mapping[str, Sequence[Sequence[float]]],
) -> dict[str, MetricComparison]:
    """The metrics with a verdict for each pair of groups; all of them are one family.

    Args:
        metrics: by name, with their groups' scores.
        groups: the groups compared.
        pairs: which group is judged against which.
        noise_beside: per metric, the scores of other replicates that also tell how far seeds move it.
    """
    partners = {(one, other): matched(groups[one], groups[other]) for one, other in pairs}
    found: list[tuple[str, Pair, Evidence]] = []
    for name, metric in metrics.items():
        known = [list(group.counted.values()) for group in metric.groups]
        noise = pooled_noise([*known, *noise_beside.get(name, ())])
        for one, other in pairs:
            sides = metric.groups[one], metric.groups[other]
            evidence = weigh(*sides, partners[one, other], noise, n_shown=len(pairs) * len(metrics))
            found.append((name, (one, other), evidence))
    verdicts: dict[str, list[PairVerdict]] = {name: [] for name in metrics}
    for one_verdict in _family(found, metrics, groups):
        verdicts[one_verdict.metric].append(one_verdict)
    return {name: replace(metric, verdicts=tuple(verdicts[name])) for name, metric in metrics.items()}


def _family(
    found: Sequence[tuple[str, Pair, Evidence]],
    metrics: Mapping[str, MetricComparison],
    groups: Sequence[ReplicateGroup],
) -> Iterator[PairVerdict]:
    adjusted = iter(holm([evidence.p for _, _, evidence in found if evidence.p is not None]))
    n_family = sum(evidence.p is not None for _, _, evidence in found)
    for name, pair, evidence in found:
        p_adjusted = None if evidence.p is None else next(adjusted)
        yield _verdict(metrics[name], groups, pair, evidence, p_adjusted, n_family)


def _verdict(
    metric: MetricComparison,
    groups: Sequence[ReplicateGroup],
    pair: Pair,
    evidence: Evidence,
    p_adjusted: float | None,
    n_family: int,
) -> PairVerdict:
    one, other = (
        _side(metric.groups[index], index, scores) for index, scores in zip(pair, evidence.scores, strict=True)
    )
    verdict = _outcome(evidence, p_adjusted, metric.lower_is_better)
    alpha = ALPHA / max(1, n_family)
    return PairVerdict(
        metric=metric.name,
        lower_is_better=metric.lower_is_better,
        one=one,
        other=other,
        verdict=verdict,
        method=evidence.method,
        reason=evidence.reason,
        effect=evidence.effect,
        interval=evidence.interval,
        p=evidence.p,
        p_adjusted=p_adjusted,
        n_family=n_family,
        n_pairs=evidence.n_pairs,
        smallest_visible=evidence.error * visible_noncentrality(evidence.df, alpha) if evidence.error else None,
        runs_more=_runs_more(evidence, alpha) if verdict == "cannot tell" else None,
        seed_correlation=evidence.seed_correlation,
        noise=evidence.noise,
        floor=_floor(metric, groups[pair[1]], pair[1]),
        error=evidence.error if evidence.interval else None,
        df=evidence.df if evidence.interval else None,
    )


def _side(group: GroupScore, index: int, scores: tuple[float, ...]) -> Side:
    return Side(index, group.label, scores, len(group.counted) + group.n_degenerate, group.n_degenerate)


def _outcome(evidence: Evidence, p_adjusted: float | None, lower_is_better: bool) -> Verdict:
    interval = evidence.interval
    if evidence.is_identical:
        return "identical"
    # Sign flips and the t interval may disagree at few seeds; a claim that its own interval denies is none.
    if p_adjusted is None or interval is None or p_adjusted >= ALPHA or interval.holds(0.0):
        return "cannot tell"
    return "better" if (interval.high < 0) == lower_is_better else "worse"


def _runs_more(evidence: Evidence, alpha: float) -> int | None:
    if evidence.effect is None or evidence.p is None or evidence.sd == 0:
        return None
    effect, n_now = evidence.effect / evidence.sd, min(map(len, evidence.scores))
    needed = paired_runs_needed(effect, alpha) if evidence.n_pairs else unpaired_runs_needed(effect, alpha)
    return None if needed is None else max(1, needed - n_now)


def _floor(metric: MetricComparison, group: ReplicateGroup, index: int) -> EvaluationFloor | None:
    score = metric.groups[index].scores.mean
    having = next((run for run in group.runs if metric.run(run.run_id) is not None), None)
    return None if score is None or having is None else evaluation_floor(having, metric.name, score)
