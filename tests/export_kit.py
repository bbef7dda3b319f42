"""Exports of Neptune's service, written by the schema that neptune-exporter documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TIME = pa.timestamp("ms", "UTC")
HISTOGRAM = pa.struct([("type", pa.string()), ("edges", pa.list_(pa.float64())), ("values", pa.list_(pa.float64()))])
SCHEMA = pa.schema(
    [
        ("project_id", pa.string()),
        ("run_id", pa.string()),
        ("attribute_path", pa.string()),
        ("attribute_type", pa.string()),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", TIME),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", TIME),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
        ("histogram_value", HISTOGRAM),
    ]
)
_COLUMNS = {"file_set": "file", "artifact": "file"}


def row(path: str, kind: str, value: Any, step: float | None = None, at_ms: int | None = None) -> dict[str, Any]:
    """One row; `kind` is the exporter's word for the type."""
    column = kind.removesuffix("_series")
    exact = None if step is None else Decimal(str(step))
    return {
        "attribute_path": path,
        "attribute_type": kind,
        "step": exact,
        "timestamp": at_ms,
        f"{_COLUMNS.get(column, column)}_value": value,
    }


def write_run(
    data: Path, project: str, run_id: str, *parts: Iterable[dict[str, Any]], group_rows: int = 1000
) -> list[Path]:
    """The files of a run, each with its rows."""
    folder = data / sanitized(project)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, rows in enumerate(parts):
        table = pa.Table.from_pylist([{"project_id": project, "run_id": run_id, **one} for one in rows], schema=SCHEMA)
        paths.append(folder / f"{sanitized(run_id)}_part_{number}.parquet")
        pq.write_table(table, paths[-1], compression="snappy", row_group_size=group_rows)
    return paths


def write_file(files: Path, project: str, path: str, content: bytes) -> None:
    """A file where the exporter downloads it to."""
    target = files / sanitized(project) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def sanitized(name: str) -> str:
    """The exporter's names for folders and files."""
    readable = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
    return f"{readable}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
