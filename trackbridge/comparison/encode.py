"""A comparison as plain data: nested for JSON, flat rows for a data frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trackbridge.comparison.canonical import MISSING
from trackbridge.comparison.code import CodeDifference
from trackbridge.comparison.diff import RunDiff
from trackbridge.comparison.difference import Difference
from trackbridge.comparison.divergence import Divergence
from trackbridge.comparison.expected_best import ExpectedBest
from trackbridge.comparison.importance import Importance
from trackbridge.comparison.lineage_graph import LineageGraph
from trackbridge.comparison.run_scores import Point
from trackbridge.comparison.scores import MetricComparison
from trackbridge.comparison.verdict import PairVerdict

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison

JSON_VERSION = 1


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON data, under `version` 1."""
    return {
        "version": JSON_VERSION,
        "at": comparison.at,
        "align": comparison.align,
        "runs": [
            {
                "run_id": run.run_id,
                "name": run.name,
                "project": run.project,
                "group": run.group,
                "status": run.status,
                "seeds": dataclasses.asdict(run.seeds),
            }
            for run in comparison.runs
        ],
        "groups": [
            {
                "key": group.key,
                "label": group.label,
                "run_ids": [run.run_id for run in group.runs],
                "settings": {name: _plain(value) for name, value in group.settings.items()},
                "baseline": comparison.baselines.get(index),
            }
            for index, group in enumerate(comparison.groups)
        ],
        "metrics": {name: _metric_json(metric) for name, metric in comparison.metrics.items()},
        **(_leading_json(comparison) if comparison.metrics else {}),
        "findings": [json_safe(dataclasses.asdict(one)) for one in comparison.findings()],
        "diff": diff_json(comparison.diff),
        "lineage": [json_safe(dataclasses.asdict(one)) for one in comparison.lineage],
        "lineage_graph": _lineage_graph_json(comparison.lineage_graph),
        "notes": [json_safe(dataclasses.asdict(note)) for note in comparison.notes],
    }


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """A diff as JSON data; a value is `{"value": ...}`, or `{"missing": true}` where a run has no such key."""
    return {
        "runs": list(diff.names),
        "reference": diff.reference,
        "n_equal": diff.n_equal,
        "n_volatile": diff.n_volatile,
        "differences": [_difference_json(difference) for difference in diff.differences],
        "causes": [[one.key for one in cause] for cause in diff.causes],
        "notes": [json_safe(dataclasses.asdict(note)) for note in diff.notes],
    }


def divergence_json(found: Divergence) -> dict[str, Any]:
    """How far two runs are the same bit for bit, as JSON data; `causes` are the keys that could explain it."""
    return {
        "runs": list(found.names),
        "is_identical": found.is_identical,
        "step": found.first[0].step if found.first else None,
        "first": [json_safe(dataclasses.asdict(one)) for one in found.first],
        "n_metrics": found.n_metrics,
        "n_points": found.n_points,
        "only_one": found.only_one,
        "only_other": found.only_other,
        "causes": [{"section": one.section, "key": one.key} for one in found.causes],
        "sentence": found.sentence,
    }


def code_json(found: CodeDifference) -> dict[str, Any]:
    """The difference between the code of two runs as JSON data, with the unified diff as text."""
    return {**dataclasses.asdict(found), "sentence": found.sentence}


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One dict per run: identity, group, seeds, the config keys that differ, and each metric with its step."""
    differing = comparison.diff.in_section("config", "data")
    rows = []
    labels = {run.run_id: group.label for group in comparison.groups for run in group.runs}
    for index, run in enumerate(comparison.runs):
        row: dict[str, Any] = {"run_id": run.run_id, "name": run.name, "project": run.project}
        row |= {"replicates": labels[run.run_id], "status": run.status}
        row |= {f"seeds.{name}": seed for name, seed in dataclasses.asdict(run.seeds).items()}
        row |= {one.key: None if one.values[index] is MISSING else one.values[index] for one in differing}
        for name, metric in comparison.metrics.items():
            score = metric.run(run.run_id)
            point = score.at(comparison.at) if score else None
            row[name] = point.value if point else math.nan
            row[f"{name} step"] = point.step if point else None
            row[f"{name} standing"] = score.standing if score else "no value"
        rows.append(row)
    return rows


def verdict_rows(verdicts: Sequence[PairVerdict]) -> list[dict[str, Any]]:
    """One dict per verdict: the pair, the verdict, effect and interval, p, what could be seen, and the sentence."""
    return [
        {
            "metric": one.metric,
            "group": one.one.label,
            "against": one.other.label,
            "verdict": one.verdict,
            "effect": one.effect,
            "low": one.interval.low if one.interval else None,
            "high": one.interval.high if one.interval else None,
            "p": one.p,
            "p_adjusted": one.p_adjusted,
            "method": one.method,
            "n": one.one.n,
            "n_against": one.other.n,
            "smallest_visible": one.smallest_visible,
            "runs_more": one.runs_more,
            "sentence": one.sentence,
        }
        for one in verdicts
    ]


def json_safe(value: Any) -> Any:
    """The value with every non-finite float as a string, as in the journal, so that any JSON reader takes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def _leading_json(comparison: Comparison) -> dict[str, Any]:
    """Importance, seeds and the expected best, of the leading metric."""
    return {
        "importance": importance_json(comparison.importance()),
        **seeds_json(comparison),
    }


def seeds_json(comparison: Comparison) -> dict[str, Any]:
    """What each seed does to the leading metric and the expected best of n runs, per group, as JSON data."""
    indices = range(len(comparison.groups))
    return {
        "seed_variance": [json_safe(dataclasses.asdict(comparison.seed_variance(index))) for index in indices],
        "expected_best": [_expected_best_json(comparison.expected_best(index)) for index in indices],
    }


def importance_json(importance: Importance) -> dict[str, Any]:
    """The evidence on every parameter as JSON data, with the settings and scores it is from."""
    return {
        "reason": importance.reason,
        "settings": list(importance.settings),
        "scores": json_safe(importance.scores),
        "dropped": [dataclasses.asdict(one) for one in importance.dropped],
        "parameters": [
            {
                "key": one.parameter.key,
                "aliases": list(one.parameter.aliases),
                "values": [_plain(value) for value in one.parameter.values],
                "evidence": one.evidence,
                "explained": one.explained,
                "p": one.p,
                "p_adjusted": one.p_adjusted,
                "smallest_visible": one.smallest_visible,
                "failing_p": one.failing_p,
                "closest": list(one.closest) if one.closest else None,
                "sentence": one.sentence,
            }
            for one in importance.parameters
        ],
    }


def _expected_best_json(found: ExpectedBest | None) -> dict[str, Any] | None:
    if found is None:
        return None
    columns = {name: getattr(found, name).tolist() for name in ("n_runs", "best", "sd", "hours")}
    return {name: json_safe(column) for name, column in columns.items()}


def _metric_json(metric: MetricComparison) -> dict[str, Any]:
    return {
        "lower_is_better": metric.lower_is_better,
        "common": dataclasses.asdict(metric.common),
        "seed_share": json_safe(dataclasses.asdict(metric.seed_share)) if metric.seed_share else None,
        "verdict": metric.verdict,
        "verdicts": [_verdict_json(verdict) for verdict in metric.verdicts],
        "runs": [
            {
                "run_id": score.run_id,
                "n": score.n,
                "n_nonfinite": score.n_nonfinite,
                "last": _point_json(score.last),
                "best": _point_json(score.best),
                "common": _point_json(score.common),
                "chosen": _point_json(score.chosen),
                "standing": score.standing,
            }
            for score in metric.runs
        ],
        "groups": [
            {
                "label": group.label,
                "n_runs": group.n_runs,
                **dataclasses.asdict(group.scores),
                "mixed": dataclasses.asdict(group.mixed),
                "n_degenerate": group.n_degenerate,
                "n_halted": group.n_halted,
                "difference": group.difference,
                "statistics": dataclasses.asdict(group.statistics) if group.statistics else None,
            }
            for group in metric.groups
        ],
    }


def _verdict_json(verdict: PairVerdict) -> dict[str, Any]:
    told: dict[str, Any] = json_safe(dataclasses.asdict(verdict))
    improvement = verdict.improvement
    told["improvement"] = {**dataclasses.asdict(improvement), "size": improvement.size} if improvement else None
    return told | {"sentence": verdict.sentence}


def _point_json(point: Point | None) -> dict[str, Any] | None:
    return None if point is None else {"value": json_safe(point.value), "step": point.step}


def _lineage_graph_json(graph: LineageGraph) -> dict[str, Any]:
    return {
        "nodes": [json_safe(dataclasses.asdict(node)) for node in graph.nodes],
        "links": [
            {"parent": link.parent, "child": link.child, "role": link.descent.role, "step": link.descent.step}
            for link in graph.links
        ],
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "key": difference.key,
        "section": difference.section,
        "kind": difference.kind,
        "role": difference.role,
        "attribution": difference.attribution,
        "values": [_plain(value) for value in difference.values],
    }


def _plain(value: Any) -> dict[str, Any]:
    return {"missing": True} if value is MISSING else {"value": json_safe(value)}
