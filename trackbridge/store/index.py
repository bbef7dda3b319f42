"""
The index of a root: what journals say, kept in SQLite so that it need not be read twice.

It is the reader's alone, and disposable. Several readers may add to it at once; whoever finds that another was
faster drops what he read. All SQL of trackbridge is in this module.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import reduce
from itertools import groupby, pairwise
from pathlib import Path
from time import time_ns
from typing import Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from trackbridge.events.models import FORMAT_VERSION, KnownEvent
from trackbridge.journal.codec import decode_lines, encode
from trackbridge.store.chunks import CHUNK_POINTS, OUTLINE, Chunk, pack, unpack, unpack_steps
from trackbridge.store.filesystem import lies_on_network
from trackbridge.store.fold import fold_facts
from trackbridge.store.follow import JournalChange, JournalState
from trackbridge.store.records import MetricSummary, Series
from trackbridge.store.scan import Stamp
from trackbridge.store.series import (
    concatenate,
    in_step_order,
    join_summaries,
    merge,
    summarize,
    up_to,
)
from trackbridge.store.sessions import WriterLog
from trackbridge.store.stored import StoredRecord, to_stored

# Raise it with every change to the tables, to the bytes in them, or to what the fold makes of events.
SCHEMA_VERSION = 1
_USER_VERSION = SCHEMA_VERSION * 1000 + FORMAT_VERSION
_BUSY_TIMEOUT_S = 30.0

# ValueError is what decoding lines and arrays raises; an error of our own would come back from memory, and be seen.
_UNDECODABLE = (msgspec.DecodeError, ValueError)
IndexTrouble = (sqlite3.Error, *_UNDECODABLE)
"""What `Index` raises when its file cannot be used, or no longer; for `except`."""

_TABLES = """
CREATE TABLE generation (number INTEGER NOT NULL);
INSERT INTO generation VALUES ({generation});
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, changed INTEGER NOT NULL, facts BLOB NOT NULL DEFAULT x'',
    config BLOB NOT NULL DEFAULT x'', environment BLOB NOT NULL DEFAULT x'', summary BLOB NOT NULL DEFAULT x''
);
CREATE TABLE summary (run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE, metrics BLOB NOT NULL);
CREATE TABLE journals (
    journal INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, file TEXT NOT NULL,
    state BLOB NOT NULL, session INTEGER NOT NULL DEFAULT 0, last_step INTEGER, UNIQUE (run, file)
);
CREATE TABLE facts (
    fact INTEGER PRIMARY KEY, journal INTEGER NOT NULL REFERENCES journals ON DELETE CASCADE, lines BLOB NOT NULL
);
CREATE INDEX facts_of_journal ON facts (journal);
CREATE TABLE streams (
    stream INTEGER PRIMARY KEY, journal INTEGER NOT NULL REFERENCES journals ON DELETE CASCADE,
    metric TEXT NOT NULL, first_step INTEGER, summary BLOB, cut_at INTEGER, cut_summary BLOB,
    UNIQUE (journal, metric)
);
CREATE TABLE chunks (
    stream INTEGER NOT NULL REFERENCES streams ON DELETE CASCADE, number INTEGER NOT NULL, n INTEGER NOT NULL,
    first_step INTEGER NOT NULL, last_step INTEGER NOT NULL,
    outline BLOB NOT NULL, steps BLOB, points BLOB NOT NULL, times_ns BLOB NOT NULL, epochs BLOB,
    PRIMARY KEY (stream, number)
);
"""
_CHUNK_COLUMNS = "n, first_step, last_step, outline, steps, points, times_ns, epochs"

_state_decoder = msgspec.msgpack.Decoder(JournalState)
_summary_decoder = msgspec.msgpack.Decoder(MetricSummary)


def is_damage(trouble: Exception) -> bool:
    """True when the file itself is at fault, and not a lock, a full disk or a missing permission."""
    # SQLite tells damage as DatabaseError itself, and its surroundings as subclasses of it.
    is_of_sqlite = type(trouble) is sqlite3.DatabaseError or "no such" in str(trouble)
    return is_of_sqlite or isinstance(trouble, _UNDECODABLE)


@dataclass(frozen=True, slots=True)
class Stream:
    """The points of one metric in one journal: its session's number, and the last step that counts."""

    stream: int
    metric: str
    session: int
    last_step: int | None
    first_step: int
    summary: MetricSummary


class Index:
    """An open index. Not for several threads at once."""

    def __init__(self, path: Path | None) -> None:
        """
        Open the index at `path`, made if missing or of another version; None keeps it in memory.

        Raises:
            IndexTrouble: the file is damaged or cannot be written.
        """
        self.path = path
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # Python 3.13 warns of connections that nobody closed, and nobody closes `open_store(root).runs()`.
        self.close = weakref.finalize(self, self._connection.close)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All questions asked inside are answered from one and the same state."""
        with self._transaction("DEFERRED"):
            yield

    def generation(self) -> int:
        """A number that grows with every change by anybody."""
        return int(self._one("SELECT number FROM generation")[0])

    def folders(self) -> set[str]:
        """The folders of all runs, as `project/run_id`."""
        return {folder for (folder,) in self._all("SELECT folder FROM runs")}

    def stamps(self, since: int = 0) -> dict[str, dict[str, Stamp]]:
        """Per run folder that changed after a generation, its journal files as they were when last read."""
        found: dict[str, dict[str, Stamp]] = {}
        rows = self._all("SELECT folder, file, state FROM journals JOIN runs USING (run) WHERE changed > ?", since)
        for folder, file, state in rows:
            found.setdefault(folder, {})[file] = _state_decoder.decode(state).stamp
        return found

    def states(self, folder: str) -> dict[str, JournalState]:
        """How far each journal file of a run has been read."""
        rows = self._all("SELECT file, state FROM journals JOIN runs USING (run) WHERE folder = ?", folder)
        return {file: _state_decoder.decode(state) for file, state in rows}

    def records(self, since: int = 0) -> list[tuple[str, StoredRecord]]:
        """Every run folder that changed after a generation, and its record."""
        rows = self._all(
            "SELECT folder, facts, config, environment, runs.summary, metrics"
            " FROM runs JOIN summary USING (run) WHERE changed > ?",
            since,
        )
        return [(row[0], StoredRecord(*row[1:])) for row in rows]

    def forget(self, folders: Iterable[str]) -> None:
        """Drop these runs."""
        with self._writing():
            self._connection.executemany("DELETE FROM runs WHERE folder = ?", [(folder,) for folder in folders])

    def update(self, folder: str, changes: Sequence[JournalChange], gone: Iterable[str]) -> bool:
        """True when the changes of a run are in; False when another reader was faster: look again, then."""
        with self._writing():
            states = self.states(folder)
            if any(states.get(change.file) != change.known for change in changes):
                return False
            self._do("INSERT OR IGNORE INTO runs (folder, changed) VALUES (?, 0)", folder)
            (run,) = self._one("SELECT run FROM runs WHERE folder = ?", folder)
            for file in gone:
                self._do("DELETE FROM journals WHERE run = ? AND file = ?", run, file)
            for change in changes:
                self._apply(run, change)
            self._fold(run, folder)
        return True

    def streams(self, folder: str, metric: str) -> list[Stream]:
        """The points of one metric that count, by journal, in the order of their first steps."""
        found = self._streams("runs.folder = ? AND metric = ?", folder, metric)
        return [one for one in found if one.last_step is None or one.first_step <= one.last_step]

    def series(self, folder: str, metric: str) -> Series:
        """The points of one metric that count; none when the index does not know it."""
        with self.reading():
            return self._merged(metric, self.streams(folder, metric))

    def extents(self, stream: Stream, start: int, stop: int) -> list[tuple[int, int]]:
        """The number and the count of points of each chunk of a stream with points in a range of steps."""
        return self._all(
            "SELECT number, n FROM chunks WHERE stream = ? AND last_step >= ? AND first_step <= ? ORDER BY number",
            stream.stream, start, stop,
        )  # fmt: skip

    def outline(self, stream: Stream, first: int, last: int) -> NDArray[np.void]:
        """The outlines of these chunks of a stream, one after the other."""
        rows = self._all(
            "SELECT outline FROM chunks WHERE stream = ? AND number BETWEEN ? AND ? ORDER BY number",
            stream.stream, first, last,
        )  # fmt: skip
        return np.frombuffer(b"".join(outline for (outline,) in rows), OUTLINE)

    def points(self, stream: Stream, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The steps and values of these chunks of a stream, without their times and epochs."""
        rows = self._all(
            "SELECT n, first_step, last_step, steps, points FROM chunks"
            " WHERE stream = ? AND number BETWEEN ? AND ? ORDER BY number",
            stream.stream, first, last,
        )  # fmt: skip
        steps = np.concatenate([unpack_steps(*row[:4]) for row in rows])
        return steps, np.frombuffer(b"".join(row[4] for row in rows), "<f8")

    def _merged(self, metric: str, streams: Iterable[Stream]) -> Series:
        parts = [(one.session, up_to(self._load(one.stream, metric), one.last_step)) for one in streams]
        return merge(metric, parts)

    def _apply(self, run: int, change: JournalChange) -> None:
        if change.is_fresh:
            self._do("DELETE FROM journals WHERE run = ? AND file = ?", run, change.file)
        self._do(
            "INSERT INTO journals (run, file, state) VALUES (?, ?, ?)"
            " ON CONFLICT (run, file) DO UPDATE SET state = excluded.state",
            run, change.file, msgspec.msgpack.encode(change.state),
        )  # fmt: skip
        (journal,) = self._one("SELECT journal FROM journals WHERE run = ? AND file = ?", run, change.file)
        if change.batch.facts:
            lines = b"".join(encode(fact) for fact in change.batch.facts)
            self._do("INSERT INTO facts (journal, lines) VALUES (?, ?)", journal, lines)
        for series in change.batch.series().values():
            self._append(journal, series)

    def _append(self, journal: int, series: Series) -> None:
        found = self._streams("journals.journal = ? AND metric = ?", journal, series.name)
        if not found:
            self._do("INSERT INTO streams (journal, metric) VALUES (?, ?)", journal, series.name)
            (stream,) = self._one("SELECT last_insert_rowid()")
            self._write(stream, 0, series, summarize(series))
        elif int(series.steps[0]) > found[0].summary.last_step:
            stream, summary = found[0].stream, join_summaries(found[0].summary, summarize(series))
            number, n = self._one("SELECT max(number), n FROM chunks WHERE stream = ?", stream)
            if n < CHUNK_POINTS:
                series = concatenate(series.name, [self._load(stream, series.name, number), series])
            self._write(stream, number if n < CHUNK_POINTS else number + 1, series, summary)
        else:
            stream = found[0].stream
            series = in_step_order(concatenate(series.name, [self._load(stream, series.name), series]))
            self._write(stream, 0, series, summarize(series))

    def _write(self, stream: int, number: int, series: Series, summary: MetricSummary) -> None:
        """Replace the chunks from `number` on; the series holds their points, the summary those of all chunks."""
        self._do("DELETE FROM chunks WHERE stream = ? AND number >= ?", stream, number)
        self._connection.executemany(
            f"INSERT INTO chunks (stream, number, {_CHUNK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(stream, number + index, *astuple(chunk)) for index, chunk in enumerate(pack(series))],
        )
        (first_step,) = self._one("SELECT first_step FROM chunks WHERE stream = ? AND number = 0", stream)
        self._do(
            "UPDATE streams SET first_step = ?, summary = ?, cut_at = NULL WHERE stream = ?",
            first_step, msgspec.msgpack.encode(summary), stream,
        )  # fmt: skip

    def _load(self, stream: int, metric: str, number: int = 0) -> Series:
        rows = self._all(
            f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE stream = ? AND number >= ? ORDER BY number", stream, number
        )
        return unpack(metric, [Chunk(*row) for row in rows])

    def _fold(self, run: int, folder: str) -> None:
        logs = [self._log(*row) for row in self._all("SELECT journal, file, state FROM journals WHERE run = ?", run)]
        project, _, run_id = folder.partition("/")
        record, placed = fold_facts(run_id, project, "", logs)
        for one in placed:
            self._do(
                "UPDATE journals SET session = ?, last_step = ? WHERE run = ? AND file = ?",
                one.session, one.last_step, run, one.log.file,
            )  # fmt: skip
        metrics, n_superseded = self._visible_metrics(run)
        stored = to_stored(replace(record, metrics=metrics, n_superseded=n_superseded))
        self._do(
            "UPDATE runs SET changed = ?, facts = ?, config = ?, environment = ?, summary = ? WHERE run = ?",
            self.generation(), stored.facts, stored.config, stored.environment, stored.summary, run,
        )  # fmt: skip
        self._do("INSERT OR REPLACE INTO summary (run, metrics) VALUES (?, ?)", run, stored.metrics)

    def _log(self, journal: int, file: str, encoded: bytes) -> WriterLog:
        state = _state_decoder.decode(encoded)
        rows = self._all("SELECT lines FROM facts WHERE journal = ? ORDER BY fact", journal)
        # Only known kinds were written there.
        facts = cast(list[KnownEvent], decode_lines(b"".join(lines for (lines,) in rows)))
        return WriterLog(file, facts, state.first_ns or 0, state.last_ns, state.unknown_kinds, state.all_problems())

    def _visible_metrics(self, run: int) -> tuple[dict[str, MetricSummary], int]:
        metrics, n_superseded = {}, 0
        for metric, group in groupby(self._streams("journals.run = ?", run), key=lambda one: one.metric):
            streams = list(group)
            visible = [(one, summary) for one in streams if (summary := self._visible(one))]
            n_superseded += sum(one.summary.n for one in streams) - sum(summary.n for _, summary in visible)
            if all(before[1].last_step < after[0].first_step for before, after in pairwise(visible)):
                summaries = [summary for _, summary in visible]
            else:
                summaries = [summarize(self._merged(metric, [one for one, _ in visible]))]
            if summaries:
                metrics[metric] = reduce(join_summaries, summaries)
        return metrics, n_superseded

    def _visible(self, stream: Stream) -> MetricSummary | None:
        """The summary of the points that count; kept for those cut off, which means reading the points."""
        if stream.last_step is None or stream.summary.last_step <= stream.last_step:
            return stream.summary
        cut_at, kept = self._one("SELECT cut_at, cut_summary FROM streams WHERE stream = ?", stream.stream)
        if cut_at != stream.last_step:
            visible = up_to(self._load(stream.stream, stream.metric), stream.last_step)
            kept = msgspec.msgpack.encode(summarize(visible)) if len(visible) else None
            self._do(
                "UPDATE streams SET cut_at = ?, cut_summary = ? WHERE stream = ?",
                stream.last_step, kept, stream.stream,
            )  # fmt: skip
        return _summary_decoder.decode(kept) if kept else None

    def _streams(self, condition: str, *values: object) -> list[Stream]:
        rows = self._all(
            "SELECT stream, metric, session, last_step, first_step, streams.summary"
            " FROM streams JOIN journals USING (journal) JOIN runs USING (run)"
            f" WHERE {condition} ORDER BY metric, first_step, journal",
            *values,
        )
        return [
            Stream(stream, metric, session, last_step, first_step, _summary_decoder.decode(summary))
            for stream, metric, session, last_step, first_step, summary in rows
        ]

    def _prepare(self) -> None:
        if self.path:
            # WAL lets readers read while one of them writes, but wants memory that all of them share.
            self._do(f"PRAGMA journal_mode = {'DELETE' if lies_on_network(self.path.parent) else 'WAL'}")
        # In WAL mode this never damages the file; what a power cut takes from its end is read again.
        self._do("PRAGMA synchronous = NORMAL")
        if self._one("PRAGMA user_version")[0] != _USER_VERSION:
            self._make_anew()
        self._do("PRAGMA foreign_keys = ON")

    def _make_anew(self) -> None:
        with self._transaction("IMMEDIATE"):
            # Another reader may have made it while this one waited for its turn.
            if self._one("PRAGMA user_version")[0] == _USER_VERSION:
                return
            for (table,) in self._all("SELECT name FROM sqlite_master WHERE type = 'table'"):
                self._do(f'DROP TABLE "{table}"')
            # Counting on from the clock, an index made anew is never taken for the one before it.
            for statement in _TABLES.format(generation=time_ns()).split(";"):
                self._do(statement)
            self._do(f"PRAGMA user_version = {_USER_VERSION}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        # The write lock is taken before the first read, so that what was read is still so when writing.
        with self._transaction("IMMEDIATE"):
            self._do("UPDATE generation SET number = number + 1")
            yield

    @contextmanager
    def _transaction(self, lock: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
        self._do(f"BEGIN {lock}")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._do("COMMIT")

    def _do(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)

    def _all(self, question: str, *values: object) -> list[Any]:
        return self._connection.execute(question, values).fetchall()

    def _one(self, question: str, *values: object) -> Any:
        return self._connection.execute(question, values).fetchone()
