"""
Notes: what a reader must know before believing a table, each as one sentence with its numbers.

A note states what was recorded. What a difference means is for the findings and the verdict to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from trackbridge.compare.diff import unique_names
from trackbridge.compare.groups import ReplicateGroup
from trackbridge.compare.keys import data_digests
from trackbridge.compare.scores import At, MetricComparison, RunScore
from trackbridge.store.records import RunRecord

NoteCode: TypeAlias = Literal[
    "data_differs", "unfinished", "damaged", "unequal_length", "nonfinite", "metric_missing", "held_values",
    "no_config", "single_runs",
]  # fmt: skip

LENGTH_TOLERANCE = 0.10
MAX_NAMED = 4


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about the runs named by `run_ids`; a `warning` can overturn what the table suggests."""

    code: NoteCode
    level: Literal["warning", "info"]
    text: str
    run_ids: tuple[str, ...] = ()


def notes_on(groups: Sequence[ReplicateGroup], metrics: Sequence[MetricComparison], at: At) -> tuple[Note, ...]:
    """Every note on a comparison, warnings first. The first metric is the one that lengths are shown with."""
    runs = [run for group in groups for run in group.runs]
    names = dict(zip((run.run_id for run in runs), unique_names(runs), strict=True))
    found = [
        *_data_differs(runs, names),
        *_unfinished(runs, names),
        *_damaged(runs, names),
        *_unequal_length(runs, names, metrics),
        *_nonfinite(runs, names, metrics),
        *_metric_missing(runs, names, metrics),
        *(_held_values(names, metrics) if at == "common" else ()),
        *_no_config(runs, names),
        *_single_runs(groups),
    ]
    return tuple(sorted(found, key=lambda note: note.level != "warning"))


def _data_differs(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    digests = {run.run_id: data_digests(run) for run in runs}
    for data_name in sorted({name for one in digests.values() for name in one}):
        holders: dict[str, list[str]] = {}
        for run_id, one in digests.items():
            if data_name in one:
                holders.setdefault(one[data_name], []).append(run_id)
        if len(holders) > 1:
            kinds = "; ".join(f"{digest[:8]} in {_named(ids, names)}" for digest, ids in holders.items())
            text = f"the data differ: {data_name!r} has {len(holders)} contents ({kinds})"
            yield Note("data_differs", "warning", text, tuple(run_id for ids in holders.values() for run_id in ids))


def _unfinished(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    for status in ("running", "failed", "killed", "lost"):
        ids = [run.run_id for run in runs if run.status == status]
        if ids:
            verb = "is" if len(ids) == 1 else "are"
            yield Note("unfinished", "warning", f"{_named(ids, names)} {verb} {status}, not finished", tuple(ids))


def _damaged(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    ids = [run.run_id for run in runs if run.problems or run.dropped]
    if ids:
        text = f"the journal of {_named(ids, names)} lacks lines (damaged or never written): see trackbridge doctor"
        yield Note("damaged", "warning", text, tuple(ids))


def _unequal_length(
    runs: Sequence[RunRecord], names: Mapping[str, str], metrics: Sequence[MetricComparison]
) -> Iterator[Note]:
    steps = {run.run_id: max((one.last_step for one in run.metrics.values()), default=0) for run in runs}
    trained = {run_id: step for run_id, step in steps.items() if step > 0}
    if len(trained) < 2:
        return
    shortest = min(trained.values())
    longer = [run_id for run_id, step in trained.items() if step > shortest * (1 + LENGTH_TOLERANCE)]
    if not longer:
        return
    shorter = [run_id for run_id in trained if run_id not in longer]
    shares = [round(100 * (trained[run_id] / shortest - 1)) for run_id in longer]
    share = f"{shares[0]} %" if len(set(shares)) == 1 else f"{min(shares)} to {max(shares)} %"
    text = f"{_named(longer, names)} trained {share} longer than {_named(shorter, names)} ({shortest} steps)"
    text += "".join(_at_common_step(metric, names) for metric in metrics[:1])
    yield Note("unequal_length", "warning", text, tuple(longer))


def _at_common_step(metric: MetricComparison, names: Mapping[str, str]) -> str:
    values = ", ".join(
        f"{names[score.run_id]} {_number(score.common.value)}" for score in metric.runs[:MAX_NAMED] if score.common
    )
    more = f" and {len(metric.runs) - MAX_NAMED} more" if len(metric.runs) > MAX_NAMED else ""
    return f"; at the last common step, {metric.common_step}, {metric.name} is {values}{more}"


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


def _metric_missing(
    runs: Sequence[RunRecord], names: Mapping[str, str], metrics: Sequence[MetricComparison]
) -> Iterator[Note]:
    for metric in metrics:
        lacking = [run.run_id for run in runs if metric.run(run.run_id) is None]
        if lacking:
            text = f"{_named(lacking, names)} {'has' if len(lacking) == 1 else 'have'} no {metric.name}"
            yield Note("metric_missing", "info", text, tuple(lacking))


def _held_values(names: Mapping[str, str], metrics: Sequence[MetricComparison]) -> Iterator[Note]:
    for metric in metrics:
        held: list[RunScore] = [one for one in metric.runs if one.common and one.common.step != metric.common_step]
        if held:
            ids = [score.run_id for score in held]
            text = (
                f"{metric.name} was not logged at the last common step, {metric.common_step}, by {_named(ids, names)}:"
                " the last value before it stands there"
            )
            yield Note("held_values", "info", text, tuple(ids))


def _no_config(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Iterator[Note]:
    ids = [run.run_id for run in runs if not any(run.config.values())]
    if ids and len(runs) > 1:
        text = f"{_named(ids, names)} recorded no config, so nothing says whether they are replicates"
        yield Note("no_config", "warning", text, tuple(ids))


def _single_runs(groups: Sequence[ReplicateGroup]) -> Iterator[Note]:
    if len(groups) > 1 and all(len(group.runs) == 1 for group in groups):
        text = "no setting was run with more than one seed, so how far seeds alone move the score cannot be told"
        yield Note("single_runs", "info", text)


def _named(ids: Sequence[str], names: Mapping[str, str]) -> str:
    shown = [names[run_id] for run_id in ids[:MAX_NAMED]]
    if len(ids) > MAX_NAMED:
        return f"{', '.join(shown)} and {len(ids) - MAX_NAMED} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _number(value: float) -> str:
    return f"{value:.4g}"
