"""
trackio's local data, read without trackio: one SQLite database for each project, media and artifacts beside it.

By default they lie in `~/.cache/huggingface/trackio`. A run is known by the id that trackio gave it, or where the
database is too old for ids by project and name. trackio does not note how a run ended.
Source of the tables: `trackio/sqlite_storage.py` of trackio 0.43.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.events.models import ConfigLogged, RunStarted
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Asked,
    Fact,
    Points,
    SourceArtifact,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.files import file_inside
from trackbridge.sources.json_values import parsed
from trackbridge.sources.sqlite import check_tables, read_only
from trackbridge.sources.trackio_values import other_facts, split

_NAMES = {"timestamp", "run_name"}
_TABLES: dict[str, set[str]] = {
    "metrics": {*_NAMES, "step", "metrics"},
    "configs": {"run_name", "config", "created_at"},
    # Older databases have none of these.
    "system_metrics": set(),
    "alerts": set(),
    "traces": set(),
    "artifacts": set(),
    "artifact_versions": set(),
    "run_artifact_links": set(),
}
_ARTIFACTS = (
    "SELECT name, type, version, manifest, metadata, direction, link.created_at FROM run_artifact_links AS link"
    " JOIN artifact_versions AS version ON version.id = artifact_version_id"
    " JOIN artifacts ON artifacts.id = artifact_id WHERE link.run_id = ? ORDER BY link.id"
)
_OWN = "_"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Run(NamedTuple):
    """A run in a database: `column` is what tells it from others there, and `key` its value."""

    path: Path
    column: str
    key: str
    name: str


class TrackioSource:
    """Reads trackio's databases."""

    name: ClassVar[str] = "trackio"

    def recognises(self, place: str) -> bool:
        """True for a database of trackio's, or a folder with one."""
        return any(map(_is_database, _databases(Path(place))))

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The runs of every database at the place."""
        found: list[SourceRun | SourceProblem] = []
        for path in _databases(asked.path):
            try:
                found += _runs(path)
            except ValueError as error:
                # A folder may hold databases of others.
                if asked.path.is_file():
                    found.append(SourceProblem(path.name, "", f"it is none of trackio's: {error}"))
        if not found:
            raise NotFoundError(f"there is no database of trackio's with runs in {asked.place!r}")
        return found


def _databases(place: Path) -> list[Path]:
    # Links are not followed: one may lead out of the place.
    return [place] if place.is_file() else sorted(path for path in place.glob("*.db") if not path.is_symlink())


def _is_database(path: Path) -> bool:
    try:
        with closing(read_only(path)) as database:
            check_tables(database, path, _TABLES, whose="trackio")
    except SourceRefused:
        return True
    except (OSError, sqlite3.Error, ValueError):
        return False
    return True


def _runs(path: Path) -> Iterator[SourceRun | SourceProblem]:
    """The runs of a database, or why it cannot be read; a `ValueError` where it is another's."""
    try:
        with closing(read_only(path)) as database:
            check_tables(database, path, _TABLES, whose="trackio")
            for run in _named(database, path):
                identity = run.key if run.column == "run_id" else f"{path.stem}/{run.key}"
                yield SourceRun(identity, path.stem, run.name, partial(_facts, run))
    except (sqlite3.Error, OSError) as error:
        yield SourceProblem(path.name, "", f"the database cannot be read: {error}")


def _named(database: sqlite3.Connection, path: Path) -> list[_Run]:
    """The runs in the order in which they first logged."""
    names: dict[str, str] = {}
    column = "run_id" if "run_id" in _columns(database, "metrics") else "run_name"
    for table in ("metrics", "configs", "system_metrics"):
        if column in _columns(database, table):
            # trackio renames all rows of a run at once.
            rows = database.execute(f"SELECT {column}, MAX(run_name) FROM {table} GROUP BY {column} ORDER BY MIN(id)")
            for key, name in rows:
                names.setdefault(str(key), str(name))
    return [_Run(path, column, key, name) for key, name in names.items()]


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}


def _facts(run: _Run) -> Iterator[Fact]:
    with closing(read_only(run.path)) as database:
        config, created = _config(database, run)
        first = [row["timestamp"] for table in ("metrics", "system_metrics") for row in _rows(database, run, table, 1)]
        started_ns = min((t for t in map(_time_ns, [created, *first]) if t), default=UNKNOWN_NS)
        group = config.pop("_Group", None)
        yield RunStarted(
            seq=0,
            t=started_ns,
            project=run.path.stem,
            name=run.name,
            group=None if group is None else str(group),
        )
        yield from (Unmapped(started_ns, name, config.pop(name)) for name in list(config) if name.startswith(_OWN))
        if config:
            yield ConfigLogged(seq=0, t=started_ns, scope="script", config=config)
        reading = "metrics"
        try:
            yield from _metrics(database, run)
            reading = "system_metrics"
            yield from _system(database, run, started_ns)
            for reading in ("alerts", "traces"):
                for number, row in enumerate(_rows(database, run, reading), 1):
                    yield Unmapped(_time_ns(row["timestamp"]), f"{reading}/{number}", _told(row))
            reading = "artifacts"
            yield from _artifacts(database, run)
        except sqlite3.Error as error:
            yield SourceProblem(run.path.name, f"{reading} of {run.name}", f"reading stopped here: {error}")


def _config(database: sqlite3.Connection, run: _Run) -> tuple[dict[str, Any], Any]:
    rows = database.execute(f"SELECT config, created_at FROM configs WHERE {run.column} = ?", (run.key,)).fetchall()
    if not rows:
        return {}, None
    config = parsed(_as_bytes(rows[-1][0]))
    return (dict(config) if isinstance(config, dict) else {"config": config}), rows[-1][1]


def _rows(database: sqlite3.Connection, run: _Run, table: str, limit: int = -1) -> Iterator[dict[str, Any]]:
    """The rows of a run, as they were written; none of a table that is not there."""
    if run.column not in _columns(database, table):
        return
    order = "rowid" if table == "traces" else "id"
    query = f"SELECT * FROM {table} WHERE {run.column} = ? ORDER BY {order} LIMIT ?"
    found = database.execute(query, (run.key, limit))
    names = [column[0] for column in found.description]
    for values in found:
        yield dict(zip(names, values, strict=True))


def _metrics(database: sqlite3.Connection, run: _Run) -> Iterator[Fact]:
    media_folder = run.path.parent / "media"
    for row in _rows(database, run, "metrics"):
        t, step = _time_ns(row["timestamp"]), row["step"]
        try:
            numbers, others = split(parsed(_as_bytes(row["metrics"])))
            step = int(step)
        except (ValueError, TypeError, AttributeError) as error:
            yield SourceProblem(run.path.name, f"metrics, row {row['id']}", f"it cannot be read: {error}")
            continue
        if numbers:
            yield Points(t, step, numbers)
        for name, value in others.items():
            yield from other_facts(t, step, name, value, media_folder)


def _system(database: sqlite3.Connection, run: _Run, started_ns: int) -> Iterator[Fact]:
    for row in _rows(database, run, "system_metrics"):
        t = _time_ns(row["timestamp"])
        try:
            numbers = split(parsed(_as_bytes(row["metrics"]))).numbers
        except (ValueError, TypeError, AttributeError) as error:
            yield SourceProblem(run.path.name, f"system_metrics, row {row['id']}", f"it cannot be read: {error}")
            continue
        if numbers:
            second = max(0, t - started_ns) // 1_000_000_000
            yield Points(t, second, {f"system/{name}": value for name, value in numbers.items()})


def _artifacts(database: sqlite3.Connection, run: _Run) -> Iterator[Fact]:
    if run.column != "run_id" or "direction" not in _columns(database, "run_artifact_links"):
        return
    blobs = run.path.parent / "artifacts" / run.path.stem / "blobs" / "sha256"
    for name, kind, version, manifest, metadata, direction, created in database.execute(_ARTIFACTS, (run.key,)):
        t, files = _time_ns(created), parsed(_as_bytes(manifest))
        about = {"version": version, "metadata": metadata, "direction": direction}
        yield Unmapped(t, f"artifacts/{name}:v{version}", about)
        for told in files if direction == "output" else ():
            digest, path = str(told["digest"]), str(told["path"])
            file = None
            if _DIGEST.fullmatch(digest):
                file = file_inside(blobs, f"{digest[:2]}/{digest}", named_by=str(name))
            if file is None:
                yield SourceProblem(run.path.name, f"artifact {name}", f"the bytes of {path!r} are not in {blobs}")
            else:
                yield SourceArtifact(t, str(name) if len(files) == 1 else f"{name}/{path}", str(kind), file)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    inner = ("run_id", "run_name", "id", "log_id", "space_id", "search_text")
    return {name: value for name, value in row.items() if name not in inner and value is not None}


def _time_ns(timestamp: Any) -> int:
    """A time in ISO 8601, in UTC where it says nothing else; one that is none is unknown."""
    try:
        at = datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
    except ValueError:
        return UNKNOWN_NS
    aware = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


def _as_bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
