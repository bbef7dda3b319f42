"""Brings the index up to date with the journals below a root, reading only what is new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trackbridge.store.follow import read_change
from trackbridge.store.index import Index
from trackbridge.store.scan import RootScan, Stamp


def refresh(index: Index, scan: RootScan) -> None:
    """The index tells what the journals told when this began, or something newer.

    Raises:
        IndexTrouble: the index cannot be used any longer.
    """
    known, found = index.states(), scan.look()
    if deleted := known.keys() - found.keys():
        index.forget(deleted)
    for folder, stamps in found.items():
        states = known.get(folder, {})
        if {file: state.stamp for file, state in states.items()} != stamps:
            _refresh_run(index, scan.root / folder, folder, stamps)


def _refresh_run(index: Index, path: Path, folder: str, stamps: Mapping[str, Stamp]) -> None:
    unread = stamps
    # A large file takes several rounds, each a transaction of its own: other readers see it grow.
    while True:
        known = index.states_of(folder)
        changes = [
            read_change(path / file, known.get(file), stamp)
            for file, stamp in unread.items()
            if file not in known or known[file].stamp != stamp
        ]
        if index.update(folder, changes, gone=known.keys() - stamps.keys()):
            unread = {change.file: stamps[change.file] for change in changes if not change.state.is_read_through}
            if not unread:
                return
