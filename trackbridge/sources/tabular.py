"""
Reads metrics from a table: CSV, TSV or JSON Lines, one row a step, one column a metric.

A column of numbers is a metric, one named `step`, `epoch`, `time` or `run` (or told to be) is that, and a column of
texts that is the same in all rows of a run is config. Nested objects in JSON Lines are flattened with `/`.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TextIO

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.events.models import ConfigLogged, RunStarted
from trackbridge.sources.base import UNKNOWN_NS, Asked, Fact, Points, SourceProblem, SourceRun, Unmapped
from trackbridge.sources.columns import Columns, nanoseconds_in, number_in

MAX_LINE = 16 << 20
MAX_COLUMNS = 100_000
MAX_DEPTH = 50
MAX_OTHERS = 1_000
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_OUR_OWN = '{"kind":"'


class TabularSource:
    """A file of rows."""

    name: ClassVar[str] = "table"

    def recognises(self, place: str) -> bool:
        """True for a file with the ending of a table that is no journal of ours."""
        path = Path(place)
        if path.suffix.lower() not in (*_DELIMITERS, *_JSON_LINES) or not path.is_file():
            return False
        with _opened(path) as file:
            return not file.read(len(_OUR_OWN)).startswith(_OUR_OWN)

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """A run for each value of the column `run`, or one.

        Raises:
            NotFoundError: the file has no rows.
            MisuseError: a column was told of that is not there.
            SourceRefused: a line is absurdly long or nested.
        """
        table = _Table(asked.path, asked.columns)
        first: dict[str, Mapping[str, Any]] = {}
        for row in table.rows():
            if not isinstance(row, SourceProblem):
                first.setdefault(table.run_of(row), row)
        if not first:
            raise NotFoundError(f"there is no row in {str(asked.path)!r}")
        return [_run(table, name, row) for name, row in first.items()]


class _Table:
    """The rows of a file, each read when it is asked for."""

    def __init__(self, path: Path, told: Mapping[str, str]) -> None:
        self.path = path
        self._is_json = path.suffix.lower() in _JSON_LINES
        self.columns = Columns(self._names(), told)

    def run_of(self, row: Mapping[str, Any]) -> str:
        """Which run a row is of; the file's name where no column says."""
        column = self.columns.of("run")
        return str(row.get(column) or "") if column else self.path.stem

    def rows(self) -> Iterator[dict[str, Any] | SourceProblem]:
        """Each row by column, and a problem for each line that is none."""
        return self._json_rows() if self._is_json else self._csv_rows()

    def _names(self) -> list[str]:
        if self._is_json:
            rows = (row for row in self._json_rows() if not isinstance(row, SourceProblem))
            return list(dict.fromkeys(name for row in rows for name in row))
        with _opened(self.path) as file:
            return _unique(next(self._reader(file), []))

    def _reader(self, file: TextIO) -> Any:
        return csv.reader(_lines(self.path, file), delimiter=_DELIMITERS[self.path.suffix.lower()])

    def _csv_rows(self) -> Iterator[dict[str, Any] | SourceProblem]:
        last = _unended_line(self.path)
        with _opened(self.path) as file:
            reader = self._reader(file)
            names = _unique(next(reader, []))
            while True:
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield SourceProblem(self.path.name, f"line {reader.line_num}", str(error))
                    continue
                if cells is None:
                    return
                if reader.line_num == last:
                    # Half of 0.125 is 0.1, which looks as good.
                    reason = "has no line end, so it may be torn: add one if it is whole"
                    yield SourceProblem(self.path.name, f"line {last}", reason)
                elif len(cells) > len(names):
                    reason = f"{len(cells)} cells under {len(names)} columns"
                    yield SourceProblem(self.path.name, f"line {reader.line_num}", reason)
                elif any(cells):
                    yield {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}

    def _json_rows(self) -> Iterator[dict[str, Any] | SourceProblem]:
        with _opened(self.path) as file:
            for number, line in enumerate(_lines(self.path, file), start=1):
                try:
                    row = json.loads(line) if line.strip() else {}
                except RecursionError as error:
                    raise SourceRefused(f"{self.path}, line {number}: nested deeper than any row is") from error
                except ValueError as error:
                    yield SourceProblem(self.path.name, f"line {number}", str(error))
                    continue
                if not isinstance(row, dict):
                    yield SourceProblem(self.path.name, f"line {number}", f"no object: {line.strip()[:60]}")
                elif row:
                    yield dict(_flat(row))


def _run(table: _Table, name: str, first: Mapping[str, Any]) -> SourceRun:
    """`first` is the run's first row, which with the names tells it from others: a table has no ids."""
    digest = hashlib.sha256(json.dumps(first, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()[:16]
    project = table.path.resolve().parent.name
    return SourceRun(f"{table.path.stem}/{name}/{digest}", project, name, partial(_facts, table, name, first))


def _facts(table: _Table, name: str, first: Mapping[str, Any]) -> Iterator[Fact]:
    columns = table.columns
    time, project = columns.of("time"), table.path.resolve().parent.name
    started_ns = (nanoseconds_in(first.get(time)) if time else None) or UNKNOWN_NS
    yield RunStarted(seq=0, t=started_ns, project=project, name=name)
    others: dict[str, dict[str, Any]] = {}
    measured: set[str] = set()
    position = 0
    for row in table.rows():
        if isinstance(row, SourceProblem):
            yield row
        elif table.run_of(row) == name:
            yield from _row_facts(columns, row, position)
            position += 1
            for column, cell in row.items():
                if column in columns.metric and number_in(cell) is not None:
                    measured.add(column)
                elif column in columns.metric or columns.role[column] == "config":
                    seen = others.setdefault(column, {})
                    if len(seen) < MAX_OTHERS:
                        seen[repr(cell)] = cell
    # A text among numbers is no setting, however constant it is.
    config = {name: next(iter(cells.values())) for name, cells in others.items() if len(cells) == 1}
    config = {name: cell for name, cell in config.items() if name not in measured}
    if config:
        yield ConfigLogged(seq=0, t=started_ns, scope="script", config=config)
    for column in sorted(others.keys() - config.keys()):
        yield Unmapped(started_ns, column, list(others[column].values()))


def _row_facts(columns: Columns, row: Mapping[str, Any], position: int) -> Iterator[Fact]:
    at = {role: number_in(row.get(name)) for role in ("step", "epoch") if (name := columns.of(role))}
    step, epoch = at.get("step"), at.get("epoch")
    if step is None or step != step // 1:
        # A step that is no whole number is one on the axis of epochs.
        step, epoch = position, epoch if step is None else step
    time = columns.of("time")
    t = nanoseconds_in(row.get(time)) if time else None
    metrics = {
        name: number for column, name in columns.metric.items() if (number := number_in(row.get(column))) is not None
    }
    if metrics:
        yield Points(UNKNOWN_NS if t is None else t, int(step), metrics, epoch)


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise SourceRefused(f"{path}, line {number}: longer than {MAX_LINE >> 20} MB")
        yield line


def _unended_line(path: Path) -> int | None:
    """The number of the last line where it has no line end."""
    with _opened(path) as file:
        number, last = 0, "\n"
        for line in _lines(path, file):
            number, last = number + 1, line
    return None if last.endswith(("\n", "\r")) else number


def _unique(names: Sequence[str]) -> list[str]:
    """The names of a header, each once: a second `loss` is `loss (2)`."""
    if len(names) > MAX_COLUMNS:
        raise SourceRefused(f"{len(names)} columns, more than {MAX_COLUMNS}")
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _flat(row: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise SourceRefused(f"a row is nested deeper than {MAX_DEPTH} levels")
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/", depth + 1)
        else:
            yield f"{prefix}{name}", value
