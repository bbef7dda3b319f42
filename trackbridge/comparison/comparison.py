"""
The comparison: the one object that the terminal, JSON, Markdown, HTML and a notebook render.

It holds no text of its own beyond the notes, so every view tells the same numbers.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from trackbridge.comparison.diff import RunDiff, diff_runs, unique_names
from trackbridge.comparison.encode import comparison_json, comparison_rows
from trackbridge.comparison.groups import ReplicateGroup, replicate_groups
from trackbridge.comparison.lineage import Descent, lineage_of
from trackbridge.comparison.metrics import chosen_metrics
from trackbridge.comparison.notes import Note, notes_on
from trackbridge.comparison.scores import At, MetricComparison, compare_metric
from trackbridge.errors import MisuseError, nearest
from trackbridge.store.records import RunRecord


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: what differs, which are replicates, how they score.

    `runs` are in the groups' order, the baseline's first; `names` are theirs, made unique. `metrics` maps a
    name to its comparison, the likeliest one of interest first. `baselines` maps a group's index to the index
    of the group it is read against. `diff` covers all runs. `lineage` tells which runs they build on.
    """

    runs: tuple[RunRecord, ...]
    names: tuple[str, ...]
    groups: tuple[ReplicateGroup, ...]
    metrics: Mapping[str, MetricComparison]
    diff: RunDiff
    lineage: tuple[Descent, ...]
    notes: tuple[Note, ...]
    at: At
    baselines: Mapping[int, int]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON data; non-finite numbers are the strings "NaN", "Infinity", "-Infinity"."""
        return comparison_json(self)

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict per run, ready for `pandas.DataFrame(comparison.rows())`."""
        return comparison_rows(self)

    def _repr_html_(self) -> str:
        """A table of the groups, for a notebook."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("group", "runs", *self.metrics))
        body = ""
        for index, group in enumerate(self.groups):
            cells = [group.label, str(len(group.runs))]
            cells += [_cell(metric, index) for metric in self.metrics.values()]
            body += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        notes = "".join(f"<li>{html.escape(note.text)}</li>" for note in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{notes}</ul>"


def compare(
    runs: Sequence[RunRecord],
    *,
    baseline: RunRecord | Sequence[RunRecord] | None = None,
    metrics: Sequence[str] | None = None,
    at: At = "best",
) -> Comparison:
    """The runs laid side by side.

    Args:
        runs: one or more runs; a run given twice counts once.
        baseline: what to read the others against: one run means the whole replicate group it is in; several
            mean exactly these, kept apart from `runs` even where the configs are equal.
        metrics: the metrics to compare, the first one leading; all but bookkeeping when None.
        at: which value of a run counts: the one where the leading metric was "best", the "last", or the one at
            the last "common" step. So at "best" all metrics of a run are those of one model.

    Raises:
        MisuseError: no runs, or an `at` that is none of the three.
        NotFoundError: a metric that none of the runs has.
    """
    if at not in get_args(At):
        raise MisuseError(f"cannot compare at {at!r}{nearest(str(at), get_args(At))}")
    candidates, references = _sides(runs, baseline)
    groups = _grouped(candidates, references)
    everyone = tuple(run for group in groups for run in group.runs)
    baselines = _baselines(groups, {run.run_id for run in references})
    names = chosen_metrics(everyone, metrics)
    compared: dict[str, MetricComparison] = {}
    for name in names:
        leading = next(iter(compared.values()), None)
        compared[name] = compare_metric(name, groups, at=at, baseline_of=baselines, leading=leading)
    run_names = tuple(unique_names(everyone))
    return Comparison(
        runs=everyone,
        names=run_names,
        groups=groups,
        metrics=compared,
        diff=diff_runs(everyone),
        lineage=lineage_of(everyone, run_names),
        notes=notes_on(groups, list(compared.values()), at),
        at=at,
        baselines=baselines,
    )


def _sides(
    runs: Sequence[RunRecord], baseline: RunRecord | Sequence[RunRecord] | None
) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs to compare and the baseline runs; a single baseline run stays among its replicates."""
    unique = {run.run_id: run for run in runs}
    references = {run.run_id: run for run in _as_sequence(baseline)}
    if not unique and not references:
        raise MisuseError("there are no runs to compare: pass at least one RunRecord, such as store.runs(project=...)")
    if isinstance(baseline, RunRecord) and baseline.run_id in unique:
        return list(unique.values()), [baseline]
    return [run for run_id, run in unique.items() if run_id not in references], list(references.values())


def _as_sequence(baseline: RunRecord | Sequence[RunRecord] | None) -> Sequence[RunRecord]:
    return () if baseline is None else (baseline,) if isinstance(baseline, RunRecord) else baseline


def _grouped(candidates: Sequence[RunRecord], references: Sequence[RunRecord]) -> tuple[ReplicateGroup, ...]:
    """The baseline's groups first, then the others in order of appearance."""
    inside = {run.run_id for run in candidates}
    ids = {run.run_id for run in references}
    if ids <= inside:
        groups = replicate_groups(candidates)
        return tuple(sorted(groups, key=lambda group: not any(run.run_id in ids for run in group.runs)))
    apart = replicate_groups([*references, *candidates])
    named = {group.key: group for group in apart}
    kept = [
        dataclasses.replace(named[group.key], runs=group.runs, label=f"baseline: {named[group.key].label}")
        for group in replicate_groups(references)
    ]
    kept += [dataclasses.replace(named[group.key], runs=group.runs) for group in replicate_groups(candidates)]
    return tuple(kept)


def _baselines(groups: Sequence[ReplicateGroup], reference_ids: set[str]) -> dict[int, int]:
    """For each group that is not a baseline, the one of equal config, or else the only one there is."""
    marked = [index for index, group in enumerate(groups) if any(run.run_id in reference_ids for run in group.runs)]
    by_key = {groups[index].key: index for index in marked}
    found = {
        index: by_key.get(group.key, marked[0] if len(marked) == 1 else None)
        for index, group in enumerate(groups)
        if index not in marked
    }
    return {index: baseline for index, baseline in found.items() if baseline is not None}


def _cell(metric: MetricComparison, index: int) -> str:
    scores = metric.groups[index].scores
    if scores.mean is None:
        return "-"
    return f"{scores.mean:.4g}" + ("" if scores.sd is None else f" ± {scores.sd:.2g}")
