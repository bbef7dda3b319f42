"""
The comparison: the one object that the terminal, JSON, Markdown, HTML and a notebook render.

It holds no text of its own beyond the notes and the verdicts' sentences, so every view tells the same numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

from trackbridge.comparison.align import Align
from trackbridge.comparison.diff import RunDiff, diff_runs, unique_names
from trackbridge.comparison.divergence import Divergence, first_divergence
from trackbridge.comparison.encode import comparison_json, comparison_rows, verdict_rows
from trackbridge.comparison.expected_best import ExpectedBest, expected_best
from trackbridge.comparison.finding import Finding
from trackbridge.comparison.finding_groups import FindingGroup, grouped_findings
from trackbridge.comparison.findings import findings_on
from trackbridge.comparison.groups import ReplicateGroup, groups_by, replicate_groups
from trackbridge.comparison.importance import Importance, parameter_importance
from trackbridge.comparison.judging import Pair, with_statistics, with_verdicts
from trackbridge.comparison.lineage import Descent, lineage_of
from trackbridge.comparison.lineage_graph import LineageGraph, lineage_graph
from trackbridge.comparison.metrics import chosen_metrics
from trackbridge.comparison.note import Note
from trackbridge.comparison.notes import notes_on
from trackbridge.comparison.run_scores import At
from trackbridge.comparison.scores import MetricComparison, compare_metric
from trackbridge.comparison.seed_variance import SeedVariance, seed_variance
from trackbridge.comparison.statistics.intervals import is_usable
from trackbridge.comparison.verdict import PairVerdict
from trackbridge.display import notebook_html
from trackbridge.errors import MissingDependencyError, MisuseError, NotFoundError, nearest
from trackbridge.store.records import RunRecord

Grouping: TypeAlias = Callable[[Sequence[RunRecord]], tuple[ReplicateGroup, ...]]

MAX_GROUPS_IN_PAIRS = 6
"""Without a baseline, every pair of so many groups gets a verdict; with more, pairs are too many to correct for."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: what differs, which are replicates, how they score, and what can be said for sure.

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
    align: Align
    baselines: Mapping[int, int]

    @property
    def verdicts(self) -> tuple[PairVerdict, ...]:
        """The verdicts of all metrics, which are one family: the leading metric's first."""
        return tuple(verdict for metric in self.metrics.values() for verdict in metric.verdicts)

    def findings(self, now_ns: int | None = None) -> tuple[Finding, ...]:
        """What is wrong with the runs, or worth a look, the gravest first. Reads their losses, and the leading metric.

        With `now_ns`, nanoseconds since 1970, also which running runs have stalled.
        """
        return findings_on(self, now_ns)

    def grouped_findings(self, now_ns: int | None = None) -> tuple[FindingGroup, ...]:
        """The findings, those that several replicates share told once."""
        return grouped_findings(self.findings(now_ns), self.groups)

    def importance(self, metric: str | None = None) -> Importance:
        """Which parameters a metric is associated with, by evidence; the leading metric when None."""
        compared = self._metric(metric)
        failed = {score.run_id for score in compared.runs if score.standing in ("degenerate", "not finite")}
        counted = {run_id: score for group in compared.groups for run_id, score in group.counted.items()}
        return parameter_importance(replicate_groups(self.runs), counted, failed)

    def seed_variance(self, group: int = 0, metric: str | None = None) -> SeedVariance:
        """Which of the three seeds moves a metric how far, among the runs of one group."""
        return seed_variance(self.groups[group].runs, self._metric(metric).groups[group].counted)

    def expected_best(self, group: int = 0, metric: str | None = None) -> ExpectedBest | None:
        """The expected best of n runs of a group, failed ones among them; None where no run has a finite score."""
        compared = self._metric(metric)
        scored = [
            (point.value, run.duration_s)
            for run in self.groups[group].runs
            if (score := compared.run(run.run_id)) and (point := score.at(self.at)) and is_usable(point.value)
        ]
        if not scored:
            return None
        scores, durations_s = zip(*scored, strict=True)
        return expected_best(scores, lower_is_better=compared.lower_is_better, durations_s=durations_s)

    @property
    def lineage_graph(self) -> LineageGraph:
        """What the runs build on and where they were resumed, as nodes and links; empty where there is none of it."""
        return lineage_graph(self.runs, self.names, self.lineage)

    def divergence(self, one: str, other: str) -> Divergence:
        """The first step at which two runs differ in any bit, and what could have caused it. Reads both runs' curves.

        Args:
            one: the name of a run, as in `names`, or its id.
            other: that of the run to hold it against.

        Raises:
            NotFoundError: there is no such run in this comparison.
        """
        return first_divergence(self._run(one), self._run(other))

    def _run(self, name: str) -> RunRecord:
        """The run of this name or id."""
        by_name = dict(zip(self.names, self.runs, strict=True)) | {run.run_id: run for run in self.runs}
        if name not in by_name:
            raise NotFoundError(f"this comparison has no run {name!r}{nearest(name, self.names)}")
        return by_name[name]

    def _metric(self, name: str | None) -> MetricComparison:
        """The metric of this name, or the leading one."""
        wanted = next(iter(self.metrics), "") if name is None else name
        if wanted not in self.metrics:
            raise NotFoundError(f"this comparison has no metric {wanted!r}{nearest(wanted, self.metrics)}")
        return self.metrics[wanted]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON data; non-finite numbers are the strings "NaN", "Infinity", "-Infinity"."""
        return comparison_json(self)

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict per run, ready for `pandas.DataFrame(comparison.rows())`."""
        return comparison_rows(self)

    def verdict_rows(self) -> list[dict[str, Any]]:
        """One flat dict per verdict, ready for `pandas.DataFrame(comparison.verdict_rows())`."""
        return verdict_rows(self.verdicts)

    def _repr_html_(self) -> str:
        """The panels of the report, for a notebook."""
        return notebook_html(self)


def compare(
    runs: Sequence[RunRecord],
    *,
    baseline: RunRecord | Sequence[RunRecord] | None = None,
    metrics: Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    at: At = "best",
    align: Align = "step",
    noise_from: Sequence[RunRecord] = (),
) -> Comparison:
    """The runs laid side by side, with a verdict for each group against its baseline, or each pair of up to six groups.

    Args:
        runs: one or more runs; a run given twice counts once.
        baseline: what to read the others against: one run means the whole replicate group it is in; several
            mean exactly these, kept apart from `runs` even where the configs are equal.
        metrics: the metrics to compare, the first one leading; all but bookkeeping when None. Every one that is
            shown raises the bar for the others' verdicts (Holm), so name the one that decides.
        by: config keys to group by, such as "learning_rate", whatever else differs; None finds the replicates.
        at: which value of a run counts: the one where the leading metric was "best", the "last", or the one at
            the last "common" position. So at "best" all metrics of a run are those of one model.
        align: by what the last common position is found: "step", "epoch", "time" or "samples".
        noise_from: other runs, such as all of the project, whose replicates tell how far seeds alone move a score.

    Raises:
        MisuseError: no runs, an `at` or `align` that is none of those named, or an axis that runs do not tell of.
        NotFoundError: a metric or a key that none of the runs has.
    """
    _check_words(at, align)
    candidates, references = _sides(runs, baseline)
    grouping: Grouping = partial(groups_by, keys=[by] if isinstance(by, str) else by) if by else replicate_groups
    groups = _grouped(candidates, references, grouping)
    everyone = tuple(run for group in groups for run in group.runs)
    baselines = _baselines(groups, {run.run_id for run in references})
    measure = partial(_measured, names=chosen_metrics(everyone, metrics), at=at, align=align)
    compared = measure(groups, baselines)
    pairs = _pairs(groups, baselines, has_baseline=bool(references))
    beside = measure(replicate_groups(_others(noise_from, everyone)), {})
    try:
        judged = with_verdicts(with_statistics(compared), groups, pairs, _scores_by_group(beside))
        lacking = None
    except MissingDependencyError as error:
        judged, lacking = compared, str(error)
    run_names = tuple(unique_names(everyone))
    diff = diff_runs(everyone)
    return Comparison(
        runs=everyone,
        names=run_names,
        groups=groups,
        metrics=MappingProxyType(judged),
        diff=diff,
        lineage=lineage_of(everyone, run_names),
        notes=(*diff.notes, *notes_on(groups, list(judged.values()), at, lacking=lacking)),
        at=at,
        align=align,
        baselines=MappingProxyType(baselines),
    )


def _check_words(at: str, align: str) -> None:
    if at not in get_args(At):
        raise MisuseError(f"cannot compare at {at!r}{nearest(str(at), get_args(At))}")
    if align not in get_args(Align):
        raise MisuseError(f"cannot align by {align!r}{nearest(str(align), get_args(Align))}")


def _measured(
    groups: Sequence[ReplicateGroup], baselines: Mapping[int, int], *, names: Sequence[str], at: At, align: Align
) -> dict[str, MetricComparison]:
    """The scores of every metric; the first one leads, and says which step of a run is its best."""
    measured: dict[str, MetricComparison] = {}
    for name in names:
        leading = next(iter(measured.values()), None)
        measured[name] = compare_metric(name, groups, at=at, align=align, baseline_of=baselines, leading=leading)
    return measured


def _others(noise_from: Sequence[RunRecord], everyone: Sequence[RunRecord]) -> list[RunRecord]:
    shown = {run.run_id for run in everyone}
    return [run for run in noise_from if run.run_id not in shown]


def _scores_by_group(metrics: Mapping[str, MetricComparison]) -> dict[str, list[list[float]]]:
    return {name: [list(group.counted.values()) for group in metric.groups] for name, metric in metrics.items()}


def _pairs(groups: Sequence[ReplicateGroup], baselines: Mapping[int, int], *, has_baseline: bool) -> list[Pair]:
    """Each group with its baseline; where none was named, the later of any two groups with the earlier one."""
    if has_baseline:
        return list(baselines.items())
    if len(groups) > MAX_GROUPS_IN_PAIRS:
        return []
    return [(later, earlier) for earlier, later in combinations(range(len(groups)), 2)]


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


def _grouped(
    candidates: Sequence[RunRecord], references: Sequence[RunRecord], grouping: Grouping
) -> tuple[ReplicateGroup, ...]:
    """The baseline's groups first, then the others in order of appearance."""
    inside = {run.run_id for run in candidates}
    ids = {run.run_id for run in references}
    if ids <= inside:
        groups = grouping(candidates)
        return tuple(sorted(groups, key=lambda group: not any(run.run_id in ids for run in group.runs)))
    together = grouping([*references, *candidates])
    kept = [
        dataclasses.replace(group, runs=members, label=f"baseline: {group.label}")
        for group in together
        if (members := tuple(run for run in group.runs if run.run_id in ids))
    ]
    kept += [
        dataclasses.replace(group, runs=members)
        for group in together
        if (members := tuple(run for run in group.runs if run.run_id in inside))
    ]
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
