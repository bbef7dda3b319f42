"""A comparison as plain data: nested for JSON, flat rows for a data frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trackbridge.comparison.diff import MISSING, Difference, RunDiff
from trackbridge.comparison.scores import MetricComparison, Point

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison

JSON_VERSION = 1


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON data, under `version` 1."""
    return {
        "version": JSON_VERSION,
        "at": comparison.at,
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
        "diff": diff_json(comparison.diff),
        "lineage": [dataclasses.asdict(one) for one in comparison.lineage],
        "notes": [dataclasses.asdict(note) for note in comparison.notes],
    }


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """A diff as JSON data; a value is `{"value": ...}`, or `{"missing": true}` where a run has no such key."""
    return {
        "runs": list(diff.names),
        "reference": diff.reference,
        "n_equal": diff.n_equal,
        "n_volatile": diff.n_volatile,
        "differences": [_difference_json(difference) for difference in diff.differences],
    }


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One dict per run: identity, group, seeds, the config keys that differ, and each metric with its step."""
    differing = comparison.diff.in_section("config")
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
        rows.append(row)
    return rows


def json_safe(value: Any) -> Any:
    """The value with every non-finite float as a string, as in the journal, so that any JSON reader takes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def _metric_json(metric: MetricComparison) -> dict[str, Any]:
    return {
        "lower_is_better": metric.lower_is_better,
        "common_step": metric.common_step,
        "runs": [
            {
                "run_id": score.run_id,
                "n": score.n,
                "n_nonfinite": score.n_nonfinite,
                "last": _point_json(score.last),
                "best": _point_json(score.best),
                "common": _point_json(score.common),
                "chosen": _point_json(score.chosen),
            }
            for score in metric.runs
        ],
        "groups": [
            {
                "label": group.label,
                "n_runs": group.n_runs,
                **dataclasses.asdict(group.scores),
                "difference": group.difference,
            }
            for group in metric.groups
        ],
    }


def _point_json(point: Point | None) -> dict[str, Any] | None:
    return None if point is None else {"value": json_safe(point.value), "step": point.step}


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "key": difference.key,
        "section": difference.section,
        "kind": difference.kind,
        "role": difference.role,
        "values": [_plain(value) for value in difference.values],
    }


def _plain(value: Any) -> dict[str, Any]:
    return {"missing": True} if value is MISSING else {"value": json_safe(value)}
