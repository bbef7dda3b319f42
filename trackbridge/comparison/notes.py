"""
Notes on what was recorded, and all notes on a comparison in their order.

A note states what was recorded. What a difference means is for the findings and the verdict to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trackbridge.comparison.cautions import cautions_on
from trackbridge.comparison.diff import unique_names
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.halted import has_stopped_early, is_halted
from trackbridge.comparison.note import MAX_NAMED, Note, named_runs
from trackbridge.comparison.run_scores import At, RunScore
from trackbridge.comparison.scores import MetricComparison, aggregate
from trackbridge.store.records import RunRecord

LENGTH_TOLERANCE = 0.10


def notes_on(
    groups: Sequence[ReplicateGroup], metrics: Sequence[MetricComparison], at: At, *, lacking: str | None = None
) -> tuple[Note, ...]:
    """Every note on a comparison but those on its data, which the diff has; warnings first.

    Args:
        groups: the groups compared.
        metrics: the metrics compared; the first one is the one that lengths are shown with.
        at: which value of a run counts.
        lacking: why there are no statistics, where there are none.
    """
    runs = [run for group in groups for run in group.runs]
    names = dict(zip((run.run_id for run in runs), unique_names(runs), strict=True))
    found = [
        *_unfinished(runs, names),
        *_halted(runs, names),
        *_stopped_early(runs, names),
        *_damaged(runs, names),
        *_unequal_length(groups, names, metrics),
        *_nonfinite(runs, names, metrics),
        *_metric_missing(runs, names, metrics),
        *(_held_values(names, metrics) if at == "common" else ()),
        *_no_config(runs, names),
        *_single_runs(groups),
        *cautions_on(groups, metrics, at, names),
        *([Note("no_statistics", "warning", f"no intervals and no verdicts: {lacking}")] if lacking else []),
    ]
    return tuple(sorted(found, key=lambda note: note.level != "warning"))


def _unfinished(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    for status in ("running", "failed", "killed", "lost"):
        ids = [run.run_id for run in runs if run.status == status]
        if ids:
            verb = "is" if len(ids) == 1 else "are"
            yield Note("unfinished", "warning", f"{named_runs(ids, names)} {verb} {status}, not finished", tuple(ids))


def _halted(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    halted = [run for run in runs if is_halted(run)]
    if halted:
        ids = [run.run_id for run in halted]
        rules = "; ".join(sorted({str(run.summary.get("halted_by")) for run in halted}))
        stopped = f"{named_runs(ids, names)} {'was' if len(ids) == 1 else 'were'} stopped early by a rule ({rules})"
        yield Note(
            "halted", "warning", f"{stopped}: no mean counts them, and the means of the others flatter", tuple(ids)
        )


def _stopped_early(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    ids = [run.run_id for run in runs if has_stopped_early(run)]
    if ids:
        rules = "; ".join(sorted({str(run.summary.get("stopped_early_by")) for run in runs if has_stopped_early(run)}))
        whose = "its" if len(ids) == 1 else "their"
        yield Note(
            "stopped_early", "info", f"{named_runs(ids, names)} stopped early by {whose} own rule ({rules})", tuple(ids)
        )


def _damaged(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    ids = [run.run_id for run in runs if run.problems or run.dropped]
    if ids:
        text = f"the journal of {named_runs(ids, names)} lacks lines (damaged or never written): see trackbridge doctor"
        yield Note("damaged", "warning", text, tuple(ids))


def _unequal_length(
    groups: Sequence[ReplicateGroup], names: Mapping[str, str], metrics: Sequence[MetricComparison]
) -> Iterator[Note]:
    runs = [run for group in groups for run in group.runs if not (is_halted(run) or has_stopped_early(run))]
    steps = {run.run_id: max((one.last_step for one in run.metrics.values()), default=0) for run in runs}
    trained = {run_id: step for run_id, step in steps.items() if step > 0}
    shortest, longest = min(trained.values(), default=0), max(trained.values(), default=0)
    if longest <= shortest * (1 + LENGTH_TOLERANCE):
        return
    longer = [run_id for run_id, step in trained.items() if step > shortest * (1 + LENGTH_TOLERANCE)]
    shorter = [run_id for run_id, step in trained.items() if step < longest / (1 + LENGTH_TOLERANCE)]
    # Those in the minority are the ones a reader has to look at.
    if len(longer) <= len(trained) / 2:
        told, shares = longer, [trained[run_id] / shortest - 1 for run_id in longer]
        text = f"{named_runs(longer, names)} trained {_percent(shares)} longer than the shortest ({shortest} steps)"
    else:
        told, shares = shorter, [1 - trained[run_id] / longest for run_id in shorter]
        text = f"{named_runs(shorter, names)} trained {_percent(shares)} less than the longest ({longest} steps)"
    text += "".join(_at_common_step(metric, groups, names) for metric in metrics[:1])
    yield Note("unequal_length", "warning", text, tuple(told))


def _percent(shares: Sequence[float]) -> str:
    low, high = round(100 * min(shares)), round(100 * max(shares))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _at_common_step(metric: MetricComparison, groups: Sequence[ReplicateGroup], names: Mapping[str, str]) -> str:
    common = {score.run_id: score.common.value for score in metric.runs if score.common}
    if len(common) <= MAX_NAMED:
        parts = [f"{_number(value)} ({names[run_id]})" for run_id, value in common.items()]
    else:
        means = [(group.label, _common_mean(group, common)) for group in groups]
        parts = [f"{_number(mean)} ({label})" for label, mean in means if mean is not None]
    more = f" and {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    values = ", ".join(parts[:MAX_NAMED])
    return f"; at the last common {metric.common.unit}, {metric.common.number}, {metric.name} is {values}{more}"


def _common_mean(group: ReplicateGroup, common: Mapping[str, float]) -> float | None:
    return aggregate(common[run.run_id] for run in group.runs if run.run_id in common).mean


def _nonfinite(
    runs: Sequence[RunRecord], names: Mapping[str, str], metrics: Sequence[MetricComparison]
) -> Iterator[Note]:
    by_id = {run.run_id: run for run in runs}
    for metric in metrics:
        for score in metric.runs:
            if score.n_nonfinite:
                series = by_id[score.run_id].series(metric.name)
                first = int(series.steps[~np.isfinite(series.values)][0])
                text = (
                    f"{metric.name} of {names[score.run_id]} is NaN or infinite at {score.n_nonfinite} of {score.n}"
                    f" points, first at step {first}; means leave these out"
                )
                yield Note("nonfinite", "warning", text, (score.run_id,))
            elif score.standing == "not finite":
                text = f"{metric.name} of {names[score.run_id]} is as good as infinite; means leave it out"
                yield Note("nonfinite", "warning", text, (score.run_id,))


def _metric_missing(
    runs: Sequence[RunRecord], names: Mapping[str, str], metrics: Sequence[MetricComparison]
) -> Iterator[Note]:
    # Where whole kinds of runs are laid side by side, they lack many metrics together.
    together: dict[tuple[str, ...], list[str]] = {}
    for metric in metrics:
        lacking = tuple(run.run_id for run in runs if metric.run(run.run_id) is None)
        if lacking:
            together.setdefault(lacking, []).append(metric.name)
    for lacking, missing in together.items():
        more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        having = [run.run_id for run in runs if run.run_id not in lacking]
        # The fewer of both are named.
        few, no = (lacking, " no") if len(lacking) <= len(having) else (having, "")
        text = f"{'' if no else 'only '}{named_runs(few, names)} {'has' if len(few) == 1 else 'have'}{no} "
        yield Note("metric_missing", "info", f"{text}{', '.join(missing[:MAX_NAMED])}{more}", lacking)


def _held_values(names: Mapping[str, str], metrics: Sequence[MetricComparison]) -> Iterator[Note]:
    for metric in (one for one in metrics if one.common.align == "step"):
        held: list[RunScore] = [one for one in metric.runs if one.common and one.common.step != metric.common.position]
        if held:
            ids = [score.run_id for score in held]
            text = (
                f"{metric.name} was not logged at the last common step, {metric.common.number}, by"
                f" {named_runs(ids, names)}: the last value before it stands there"
            )
            yield Note("held_values", "info", text, tuple(ids))


def _no_config(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    ids = [run.run_id for run in runs if not any(run.config.values())]
    if ids and len(runs) > 1:
        text = f"{named_runs(ids, names)} recorded no config, so nothing says whether they are replicates"
        yield Note("no_config", "warning", text, tuple(ids))


def _single_runs(groups: Sequence[ReplicateGroup]) -> Iterator[Note]:
    if len(groups) > 1 and all(len(group.runs) == 1 for group in groups):
        text = "no setting was run with more than one seed, so how far seeds alone move the score cannot be told"
        yield Note("single_runs", "info", text)


def _number(value: float) -> str:
    return f"{value:.4g}"
