"""Brings an index up to date with the journals below a root, reading only what is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from trackbridge.store.follow import read_change
from trackbridge.store.index import Index
from trackbridge.store.records import RunRecord
from trackbridge.store.scan import RootScan, Stamp
from trackbridge.store.stored import StoredRecord


class Snapshot:
    """What an index says of all runs. Only runs that changed since the last look are fetched again."""

    def __init__(self, index: Index, to_record: Callable[[str, StoredRecord], RunRecord]) -> None:
        self.index = index
        self.stamps: dict[str, dict[str, Stamp]] = {}
        self.records: dict[str, RunRecord] = {}
        self._to_record = to_record
        self._generation = 0

    def look(self) -> None:
        """Catch up with the index."""
        with self.index.reading():
            generation = self.index.generation()
            if generation == self._generation:
                return
            self.stamps.update(self.index.stamps(since=self._generation))
            stored = self.index.records(since=self._generation)
            folders = self.index.folders()
        self.records.update({folder: self._to_record(folder, one) for folder, one in stored})
        for folder in self.records.keys() - folders:
            del self.records[folder]
            self.stamps.pop(folder, None)
        self._generation = generation


def refresh(snapshot: Snapshot, scan: RootScan) -> None:
    """The snapshot, and its index, tell what the journals told when this began, or something newer.

    Raises:
        IndexTrouble: the index cannot be used any longer.
    """
    snapshot.look()
    found = scan.look()
    if deleted := snapshot.records.keys() - found.keys():
        snapshot.index.forget(deleted)
    for folder, stamps in found.items():
        if snapshot.stamps.get(folder) != stamps:
            _refresh_run(snapshot.index, scan.root / folder, folder, stamps)
    snapshot.look()


def _refresh_run(index: Index, path: Path, folder: str, stamps: Mapping[str, Stamp]) -> None:
    unread = stamps
    # A large file takes several rounds, each a transaction of its own: other readers see it grow.
    while True:
        known = index.states(folder)
        changes = [
            read_change(path / file, known.get(file), stamp)
            for file, stamp in unread.items()
            if file not in known or known[file].stamp != stamp
        ]
        # A journal that is not in our list may be one that another reader saw after we looked.
        gone = [file for file in known.keys() - stamps.keys() if not (path / file).exists()]
        if index.update(folder, changes, gone):
            unread = {change.file: stamps[change.file] for change in changes if not change.state.is_read_through}
            if not unread:
                return
