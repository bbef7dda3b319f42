"""
MLflow's SQLite database, opened for reading only.

Source of the tables: `mlflow/store/tracking/dbmodels/models.py`.
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import SourceProblem
from trackbridge.sources.mlflow_runs import NAME, MetricPoint, StoredRun
from trackbridge.sources.sqlite import check_tables, read_only

_COLUMNS: dict[str, set[str]] = {
    "experiments": {"experiment_id", "name"},
    "runs": {
        "run_uuid",
        "name",
        "status",
        "start_time",
        "end_time",
        "lifecycle_stage",
        "artifact_uri",
        "experiment_id",
    },
    "params": {"key", "value", "run_uuid"},
    "tags": {"key", "value", "run_uuid"},
    "metrics": {"key", "value", "timestamp", "run_uuid", "step", "is_nan"},
    # Older databases have none of these.
    "datasets": set(),
    "inputs": set(),
    "input_tags": set(),
}
_DATASETS = (
    "SELECT name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile, input_uuid"
    " FROM datasets JOIN inputs ON inputs.source_id = dataset_uuid WHERE destination_id = ? ORDER BY input_uuid"
)


def is_database(path: Path) -> bool:
    """True for an SQLite file with MLflow's tables."""
    try:
        with closing(read_only(path)) as database:
            check_tables(database, path, _COLUMNS, whose="MLflow")
    except (OSError, sqlite3.Error, SourceRefused, ValueError):
        # Damaged ones are for `--from mlflow` to tell of.
        return False
    return True


def read_runs(path: Path, files_from: Sequence[Path]) -> Iterator[StoredRun | SourceProblem]:
    """The runs of a database in the order in which they were made; deleted ones are left out.

    Raises:
        SourceRefused: what should be a table is something that runs.
    """
    try:
        with closing(read_only(path)) as database:
            check_tables(database, path, _COLUMNS, whose="MLflow")
            for row in database.execute(
                "SELECT run_uuid, runs.name, experiments.name, status, start_time, end_time, artifact_uri FROM runs"
                " LEFT JOIN experiments USING (experiment_id)"
                " WHERE runs.lifecycle_stage = 'active' ORDER BY runs.rowid"
            ):
                yield _run(database, path, files_from, row)
    except (sqlite3.Error, ValueError) as error:
        yield SourceProblem(str(path), "", f"the database cannot be read: {error}")


def _run(database: sqlite3.Connection, path: Path, files_from: Sequence[Path], row: tuple[Any, ...]) -> StoredRun:
    run_id, name, experiment, status, start_ms, end_ms, artifact_uri = row
    problems: list[SourceProblem] = []

    def texts(table: str) -> dict[str, str]:
        try:
            rows = database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY rowid", (run_id,))
            return {str(key): str(value) for key, value in rows}
        except sqlite3.Error as error:
            problems.append(SourceProblem(path.name, f"{table} of run {run_id}", str(error)))
            return {}

    params, tags = texts("params"), texts("tags")
    artifacts = _artifact_folder(str(artifact_uri or ""), str(run_id), path.parent, files_from)
    if isinstance(artifacts, SourceProblem):
        problems.append(artifacts)
        artifacts = None
    return StoredRun(
        run_id=str(run_id),
        name=str(name or tags.get(NAME) or run_id),
        experiment=str(experiment or ""),
        status=str(status),
        start_ms=start_ms if isinstance(start_ms, int) else None,
        end_ms=end_ms if isinstance(end_ms, int) else None,
        params=params,
        tags=tags,
        points=partial(_points, path, run_id),
        datasets=partial(_datasets, path, run_id),
        artifacts=artifacts,
        store=artifacts or path.parent,
        problems=problems,
    )


def _points(path: Path, run_id: str) -> Iterator[MetricPoint | SourceProblem]:
    number = 0
    try:
        with closing(read_only(path)) as database:
            # Rows are numbered as they came in, so no sorting is needed for the order in which they were logged.
            for number, (key, value, at_ms, step, is_nan) in enumerate(
                database.execute(
                    "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid",
                    (run_id,),
                )
            ):
                if isinstance(value, (int, float)) and isinstance(at_ms, int) and isinstance(step, int):
                    yield MetricPoint(str(key), math.nan if is_nan else _unclamped(float(value)), at_ms, step)
                else:
                    yield SourceProblem(path.name, f"metrics of run {run_id}, row {number}", "it holds no number")
    except (sqlite3.Error, ValueError, OverflowError) as error:
        yield SourceProblem(path.name, f"metrics of run {run_id}, row {number}", f"reading stopped here: {error}")


def _unclamped(value: float) -> float:
    """MLflow writes infinities as the largest floats, which nobody logs."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _datasets(path: Path, run_id: str) -> list[dict[str, Any]]:
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    found = []
    try:
        with closing(read_only(path)) as database:
            for *values, input_id in database.execute(_DATASETS, (run_id,)):
                tags = database.execute("SELECT name, value FROM input_tags WHERE input_uuid = ?", (input_id,))
                found.append({**dict(zip(names, values, strict=True)), "tags": dict(tags.fetchall())})
    except sqlite3.Error:
        # Older databases have no such tables.
        pass
    return found


def _artifact_folder(uri: str, run_id: str, base: Path, files_from: Sequence[Path]) -> Path | SourceProblem | None:
    """The folder of a run's files: where the database says, or at the same place below a store that was moved."""
    parts = urlsplit(uri)
    named = Path(unquote(parts.path)) if parts.scheme in ("", "file", "mlflow-artifacts") else None
    if named is None:
        return SourceProblem(f"run {run_id}", "", f"its files lie at {uri}, which is not read: download them first")
    roots = [folder.resolve() for folder in (base, base / "mlruns", base / "mlartifacts", *files_from)]
    inner = [part for part in named.parts if part not in (named.anchor, "..")]
    tails = [Path(*inner[at:]) for at in range(len(inner)) if run_id in inner[at:]]
    for folder in (named, *(root / tail for root in roots for tail in tails)):
        if folder.is_dir() and any(folder.resolve().is_relative_to(root) for root in roots):
            return folder.resolve()
    if parts.scheme != "mlflow-artifacts" and named.is_dir():
        return SourceProblem(f"run {run_id}", "", f"its files lie in {named}: to have them, add --files-from {named}")
    return None
