"""Cautions: notes on which runs a mean leaves out, what flatters it, and what its interval cannot know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.keys import fold_index
from trackbridge.comparison.note import MAX_NAMED, Note, named_runs
from trackbridge.comparison.run_scores import At
from trackbridge.comparison.scores import MetricComparison
from trackbridge.comparison.statistics.optimism import expected_maximum

MANY_EVALUATIONS = 5
"""Fewer evaluations than this flatter their best by less than about one of their standard deviations."""

UNEQUAL_CHOICE = 1.25
"""From here on, one group choosing among so many times the evaluations of another is worth a warning."""


def cautions_on(
    groups: Sequence[ReplicateGroup], metrics: Sequence[MetricComparison], at: At, names: Mapping[str, str]
) -> Iterator[Note]:
    """The cautions on a comparison; the first metric is the leading one. `names` maps run ids to names."""
    yield from _degenerate(groups, metrics[:1], names)
    yield from _folds(groups)
    yield from _mixed_settings(groups)
    yield from _many_groups(groups, metrics[:1])
    if at == "best":
        yield from _best_of_many(groups, metrics[:1])


def _degenerate(
    groups: Sequence[ReplicateGroup], leading: Sequence[MetricComparison], names: Mapping[str, str]
) -> Iterator[Note]:
    for metric in leading:
        standing = {score.run_id: score.standing for score in metric.runs}
        for group, score in zip(groups, metric.groups, strict=True):
            ids = [run.run_id for run in group.runs if standing.get(run.run_id) == "degenerate"]
            if ids:
                rate = score.statistics.degenerate_rate if score.statistics else None
                interval = f" [{rate.low:.0%}, {rate.high:.0%}]" if rate else ""
                n = len(ids) + score.scores.n
                who, effect = named_runs(ids, names), f"and {_verb(ids)} left out of its mean"
                if 1 < len(ids) == len(group.runs):
                    who, effect = f"all {len(ids)} runs", "and leave it without a mean"
                text = (
                    f"{who} of {group.label} learned nothing by {metric.name} {effect}:"
                    f" {len(ids)} of {n} runs, {len(ids) / n:.0%}{interval}"
                )
                mixed = f"; with them the mean is {score.mixed.mean:.4g}" if score.scores.n and score.mixed.mean else ""
                yield Note("degenerate", "warning", text + mixed, tuple(ids))


def _folds(groups: Sequence[ReplicateGroup]) -> Iterator[Note]:
    ids = [run.run_id for group in groups for run in group.runs if fold_index(run) is not None]
    if ids:
        text = (
            "some replicates are folds of the same data: they share training examples, so they vary less than new data"
            " would make them, and intervals and p-values are too small (Bengio and Grandvalet 2004)"
        )
        yield Note("folds", "warning", text, tuple(ids))


def _mixed_settings(groups: Sequence[ReplicateGroup]) -> Iterator[Note]:
    for group in groups:
        keys = group.differing
        if keys:
            shown = ", ".join(keys[:MAX_NAMED]) + (
                f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
            )
            text = f"the runs of {group.label} are no replicates: they also differ in {shown}"
            yield Note("mixed_settings", "warning", text, tuple(run.run_id for run in group.runs))


def _many_groups(groups: Sequence[ReplicateGroup], leading: Sequence[MetricComparison]) -> Iterator[Note]:
    if len(groups) > 2 and not any(metric.verdicts for metric in leading):
        n_pairs = len(groups) * (len(groups) - 1) // 2
        text = f"{len(groups)} groups make {n_pairs} pairs, too many to judge each: name a baseline to get verdicts"
        yield Note("many_groups", "info", text)


def _best_of_many(groups: Sequence[ReplicateGroup], leading: Sequence[MetricComparison]) -> Iterator[Note]:
    for metric in leading:
        choices = _choices(groups, metric)
        most, least = (
            max(choices, key=choices.__getitem__, default=""),
            min(choices, key=choices.__getitem__, default=""),
        )
        if not choices or choices[most] < MANY_EVALUATIONS:
            continue
        luck = expected_maximum(choices[most])
        if choices[most] > UNEQUAL_CHOICE * choices[least]:
            luck -= expected_maximum(choices[least])
            text = (
                f"{most} takes the best of {choices[most]} evaluations, {least} of {choices[least]}: where evaluations"
                f" differ by noise alone, that is {luck:.2g} of its standard deviations in favour of {most}"
            )
            yield Note("best_of_many", "warning", text)
        else:
            text = (
                f"each score is the best of {choices[most]} evaluations, which flatters it: by {luck:.2g} standard"
                " deviations where these differ by noise alone"
            )
            yield Note("best_of_many", "info", text)


def _choices(groups: Sequence[ReplicateGroup], metric: MetricComparison) -> dict[str, int]:
    """Among how many evaluations the typical run of each group has its best."""
    counts = {score.run_id: score.n for score in metric.runs if score.standing == "counts"}
    by_group = {group.label: [counts[run.run_id] for run in group.runs if run.run_id in counts] for group in groups}
    return {label: sorted(one)[len(one) // 2] for label, one in by_group.items() if one}


def _verb(ids: Sequence[str]) -> str:
    return "was" if len(ids) == 1 else "were"
