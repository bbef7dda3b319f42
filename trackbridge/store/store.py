"""The runs below a root: list them, find one, read its points and its curves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from trackbridge.errors import MisuseError, NotFoundError, nearest
from trackbridge.journal.tail import Tail
from trackbridge.settings import load_settings
from trackbridge.store.curves import DEFAULT_PIXELS, Curve
from trackbridge.store.index import Index, IndexTrouble
from trackbridge.store.liveness import Liveness
from trackbridge.store.opening import open_index, successor
from trackbridge.store.records import RunRecord, RunStatus, Series
from trackbridge.store.refresh import Snapshot, refresh
from trackbridge.store.scan import RootScan
from trackbridge.store.stored import StoredRecord, from_stored
from trackbridge.store.zoom import zoom

_Answer = TypeVar("_Answer")
_MAX_CANDIDATES = 10


def open_store(root: str | Path | None = None) -> Store:
    """The runs below `root` (setting `root`, by default `./trackbridge-runs`).

    Reading makes one file, `.trackbridge-index.sqlite3` in the root, which may be deleted at any time; where it
    cannot be written, the same is kept in memory.

    Raises:
        NotFoundError: there is no such folder.
        SettingsError: a setting has a value it cannot have.
    """
    settings = load_settings(root=root)
    folder = Path(os.path.abspath(settings.root))
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no folder {str(folder)!r} to read runs from: pass root=, set TRACKBRIDGE_ROOT, or record a run"
        )
    return Store(folder, Liveness(settings.lost_after_s))


class Store:
    """The runs below one root, read anew with every call of `runs`, `run` and `projects`. Safe for threads."""

    def __init__(self, root: Path, liveness: Liveness) -> None:
        self.root = root
        self._liveness = liveness
        self._scan = RootScan(root)
        self._snapshot = Snapshot(open_index(root), self._to_record)
        self._lock = threading.RLock()

    def runs(
        self, project: str | None = None, group: str | None = None, status: RunStatus | None = None
    ) -> list[RunRecord]:
        """The runs of a project, a group, a status, or all of them; oldest first.

        Raises:
            MisuseError: there is no such status.
        """
        if status is not None and status not in get_args(RunStatus):
            raise MisuseError(f"there is no status {status!r}{nearest(status, get_args(RunStatus))}")
        records = map(self._judged, self._records())
        return [
            record
            for record in records
            if project in (None, record.project) and group in (None, record.group) and status in (None, record.status)
        ]

    def run(self, selector: str) -> RunRecord:
        """The run with this id, this name or `project/name`, or the only one whose id begins so.

        Raises:
            NotFoundError: no run, or more than one; names those it could be.
        """
        records = self._records()
        by_id = [record for record in records if record.run_id == selector]
        by_name = [record for record in records if selector in (record.name, f"{record.project}/{record.name}")]
        by_prefix = [record for record in records if selector and record.run_id.startswith(selector)]
        found = by_id or by_name or by_prefix
        if len(found) == 1:
            return self._judged(found[0])
        if not found:
            known = nearest(selector, [record.name for record in records])
            raise NotFoundError(f"no run below {self.root} has the id or name {selector!r}{known}")
        could_be = f"{len(found)} runs; pass an id, or project/name: {_candidates(found)}"
        raise NotFoundError(f"{selector!r} could be {could_be}")

    def tail(self, run: RunRecord) -> Tail:
        """Follows what is written to the run's journals: its `read_new()` gives every event once, from the first on."""
        return Tail(Path(run.path))

    def projects(self) -> list[str]:
        """The names of the projects that have runs, in alphabetical order."""
        return sorted({record.project for record in self._records()})

    def curve(
        self,
        run: RunRecord,
        metric: str,
        *,
        start: int | None = None,
        stop: int | None = None,
        pixels: int = DEFAULT_PIXELS,
    ) -> Curve:
        """A metric for a picture `pixels` wide, from step `start` to step `stop`, both included.

        The lowest and the highest value in every pixel column are kept, so no spike is lost; few points are given
        as they are. It is read from the index as of the last listing, in milliseconds whatever the length.

        Raises:
            NotFoundError: the run has no such metric, or is gone.
            MisuseError: `pixels` is less than 1, or the run is another store's.
        """
        if pixels < 1:
            raise MisuseError(f"pixels is {pixels}; expected the width of a picture, such as {DEFAULT_PIXELS}")
        if metric not in run.metrics:
            raise NotFoundError(f"run {run.name!r} has no metric {metric!r}{nearest(metric, run.metrics)}")
        folder = self._folder_of(run)
        curve = self._ask(lambda index: zoom(index, folder, metric, start, stop, pixels))
        if not curve.n and not self._ask(lambda index: index.streams(folder, metric)):
            raise self._gone(folder, metric)
        return curve

    def _records(self) -> list[RunRecord]:
        with self._lock:
            self._ask(lambda index: refresh(self._snapshot, self._scan))
            records = list(self._snapshot.records.values())
        return sorted(records, key=lambda record: (record.started_ns, record.path))

    def _to_record(self, folder: str, stored: StoredRecord) -> RunRecord:
        return from_stored(stored, str(self.root / folder), partial(self._series, folder))

    def _series(self, folder: str, metric: str) -> Series:
        series = self._ask(lambda index: index.series(folder, metric))
        if not len(series):
            raise self._gone(folder, metric)
        return series

    def _gone(self, folder: str, metric: str) -> NotFoundError:
        return NotFoundError(f"the points of {metric!r} are gone: {folder} below {self.root} was deleted or changed")

    def _judged(self, record: RunRecord) -> RunRecord:
        if record.status != "running" or not record.sessions or self._liveness.is_alive(record.sessions[-1]):
            return record
        return replace(record, status="lost")

    def _folder_of(self, run: RunRecord) -> str:
        try:
            return Path(run.path).relative_to(self.root).as_posix()
        except ValueError:
            raise MisuseError(
                f"run {run.name!r} lies at {run.path}, not below {self.root}: ask the store it came from"
            ) from None

    def _ask(self, question: Callable[[Index], _Answer]) -> _Answer:
        with self._lock:
            while True:
                try:
                    return question(self._snapshot.index)
                except IndexTrouble as trouble:
                    # An index in memory has no successor: its trouble is raised, so this ends.
                    self._snapshot = Snapshot(successor(self._snapshot.index, trouble), self._to_record)
                    refresh(self._snapshot, self._scan)


def _candidates(records: Sequence[RunRecord]) -> str:
    shown = ", ".join(f"{record.run_id} ({record.project}/{record.name})" for record in records[-_MAX_CANDIDATES:])
    older = len(records) - _MAX_CANDIDATES
    return shown + (f", and {older} older ones" if older > 0 else "")
