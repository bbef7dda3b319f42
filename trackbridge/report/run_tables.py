"""One run in full, as tables: scores, summary, lineage, config, environment, checkpoints and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trackbridge.comparison.canonical import dotted, flatten
from trackbridge.comparison.groups import seeds_text
from trackbridge.comparison.lineage import lineage_of
from trackbridge.comparison.metrics import is_bookkeeping, metric_order
from trackbridge.comparison.run_scores import best_point
from trackbridge.report.tables import Cell, Column, Table, lineage_table
from trackbridge.report.text import duration_text, number_text, size_text, value_text
from trackbridge.store.records import Media, RunRecord


def identity(run: RunRecord) -> Iterator[tuple[str, str]]:
    """What a run is, as labels of one word and their values; those it has."""
    yield "id", run.run_id
    yield "status", run.status + "".join(f" ({one.error})" for one in run.sessions[-1:] if one.error)
    yield "started", f"{_time_text(run.started_ns)}, took {duration_text(run.duration_s)}"
    yield "folder", run.path
    optional = {
        "group": run.group,
        "tags": ", ".join(run.tags),
        "seeds": seeds_text(run.seeds),
        "notes": run.notes,
        "hidden": f"{run.n_superseded} points superseded by a resume" if run.n_superseded else None,
        "dropped": ", ".join(f"{count} {kind}" for kind, count in run.dropped.items()),
        "unknown": ", ".join(f"{count} {kind}" for kind, count in run.unknown_kinds.items()),
    }
    yield from ((label, value) for label, value in optional.items() if value)


def run_tables(run: RunRecord, *, max_keys: int | None = None) -> Iterator[Table]:
    """Everything but the scores, in reading order; of a config scope with more than `max_keys` keys only the number."""
    yield _settings_table("Summary", {name: _rounded(one) for name, one in run.summary.items()}, None)
    lineage = lineage_of([run], [run.name])
    yield lineage_table(lineage)
    # where the table tells the descent, its scope would only tell it again
    for scope, config in run.config.items():
        if scope == "lineage" and lineage:
            continue
        yield _settings_table(f"Config: {scope}", config, max_keys)
    yield _settings_table("Environment", run.environment, max_keys)
    yield _checkpoints_table(run)
    yield _media_table(run)
    yield _artifacts_table(run)
    yield _sessions_table(run)
    yield _problems_table(run)


def metrics_table(run: RunRecord) -> Table:
    """One row per metric, scores on held-out data first."""
    columns = (
        Column("metric", importance="essential"),
        Column("best", "right", "essential"),
        Column("at step", "right"),
        Column("last", "right", "essential"),
        Column("at step", "right"),
        Column("points", "right", "extra"),
        Column("not finite", "right", "extra"),
    )
    rows = []
    for name in sorted(run.metrics, key=metric_order):
        summary = run.metrics[name]
        # A best learning rate or running time is nothing anybody looks for.
        best = None if is_bookkeeping(name) else best_point(summary)
        cells = [name, number_text(best.value if best else None), str(best.step) if best else "-"]
        cells += [number_text(summary.last), str(summary.last_step), str(summary.n), str(summary.n_nonfinite or "-")]
        rows.append(tuple(Cell(text) for text in cells))
    return Table("Metrics", columns, tuple(rows))


def _settings_table(title: str, settings: Mapping[str, Any], max_keys: int | None) -> Table:
    leaves = flatten({"": settings})
    columns = (Column("key", importance="essential"), Column("value", importance="essential"))
    if max_keys is not None and len(leaves) > max_keys:
        return Table(title, columns, ((Cell(f"{len(leaves)} keys"), Cell("--full shows them", tone="muted")),))
    rows = tuple((Cell(dotted(path[1:])), Cell(value_text(value))) for path, value in leaves.items())
    return Table(title, columns, rows)


def _checkpoints_table(run: RunRecord) -> Table:
    columns = (
        Column("step", "right", "essential"),
        Column("path", importance="essential"),
        Column("size", "right"),
        Column("scores"),
        Column("state"),
    )
    rows = []
    for one in run.checkpoints:
        states = {"kept": bool(one.kept), "deleted": one.deleted, "superseded": one.superseded}
        scores = ", ".join(f"{name} {number_text(value)}" for name, value in one.metrics.items())
        size = size_text(one.size_bytes) if one.size_bytes is not None else "-"
        state = ", ".join(name for name, is_so in states.items() if is_so)
        path = one.kept or _within(run, one.path)
        rows.append(tuple(Cell(text) for text in (str(one.step), path, size, scores or "-", state)))
    return Table("Checkpoints", columns, tuple(rows))


def _within(run: RunRecord, path: str) -> str:
    """The path as seen from the run's folder, where it lies in there."""
    inside = Path(path).is_relative_to(run.path)
    return Path(path).relative_to(run.path).as_posix() if inside else path


def _rounded(value: Any) -> Any:
    """A score to six digits and without zeros at its end; anything else as it is."""
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if math.isfinite(value) else number_text(value)


def _media_table(run: RunRecord) -> Table:
    columns = (
        Column("media", importance="essential"),
        Column("kind"),
        Column("logged", "right"),
        Column("last at step", "right", "essential"),
        Column("path", importance="essential"),
    )
    by_name: dict[str, list[Media]] = {}
    for one in run.media:
        if not one.superseded:
            by_name.setdefault(one.name, []).append(one)
    rows = []
    for name, logged in by_name.items():
        last = max(logged, key=lambda one: one.step)
        rows.append((name, last.media, str(len(logged)), str(last.step), last.path))
    return Table("Media", columns, tuple(tuple(map(Cell, row)) for row in rows))


def _artifacts_table(run: RunRecord) -> Table:
    columns = (
        Column("artifact", importance="essential"),
        Column("type"),
        Column("size", "right"),
        Column("path", importance="essential"),
    )
    rows = [(one.name, one.type, size_text(one.size_bytes), one.path) for one in run.artifacts]
    return Table("Artifacts", columns, tuple(tuple(map(Cell, row)) for row in rows))


def _sessions_table(run: RunRecord) -> Table:
    columns = (
        Column("session", importance="essential"),
        Column("status", importance="essential"),
        Column("from step", "right"),
        Column("host"),
        Column("pid", "right", "extra"),
        Column("error"),
    )
    rows = tuple(
        (
            Cell(_time_text(one.started_ns)),
            Cell(one.status or "no end"),
            Cell("-" if one.from_step is None else str(one.from_step)),
            Cell(one.host),
            Cell(str(one.pid)),
            Cell(one.error or ""),
        )
        for one in run.sessions
    )
    return Table("Sessions", columns, rows if len(rows) > 1 else ())


def _problems_table(run: RunRecord) -> Table:
    columns = (Column("file"), Column("line", "right"), Column("offset", "right"), Column("reason"))
    rows = tuple(
        (Cell(one.file), Cell(str(one.line)), Cell(str(one.offset)), Cell(one.reason, tone="bad"))
        for one in run.problems
    )
    return Table("Problems", columns, rows)


def _time_text(time_ns: int) -> str:
    # Of an imported run it may be unknown, which is 0.
    if not time_ns:
        return "-"
    return datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
