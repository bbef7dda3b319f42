"""
The Parquet files of neptune-exporter: one row for each field, and for each point of a series, of one run.

Rows are streamed, a batch at a time, so the memory needed does not grow with the export.
Source of the schema: `src/neptune_exporter/model.py` of github.com/neptune-ai/neptune-exporter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from trackbridge.errors import MissingDependencyError, SourceRefused
from trackbridge.sources.base import UNKNOWN_NS, SourceFile, SourceProblem

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 16_384
# Of one column in one group of rows. The exporter begins a new file after 50 MB.
_MAX_COLUMN_BYTES = 4 << 30
_MOST_COMPRESSED, _SMALL_BYTES = 10_000, 256 << 20

SERIES = {
    "float_series": ("float_value",),
    "string_series": ("string_value",),
    "histogram_series": ("histogram_value",),
    "file_series": ("file_value",),
}
FIELDS = {
    "int": "int_value",
    "float": "float_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
    "file": "file_value",
    "file_set": "file_value",
    "artifact": "file_value",
}
_PLACE = ("attribute_path", "attribute_type", "step", "timestamp")


class Row(NamedTuple):
    """One row: the field, its type, step and time (nanoseconds) where it has them, and the value."""

    path: str
    kind: str
    step: float | None
    t: int
    value: Any


def identity_of(file: SourceFile) -> tuple[str, str] | SourceProblem:
    """The project and the id of the run in a file."""
    try:
        with file.open() as opened, closing(_parquet(opened, file)) as parquet:
            for batch in parquet.iter_batches(batch_size=1, columns=["project_id", "run_id"], row_groups=[0]):
                row = batch.to_pylist()[0]
                return str(row["project_id"]), str(row["run_id"])
    except (SourceRefused, MissingDependencyError):
        raise
    except Exception as error:  # noqa: BLE001 - Arrow raises errors of many kinds for a damaged file
        return SourceProblem(file.name, "", f"it cannot be read: {error}")
    return SourceProblem(file.name, "", "it holds no rows")


def rows_of(file: SourceFile, kinds: Sequence[str]) -> Iterator[Row | SourceProblem]:
    """The rows of a file that are of some of the types; where a group of rows is damaged, the next one is read."""
    try:
        with file.open() as opened, closing(_parquet(opened, file)) as parquet:
            for group in range(parquet.num_row_groups):
                yield from _group(parquet, file, group, kinds)
    except (SourceRefused, MissingDependencyError):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        yield SourceProblem(file.name, "", f"it cannot be read: {error}")


def _group(parquet: ParquetFile, file: SourceFile, group: int, kinds: Sequence[str]) -> Iterator[Row | SourceProblem]:
    there = set(parquet.schema_arrow.names)
    wanted = {name for kind in kinds for name in ((FIELDS[kind],) if kind in FIELDS else SERIES[kind])}
    columns = [name for name in (*_PLACE, *sorted(wanted)) if name in there]
    number = 0
    try:
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns, row_groups=[group]):
            yield from _rows(batch, kinds)
            number += batch.num_rows
    except Exception as error:  # noqa: BLE001 - as above
        yield SourceProblem(file.name, f"group of rows {group}, after row {number}", f"it cannot be read: {error}")


def _rows(batch: RecordBatch, kinds: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.compute as pc

    batch = batch.filter(pc.is_in(batch["attribute_type"], pa.array(list(kinds))))
    if not batch.num_rows:
        return
    steps = pc.cast(batch["step"], pa.float64()).to_pylist()
    times = pc.cast(pc.cast(batch["timestamp"], pa.timestamp("ms", "UTC")), pa.int64()).to_pylist()
    columns = {name: batch[name] for name in batch.schema.names if name.endswith("_value")}
    values = {
        name: pc.cast(column, pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()
        if name == "datetime_value"
        else column.to_pylist()
        for name, column in columns.items()
    }
    paths, types = batch["attribute_path"].to_pylist(), batch["attribute_type"].to_pylist()
    for at, (path, kind, step, at_ms) in enumerate(zip(paths, types, steps, times, strict=True)):
        column = FIELDS[kind] if kind in FIELDS else SERIES[kind][0]
        value = values[column][at] if column in values else None
        yield Row(str(path), kind, step, _nanoseconds(at_ms), value)


def _nanoseconds(at_ms: int | None) -> int:
    return at_ms * 1_000_000 if at_ms is not None and at_ms > 0 else UNKNOWN_NS


def _parquet(opened: Any, file: SourceFile) -> ParquetFile:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError.for_extra("reading a Neptune export", "pyarrow", "parquet") from error
    parquet = pq.ParquetFile(opened)
    _check_sizes(parquet, file)
    return parquet


def _check_sizes(parquet: ParquetFile, file: SourceFile) -> None:
    metadata = parquet.metadata
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            size, packed = column.total_uncompressed_size, max(1, column.total_compressed_size)
            if size > _MAX_COLUMN_BYTES or (size > _SMALL_BYTES and size // packed > _MOST_COMPRESSED):
                told = (
                    f"{file.name!r} says that {packed} bytes of its column {column.path_in_schema!r} unpack to {size}"
                )
                raise SourceRefused(told)
