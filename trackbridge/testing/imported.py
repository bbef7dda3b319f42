"""What an import wrote, for tests: its files byte by byte, and every point that its journals hold."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from trackbridge.events.models import MetricsLogged
from trackbridge.journal.paths import run_folders
from trackbridge.testing.written import events_of


class LoggedPoint(NamedTuple):
    """One value in a journal; as text, because NaN is equal to nothing."""

    run_id: str
    metric: str
    step: int
    t: int
    value: str


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder by its relative name; but for the index and locks, which say nothing."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (path.parent == folder and path.name.startswith("."))
    }


def logged_points(root: Path) -> list[LoggedPoint]:
    """Every point of every run below a root, one that was written twice twice; the journals must be whole.

    Raises:
        AssertionError: a journal is damaged.
    """
    if not root.is_dir():
        return []
    return [
        LoggedPoint(folder.name, name, event.step, event.t, repr(value))
        for folder in run_folders(root)
        for event in events_of(folder, MetricsLogged)
        for name, value in event.metrics.items()
    ]
