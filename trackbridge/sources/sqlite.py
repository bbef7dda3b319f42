"""SQLite databases of unknown origin: opened for reading only, their tables checked to be what they are taken for."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from trackbridge.errors import SourceRefused

_MAGIC = b"SQLite format 3\0"
_MAX_VALUE_BYTES = 16 << 20


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, to a database that may be damaged.

    Raises:
        ValueError: it is no SQLite database.
        OSError: it cannot be read.
        sqlite3.Error: it cannot be opened.
    """
    if not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it is no SQLite database")
    # Without a write-ahead log nothing has to be locked, and no file is made beside the database.
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)
    # Damaged text is told as it is, not by an error that hides the rest.
    database.text_factory = partial(str, encoding="utf-8", errors="replace")
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    return database


def check_tables(database: sqlite3.Connection, path: Path, columns: Mapping[str, set[str]], *, whose: str) -> None:
    """Check that these tables are there with these columns; one of which none is asked for may be missing.

    Raises:
        ValueError: one is not there, or lacks a column.
        SourceRefused: one is a view, a query that could run for ever.
    """
    kinds = dict(database.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')").fetchall())
    if views := sorted(name for name in columns if kinds.get(name) == "view"):
        raise SourceRefused(f"{path}: {views[0]!r} is a view, a query of somebody's, and no table of {whose}")
    for table, wanted in columns.items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        if not wanted <= there:
            raise ValueError(f"it has no table {table!r} with {', '.join(sorted(wanted))}")
