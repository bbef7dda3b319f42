"""
Reads metrics from a table: CSV, TSV or JSON Lines, one row a step, one column a metric.

A column of numbers is a metric, one named `step`, `epoch`, `time` or `run` (or told to be) is that, and a column of
texts that is the same in all rows of a run is config. Nested objects in JSON Lines are flattened with `/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.errors import NotFoundError
from trackbridge.events.models import ConfigLogged, RunStarted
from trackbridge.sources.base import UNKNOWN_NS, Asked, Fact, Points, SourceProblem, SourceRun, Unmapped
from trackbridge.sources.columns import Columns, nanoseconds_in, number_in
from trackbridge.sources.table_rows import DELIMITERS, JSON_LINES, Place, Row, TableFile

MAX_OTHERS = 1_000
_OUR_OWN = b'{"kind":"'


class TabularSource:
    """A file of rows."""

    name: ClassVar[str] = "table"

    def recognises(self, place: str) -> bool:
        """True for a file with the ending of a table that is no journal of ours."""
        path = Path(place)
        if path.suffix.lower() not in (*DELIMITERS, *JSON_LINES) or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_OUR_OWN)) != _OUR_OWN

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """A run for each value of the column `run`, or one.

        Raises:
            NotFoundError: the file has no rows.
            MisuseError: a column was told of that is not there.
            SourceRefused: a line is absurdly long or nested.
        """
        file = TableFile(asked.path)
        columns = Columns(file.names, asked.columns)
        found: dict[str, _Part] = {}
        for row in file.rows():
            if isinstance(row.content, dict):
                name = _run_of(file, columns, row.content)
                part = found.get(name)
                found[name] = _Part(name, part.first if part else row, row.end)
                if columns.of("run") is None:
                    # It is one run, which is read to the end of the file.
                    break
        if not found:
            raise NotFoundError(f"there is no row in {str(asked.path)!r}")
        return [_run(file, columns, part) for part in found.values()]


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a file in which the rows of a run are; those of others may be among them."""

    name: str
    first: Row
    end: Place


def _run_of(file: TableFile, columns: Columns, row: Mapping[str, Any]) -> str:
    """Which run a row is of; the file's name where no column says."""
    column = columns.of("run")
    return str(row.get(column) or "") if column else file.path.stem


def _run(file: TableFile, columns: Columns, part: _Part) -> SourceRun:
    """A run, known again by its first row and the names: a table has no ids."""
    first = json.dumps(part.first.content, sort_keys=True, default=str).encode("utf-8", "replace")
    identity = f"{file.path.stem}/{part.name}/{hashlib.sha256(first).hexdigest()[:16]}"
    project = file.path.resolve().parent.name
    return SourceRun(identity, project, part.name, partial(_facts, file, columns, part, project))


def _facts(file: TableFile, columns: Columns, part: _Part, project: str) -> Iterator[Fact]:
    rest = _Rest(columns)
    started_ns = _time_in(columns, part.first.content) or UNKNOWN_NS
    yield RunStarted(seq=0, t=started_ns, project=project, name=part.name)
    position = 0
    # A file of one run is read to its end, where a last line may be torn.
    end = part.end if columns.of("run") else None
    for row in file.rows(part.first.begin, end):
        if isinstance(row.content, SourceProblem):
            yield row.content
        elif _run_of(file, columns, row.content) == part.name:
            yield from _row_facts(columns, row.content, position)
            rest.take(row.content)
            position += 1
    yield from rest.facts(started_ns)


class _Rest:
    """The cells of a run that are no numbers."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._measured: set[str] = set()
        self._others: dict[str, dict[str, Any]] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        """Keep what is no metric in a row."""
        for column, cell in row.items():
            if column in self._columns.metric and number_in(cell) is not None:
                self._measured.add(column)
            elif column in self._columns.metric or self._columns.role[column] == "config":
                seen = self._others.setdefault(column, {})
                if len(seen) < MAX_OTHERS:
                    seen[repr(cell)] = cell

    def facts(self, t: int) -> Iterator[Fact]:
        """Config, where a column says the same in all rows; else the cells as they are."""
        # A text among numbers is no setting, however constant it is.
        alike = {name: cells for name, cells in self._others.items() if len(cells) == 1 and name not in self._measured}
        config = {name: next(iter(cells.values())) for name, cells in alike.items()}
        if config:
            yield ConfigLogged(seq=0, t=t, scope="script", config=config)
        for column in sorted(self._others.keys() - config.keys()):
            yield Unmapped(t, column, list(self._others[column].values()))


def _time_in(columns: Columns, row: Mapping[str, Any] | SourceProblem) -> int | None:
    time = columns.of("time")
    return nanoseconds_in(row.get(time)) if time and isinstance(row, Mapping) else None


def _row_facts(columns: Columns, row: Mapping[str, Any], position: int) -> Iterator[Fact]:
    at = {role: number_in(row.get(name)) for role in ("step", "epoch") if (name := columns.of(role))}
    step, epoch = at.get("step"), at.get("epoch")
    if step is None or step != step // 1:
        # A step that is no whole number is one on the axis of epochs.
        step, epoch = position, epoch if step is None else step
    t = _time_in(columns, row)
    metrics = {
        name: number for column, name in columns.metric.items() if (number := number_in(row.get(column))) is not None
    }
    if metrics:
        yield Points(UNKNOWN_NS if t is None else t, int(step), metrics, epoch)
