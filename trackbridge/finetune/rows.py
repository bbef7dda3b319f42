"""Rows of a TSV, CSV, JSON Lines or text file, each with its line number, so that a bad one can be pointed at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trackbridge.errors import DataError, nearest
from trackbridge.finetune.blocks.block import TableFormat

Quoting = Literal["none", "csv"]
Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column name, or by number from 1 as text where the file has no header."""

    line: int
    columns: Columns
    file: Path

    def text(self, column: str | int) -> str:
        """The text in a column.

        Raises:
            DataError: there is no such column, or it holds something that is no text.
        """
        value = self.value(column)
        if not isinstance(value, str):
            raise self.error(f"column {column!r} holds {value!r}, expected a text")
        return value

    def value(self, column: str | int) -> Any:
        """What a column holds; a number names a column only where the file has no names.

        Raises:
            DataError: there is no such column; names the nearest.
        """
        key = self._key(column)
        if key not in self.columns:
            raise self.error(f"no column {column!r}{nearest(str(column), map(str, self.columns))}")
        return self.columns[key]

    def error(self, reason: str) -> DataError:
        """A `DataError` that says where."""
        return DataError(f"{self.file}, line {self.line}: {reason}")

    def _key(self, column: str | int) -> str:
        if isinstance(column, int):
            names = list(self.columns)
            return names[column - 1] if 0 < column <= len(names) else str(column)
        return column


def read_table(file: Path, table_format: TableFormat, *, quoting: Quoting | None, header: bool) -> Iterable[Row]:
    """The rows of a file in this format; `quoting` is by default what the format means by quotation marks.

    Raises:
        DataError: the file cannot be read, or a line is not what the format says.
    """
    if table_format == "jsonl":
        return read_json_lines(file)
    is_tsv = table_format == "tsv"
    default: Quoting = "none" if is_tsv else "csv"
    return read_delimited(file, delimiter="\t" if is_tsv else ",", quoting=quoting or default, header=header)


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, in UTF-8 with or without a byte order mark, without their ends.

    Raises:
        DataError: the file cannot be read.
    """
    return _lines(_text_of(file))


def read_delimited(file: Path, *, delimiter: str, quoting: Quoting, header: bool) -> Iterator[Row]:
    """The rows of a delimited file, in UTF-8 with or without a byte order mark.

    Raises:
        DataError: the file cannot be read, is empty, or a line has another number of columns than the first.
    """
    text = _text_of(file)
    lines = _quoted(text, delimiter, file) if quoting == "csv" else _unquoted(text, delimiter)
    names: list[str] = []
    for number, cells in lines:
        if not names:
            names = cells if header else [str(position) for position in range(1, len(cells) + 1)]
            _refuse_repeated(names, file)
            if header:
                continue
        if len(cells) != len(names):
            found = "an empty line" if cells in ([], [""]) else f"{len(cells)} columns"
            raise DataError(f"{file}, line {number}: {found}, expected {len(names)} columns ({', '.join(names)})")
        yield Row(number, dict(zip(names, cells, strict=True)), file)


def read_json_lines(file: Path) -> Iterator[Row]:
    """The objects of a JSON Lines file.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in enumerate(_lines(_text_of(file)), start=1):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {number}, column {error.colno}: not JSON: {error.msg}") from None
        if not isinstance(content, dict):
            raise DataError(f"{file}, line {number}: expected a JSON object, found {line[:60]!r}")
        yield Row(number, content, file)


def _text_of(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check data.folder and the file's name") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: byte {content[error.start]:#04x} is not UTF-8") from None


def _lines(text: str) -> list[str]:
    """Lines by \\n and \\r\\n alone: `str.splitlines` would also cut at characters that belong to a sentence."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _unquoted(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.split(delimiter)) for number, line in enumerate(_lines(text), start=1))


def _quoted(text: str, delimiter: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{file}, line {first_line}: {error}; if quotation marks are text in this file, set data.quoting: none"
            ) from None
        yield first_line, cells


def _refuse_repeated(names: list[str], file: Path) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{file}, line 1: the column {repeated[0]!r} comes twice; if it is no header, set header: false"
        )
