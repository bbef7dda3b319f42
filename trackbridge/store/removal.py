"""
What can be deleted below a root, and its deletion.

A run is renamed out of sight before its files go, so that no reader ever sees half of it; what an interrupted
deletion left is found as a leftover.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trackbridge.journal.paths import features_folder, is_draft, journal_files, run_folders
from trackbridge.store.opening import FILE_NAME
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store

# Younger ones may belong to a process that is just writing them.
LEFTOVER_AGE_S = 3600.0

_REMOVING = ".removing-"


@dataclass(frozen=True, slots=True)
class Deletable:
    """Something that can go: a file or folder, what it is, and the bytes that frees."""

    path: Path
    what: str
    size_bytes: int


def deletable(path: Path, what: str) -> Deletable:
    """The same for a path, with what it holds now."""
    return Deletable(path, what, _size_bytes(path))


def leftovers(store: Store) -> list[Deletable]:
    """What nobody needs below a root: leftovers of interrupted work, superseded kept checkpoints, caches, the index."""
    root = store.root
    found = [*_half_deleted(root), *_drafts(root), *_empty_runs(root)]
    found += [one for record in store.runs() for one in _superseded(record)]
    if features_folder(root).is_dir():
        found.append(deletable(features_folder(root), "features of frozen encoders, computed anew when needed"))
    return found + [deletable(file, "index, made anew when needed") for file in sorted(root.glob(f"{FILE_NAME}*"))]


def delete_run(folder: Path) -> None:
    """Delete a run with all that is in its folder, and the project's folder if that empties it.

    Raises:
        OSError: it cannot be deleted, or not all of it: then it is a leftover.
    """
    doomed = folder.with_name(_REMOVING + folder.name)
    folder.rename(doomed)
    delete(doomed)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it.

    Raises:
        OSError: it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        # SQLite takes the files beside an index along when the last reader closes it.
        path.unlink(missing_ok=True)


def _superseded(run: RunRecord) -> Iterator[Deletable]:
    """Kept copies of checkpoints that a resume went back behind, unless a later checkpoint took their place."""
    folder = Path(run.path).resolve()
    kept = {one.kept for one in run.checkpoints if one.superseded} - {
        one.kept for one in run.checkpoints if not one.superseded
    }
    for name in sorted(filter(None, kept)):
        path = (folder / name).resolve()
        # A journal from elsewhere may name any path; only what lies in the run's own folder is its to delete.
        if path.exists() and folder in path.parents:
            yield deletable(path, f"kept checkpoint of {run.name!r}, superseded by a resume")


def _half_deleted(root: Path) -> Iterator[Deletable]:
    for folder in sorted(root.glob(f"*/{_REMOVING}*")):
        yield deletable(folder, "run whose deletion was interrupted")


def _drafts(root: Path) -> Iterator[Deletable]:
    """Files and folders that were being written under a temporary name when their process died."""
    for path in sorted(root.glob("*/*/files/**/.*")):
        if is_draft(path) and _is_old(path):
            yield deletable(path, "draft whose writer is gone")


def _empty_runs(root: Path) -> Iterator[Deletable]:
    for folder in sorted(run_folders(root)):
        if not journal_files(folder) and _is_old(folder):
            yield deletable(folder, "folder of a run without any journal")


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > LEFTOVER_AGE_S


def _size_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and not one.is_symlink())
