"""
Opens the index of a root, and finds another when it fails: its file, the file made anew, or one in memory.

The file is `<root>/.trackbridge-index.sqlite3`. It may be deleted at any time.
"""

from __future__ import annotations

from pathlib import Path

from trackbridge.journal.paths import run_folder_names
from trackbridge.store.index import Index, IndexTrouble, is_damage

FILE_NAME = ".trackbridge-index.sqlite3"


def open_index(root: Path) -> Index:
    """The index of a root: in its file where that can be used, else in memory."""
    path = root / FILE_NAME
    if not path.exists() and next(run_folder_names(root), None) is None:
        # A folder that holds no runs may not be ours: it gets no file from being looked at.
        return Index(None)
    try:
        return Index(path)
    except IndexTrouble as trouble:
        if not is_damage(trouble) or not _remove(path):
            return Index(None)
    try:
        return Index(path)
    except IndexTrouble:
        return Index(None)


def successor(index: Index, trouble: Exception) -> Index:
    """An empty index in memory, to use instead of one that met with trouble; a damaged file is removed.

    The next reader makes the file anew. This one does not: were the damage of our own making, it would not end.

    Raises:
        Exception: the trouble itself, for an index in memory.
    """
    index.close()
    if index.path is None:
        raise trouble
    if is_damage(trouble):
        _remove(index.path)
    return Index(None)


def _remove(path: Path) -> bool:
    """True when the file and what SQLite keeps beside it are gone."""
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError:
        return False
    return True
