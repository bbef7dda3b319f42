"""
A sweep: the scores of runs against one number in their config, such as a learning rate or a sampling rate.

Runs that differ in anything else that is no seed are on lines of their own: a line never joins what several keys moved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackbridge.comparison.canonical import Path, dotted, flatten
from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.groups import ReplicateGroup, replicate_groups
from trackbridge.comparison.scores import Aggregate, aggregate
from trackbridge.errors import MisuseError, NotFoundError, nearest
from trackbridge.store.records import RunRecord


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """The scores of all runs with one value of the key, and what those that count come to together."""

    value: float
    scores: tuple[float, ...]
    together: Aggregate


@dataclass(frozen=True, slots=True)
class SweepLine:
    """Runs that differ in the key and in seeds alone; points in the order of the key's values."""

    label: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A metric against a key. `n_without` runs have no such key, or no such metric, and are on no line."""

    key: str
    metric: str
    lines: tuple[SweepLine, ...]
    n_without: int


def sweep(comparison: Comparison, metric: str, key: str) -> Sweep:
    """The scores of a comparison's runs, each at the value that counts there, against a key.

    Args:
        comparison: the runs.
        metric: one of its metrics.
        key: scope and keys with dots between, such as `pipeline.pseudo_labels.rate`.

    Raises:
        NotFoundError: none of the runs has such a key; names the nearest.
        MisuseError: a run has something other than a number there.
    """
    path = _path_of(key, comparison.runs)
    swept = {run.run_id: value for run in comparison.runs if (value := _number_at(run, path)) is not None}
    scores = {run_id: score for run_id, score in _scores(comparison, metric) if run_id in swept}
    counted = {one.run_id for one in comparison.metrics[metric].runs if one.standing == "counts"}
    alike = replicate_groups([_without(run, path) for run in comparison.runs if run.run_id in scores])
    lines = tuple(_line(group, swept, scores, counted) for group in alike)
    return Sweep(key, metric, lines, len(comparison.runs) - len(scores))


def _path_of(key: str, runs: Sequence[RunRecord]) -> Path:
    known = {dotted(path): path for run in runs for path in flatten(run.config)}
    if key not in known:
        raise NotFoundError(f"none of the runs has a config key {key!r}{nearest(key, known)}")
    return known[key]


def _number_at(run: RunRecord, path: Path) -> float | None:
    value = flatten(run.config).get(path)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MisuseError(
            f"{dotted(path)} of {run.name!r} is {value!r}: scores can be drawn against a key that holds numbers"
        )
    return float(value)


def _scores(comparison: Comparison, metric: str) -> Iterator[tuple[str, float]]:
    for one in comparison.metrics[metric].runs:
        point = one.at(comparison.at)
        if point is not None:
            yield one.run_id, point.value


def _without(run: RunRecord, path: Path) -> RunRecord:
    """The run as if the key were not there; of the other scopes only the data stays, since the rest follows from it."""
    config: dict[str, Any] = {path[0]: _cut(run.config[path[0]], path[1:])}
    if "data" in run.config:
        config["data"] = run.config["data"]
    return dataclasses.replace(run, config=config)


def _cut(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {key: value for key, value in config.items() if key != first}
    return {key: _cut(value, tuple(rest)) if key == first else value for key, value in config.items()}


def _line(
    group: ReplicateGroup, swept: Mapping[str, float], scores: Mapping[str, float], counted: Collection[str]
) -> SweepLine:
    at: dict[float, list[str]] = {}
    for run in group.runs:
        at.setdefault(swept[run.run_id], []).append(run.run_id)
    return SweepLine(group.label, tuple(_point(value, at[value], scores, counted) for value in sorted(at)))


def _point(value: float, ids: Sequence[str], scores: Mapping[str, float], counted: Collection[str]) -> SweepPoint:
    together = aggregate(scores[run_id] for run_id in ids if run_id in counted)
    return SweepPoint(value, tuple(scores[run_id] for run_id in ids), together)
