"""A trackbridge adapter that keeps runs in an SQLite database, for whoever wants to ask about them in SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.description import Description
from trackbridge.adapters.shaping import media_gone, unknown_kind
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, CheckpointSaved, MediaLogged, MetricsLogged, UnknownEvent

_TABLES = """
CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY, project TEXT, name TEXT, "group" TEXT, notes TEXT,
    started_ns INTEGER, n_rows INTEGER DEFAULT 0, description TEXT DEFAULT '{}',
    status TEXT DEFAULT 'running', exit_code INTEGER, error TEXT, ended_ns INTEGER, console TEXT DEFAULT '');
CREATE TABLE IF NOT EXISTS points (run_id TEXT, metric TEXT, step INTEGER, time_ns INTEGER, value REAL);
CREATE TABLE IF NOT EXISTS media (run_id TEXT, name TEXT, media TEXT, step INTEGER, caption TEXT, content BLOB);
"""


class SqliteAdapter:
    """Keeps runs in `<folder>/runs.db`."""

    name: ClassVar[str] = "sqlite"
    capabilities: ClassVar[Capabilities] = Capabilities(
        online="changed",
        non_finite="changed",
        artifacts="no",
        rules={
            "online": "the same file as offline: a database on a disk has no server",
            "non_finite": "NaN is NULL, as SQLite has no NaN; infinities as they are",
            "artifacts": "the paths of checkpoints are kept in the description; files are not",
        },
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Begin the run, or go on with it; the database says how many rows it has."""
        self._run = run
        folder = self._folder or run.folder / "offline" / self.name
        with _told_as_transient():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "runs.db", timeout=30, check_same_thread=False)
            with self._database as database:
                database.executescript(_TABLES)
                labels = (run.run_id, run.project, run.name, run.group, run.notes, run.started_ns)
                insert = 'INSERT OR IGNORE INTO runs (run_id, project, name, "group", notes, started_ns)'
                database.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?)", labels)
                database.execute(_SET_ENDING, ("running", None, None, None, "", run.run_id))
                asked = "SELECT n_rows, description FROM runs WHERE run_id = ?"
                self._n_rows, description = database.execute(asked, (run.run_id,)).fetchone()
        self._description = msgspec.convert(json.loads(description), Description)
        return RemoteRef(run.run_id, str(folder / "runs.db"), delivered_rows=self._n_rows)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Write the rows that are new, and how many there are now, in one transaction: all of it, or nothing."""
        rejections: list[Rejection] = []
        with _told_as_transient(), self._database as database:
            for row in rows:
                is_new = row.number >= self._n_rows
                rejections += self._write(database, row) if is_new else self._rejections(row)
            self._n_rows = max(self._n_rows, *(row.number + 1 for row in rows), 0)
            description = json.dumps(msgspec.to_builtins(self._description))
            update = "UPDATE runs SET n_rows = ?, description = ? WHERE run_id = ?"
            database.execute(update, (self._n_rows, description, self._run.run_id))
        return Delivery(tuple(rejections))

    def flush(self, timeout_s: float) -> bool:
        """True: the transaction was committed before `deliver` returned."""
        return True

    def close(self, ending: Ending | None) -> None:
        """Note how the run ended; with None the run goes on."""
        with _told_as_transient():
            if ending is not None:
                with self._database as database:
                    facts = (ending.status, ending.exit_code, ending.error, ending.ended_ns, ending.console)
                    database.execute(_SET_ENDING, (*facts, self._run.run_id))
            self._database.close()

    def _write(self, database: sqlite3.Connection, row: Row) -> list[Rejection]:
        event, run_id = row.event, self._run.run_id
        self._description.take(event)
        if isinstance(event, MetricsLogged):
            points = [(run_id, metric, event.step, event.t, value) for metric, value in event.metrics.items()]
            database.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", points)
        rejections = self._rejections(row)
        if isinstance(event, MediaLogged) and not rejections:
            content = (self._run.folder / event.path).read_bytes()
            facts = (run_id, event.name, event.media, event.step, event.caption, content)
            database.execute("INSERT INTO media VALUES (?, ?, ?, ?, ?, ?)", facts)
        return rejections

    def _rejections(self, row: Row) -> list[Rejection]:
        event = row.event
        if isinstance(event, UnknownEvent):
            return [unknown_kind(row)]
        if isinstance(event, MediaLogged) and not (self._run.folder / event.path).is_file():
            return [media_gone(row.number, event)]
        if isinstance(event, ArtifactLogged):
            return [Rejection(row.number, "artifact_logged", event.name, "this adapter keeps no files")]
        if isinstance(event, CheckpointSaved) and row.upload is not None:
            return [Rejection(row.number, "checkpoint_saved", f"step-{event.step}", "this adapter keeps no files")]
        return []


_SET_ENDING = "UPDATE runs SET status = ?, exit_code = ?, error = ?, ended_ns = ?, console = ? WHERE run_id = ?"


@contextmanager
def _told_as_transient() -> Iterator[None]:
    """A database that is locked or a disk that is full may do better later; training has long gone on."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise TransientDeliveryError(f"the database cannot be written: {error}") from error
