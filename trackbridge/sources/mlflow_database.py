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

_MAGIC = b"SQLite format 3\0"
_COLUMNS = {
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
}
_DATASETS = (
    "SELECT name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile, input_uuid"
    " FROM datasets JOIN inputs ON inputs.source_id = dataset_uuid WHERE destination_id = ? ORDER BY input_uuid"
)
_MAX_VALUE_BYTES = 16 << 20


def is_database(path: Path) -> bool:
    """True for an SQLite file with MLflow's tables."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return False
        with closing(_connect(path)) as database:
            _check(database, path)
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
        with closing(_connect(path)) as database:
            _check(database, path)
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
        with closing(_connect(path)) as database:
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
        with closing(_connect(path)) as database:
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


def _connect(path: Path) -> sqlite3.Connection:
    # Without a write-ahead log nothing has to be locked, and no file is made beside the database.
    has_log = path.with_name(f"{path.name}-wal").exists()
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)
    # Damaged text is told as it is, not by an error that hides the rest.
    database.text_factory = partial(str, encoding="utf-8", errors="replace")
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    kinds = dict(database.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')").fetchall())
    if views := sorted(name for name in (*_COLUMNS, "datasets", "inputs", "input_tags") if kinds.get(name) == "view"):
        raise SourceRefused(f"{path}: {views[0]!r} is a view, a query of somebody's, and no table of MLflow")
    for table, columns in _COLUMNS.items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        if not columns <= there:
            raise ValueError(f"it has no table {table!r} with {', '.join(sorted(columns))}")
