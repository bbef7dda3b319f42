"""The rows of a file of CSV, TSV or JSON Lines, from any place on: each run of a large table is read by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import SourceProblem

MAX_LINE = 16 << 20
MAX_COLUMNS = 100_000
MAX_DEPTH = 50
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")


class Place(NamedTuple):
    """Where a line begins: the byte, and how many lines are before it."""

    at: int = 0
    line: int = 0


START = Place()


class Row(NamedTuple):
    """A row by column, or a problem in place of one; from which place to which it goes."""

    content: dict[str, Any] | SourceProblem
    begin: Place
    end: Place


class TableFile:
    """A file of rows. `names` are its columns, those of JSON Lines in the order in which they appear."""

    def __init__(self, path: Path) -> None:
        """
        Read the names of the columns.

        Raises:
            SourceRefused: a line is absurdly long, wide or nested.
            OSError: the file cannot be read.
        """
        self.path = path
        self._is_json = path.suffix.lower() in JSON_LINES
        if self._is_json:
            rows = (row.content for row in self._json_rows(START))
            self.names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
        else:
            with path.open("rb") as file:
                self.names = _unique(next(self._reader(_Lines(path, file, START)), []))

    def rows(self, begin: Place = START, end: Place | None = None) -> Iterator[Row]:
        """The rows between two places.

        Raises:
            SourceRefused: a line is absurdly long or nested.
            OSError: the file cannot be read.
        """
        for row in self._json_rows(begin) if self._is_json else self._csv_rows(begin):
            if end is not None and row.begin >= end:
                return
            yield row

    def _reader(self, lines: _Lines) -> Any:
        return csv.reader(lines, delimiter=DELIMITERS[self.path.suffix.lower()])

    def _csv_rows(self, begin: Place) -> Iterator[Row]:
        with self.path.open("rb") as file:
            lines = _Lines(self.path, file, begin)
            reader = self._reader(lines)
            if begin == START:
                next(reader, None)
            while True:
                start = lines.place
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield Row(self._problem(lines.place, str(error)), start, lines.place)
                    continue
                if cells is None:
                    return
                if (content := self._content(cells, lines)) is not None:
                    yield Row(content, start, lines.place)

    def _content(self, cells: Sequence[str], lines: _Lines) -> dict[str, Any] | SourceProblem | None:
        if not lines.is_ended:
            # Half of 0.125 is 0.1, which looks as good.
            return self._problem(lines.place, "has no line end, so it may be torn: add one if it is whole")
        if len(cells) > len(self.names):
            return self._problem(lines.place, f"{len(cells)} cells under {len(self.names)} columns")
        return {name: cell for name, cell in zip(self.names, cells, strict=False) if cell.strip()} or None

    def _json_rows(self, begin: Place) -> Iterator[Row]:
        with self.path.open("rb") as file:
            lines = _Lines(self.path, file, begin)
            start = lines.place
            for line in lines:
                if line.strip():
                    yield Row(self._parsed(line, lines.place), start, lines.place)
                start = lines.place

    def _parsed(self, line: str, place: Place) -> dict[str, Any] | SourceProblem:
        try:
            row = json.loads(line)
        except RecursionError as error:
            raise SourceRefused(f"{self.path}, line {place.line}: nested deeper than any row is") from error
        except ValueError as error:
            return self._problem(place, str(error))
        return dict(_flat(row)) if isinstance(row, dict) else self._problem(place, f"no object: {line.strip()[:60]}")

    def _problem(self, place: Place, reason: str) -> SourceProblem:
        return SourceProblem(self.path.name, f"line {place.line}", reason)


class _Lines:
    """The lines of a file as text; `place` is behind the one that was handed out last."""

    def __init__(self, path: Path, file: BinaryIO, begin: Place) -> None:
        self._path, self._file = path, file
        self.place = begin
        self.is_ended = True
        file.seek(begin.at)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        is_first = self.place == START
        self.place = Place(self.place.at + len(line), self.place.line + 1)
        if len(line) == MAX_LINE:
            raise SourceRefused(f"{self._path}, line {self.place.line}: longer than {MAX_LINE >> 20} MB")
        self.is_ended = line.endswith((b"\n", b"\r"))
        text = line.decode("utf-8", "replace")
        return text.removeprefix("\ufeff") if is_first else text


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
