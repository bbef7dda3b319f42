"""
`trackbridge rm` and `trackbridge gc`: the only commands that delete, and they ask first.

A run is renamed out of sight before its files go, so that no reader ever sees half of it; `gc` clears what an
interrupted deletion left.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import RootOption, open_root
from trackbridge.errors import MisuseError

if TYPE_CHECKING:
    from trackbridge.store.records import RunRecord

# Younger ones may belong to a process that is just writing them.
LEFTOVER_AGE_S = 3600.0

_REMOVING = ".removing-"
_DRAFT = re.compile(r"\..+\.\d+")

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that can go: a file or folder, why, and the bytes that frees."""

    path: Path
    reason: str
    size_bytes: int


def remove(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, prefixes of ids, or names.")],
    yes: YesOption = False,
    root: RootOption = None,
) -> None:
    """Delete runs with everything in their folders. Asks first; a run that is still running is refused."""
    store = open_root(root)
    records = list({record.run_id: record for record in map(store.run, runs)}.values())
    running = [record.name for record in records if record.status == "running"]
    if running:
        raise MisuseError(f"{', '.join(map(repr, running))} is still running: end it first, nothing was deleted")
    doomed = [Leftover(Path(one.path), f"run {one.name!r} of {one.project}", _size(Path(one.path))) for one in records]
    _confirm(doomed, yes)
    for one in doomed:
        _delete_run(one.path)


def collect_garbage(
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    root: RootOption = None,
) -> None:
    """Delete what nobody needs: leftovers of interrupted work, superseded kept checkpoints, the index. Asks first."""
    store = open_root(root)
    leftovers = [*_half_deleted(store.root), *_drafts(store.root), *_empty_runs(store.root)]
    leftovers += [leftover for record in store.runs() for leftover in _superseded(record)]
    leftovers += [
        _leftover(file, "index, made anew when needed") for file in sorted(store.root.glob(".trackbridge-index*"))
    ]
    if not leftovers:
        typer.echo("nothing to delete")
        return
    if dry_run:
        _list(leftovers)
        return
    _confirm(leftovers, yes)
    for one in leftovers:
        _delete(one.path)


def _superseded(run: RunRecord) -> Iterator[Leftover]:
    """Kept copies of checkpoints that a resume went back behind, unless a later checkpoint took their place."""
    folder = Path(run.path).resolve()
    kept = {one.kept for one in run.checkpoints if one.superseded} - {
        one.kept for one in run.checkpoints if not one.superseded
    }
    for name in sorted(filter(None, kept)):
        path = (folder / name).resolve()
        # A journal from elsewhere may name any path; only what lies in the run's own folder is its to delete.
        if path.exists() and folder in path.parents:
            yield _leftover(path, f"kept checkpoint of {run.name!r}, superseded by a resume")


def _half_deleted(root: Path) -> Iterator[Leftover]:
    for folder in sorted(root.glob(f"*/{_REMOVING}*")):
        yield _leftover(folder, "run whose deletion was interrupted")


def _drafts(root: Path) -> Iterator[Leftover]:
    """Files and folders that were being written under a temporary name when their process died."""
    for path in sorted(root.glob("*/*/files/**/.*")):
        if _DRAFT.fullmatch(path.name) and _is_old(path):
            yield _leftover(path, "draft whose writer is gone")


def _empty_runs(root: Path) -> Iterator[Leftover]:
    from trackbridge.journal.paths import journal_files, run_folders

    for folder in sorted(run_folders(root)):
        if not journal_files(folder) and _is_old(folder):
            yield _leftover(folder, "folder of a run without any journal")


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > LEFTOVER_AGE_S


def _leftover(path: Path, reason: str) -> Leftover:
    return Leftover(path, reason, _size(path))


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and not one.is_symlink())


def _confirm(doomed: Sequence[Leftover], yes: bool) -> None:
    """List what will go and ask; a "no" ends the command with exit code 1."""
    _list(doomed)
    if not yes and not typer.confirm("Delete?", default=False):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(FOUND_PROBLEMS)


def _list(doomed: Sequence[Leftover]) -> None:
    from trackbridge.cli import render
    from trackbridge.report.tables import Cell, Column, Table
    from trackbridge.report.text import size_text

    columns = (Column("what", importance="essential"), Column("size", "right", "essential"), Column("where"))
    rows = tuple((Cell(one.reason), Cell(size_text(one.size_bytes)), Cell(str(one.path))) for one in doomed)
    total = size_text(sum(one.size_bytes for one in doomed))
    render.print_table(render.make_console(), Table("To be deleted", columns, rows, f"{total} in all"))


def _delete_run(folder: Path) -> None:
    doomed = folder.with_name(_REMOVING + folder.name)
    try:
        folder.rename(doomed)
    except OSError as error:
        raise MisuseError(f"cannot delete {str(folder)!r}: {error.strerror or error}") from error
    _delete(doomed)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as error:
        typer.echo(f"trackbridge: cannot delete {path}: {error.strerror or error}", err=True)
