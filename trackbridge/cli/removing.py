"""`trackbridge rm` and `trackbridge gc`: the only commands that delete, and they ask first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import RootOption, open_root
from trackbridge.errors import MisuseError

if TYPE_CHECKING:
    from trackbridge.store.removal import Deletable

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def remove(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, prefixes of ids, or names.")],
    yes: YesOption = False,
    root: RootOption = None,
) -> None:
    """Delete runs with everything in their folders. Asks first; a run that is still running is refused."""
    from trackbridge.store.removal import deletable, delete_run

    store = open_root(root)
    records = list({record.run_id: record for record in map(store.run, runs)}.values())
    running = [record.name for record in records if record.status == "running"]
    if running:
        verb = "is" if len(running) == 1 else "are"
        raise MisuseError(f"{', '.join(map(repr, running))} {verb} still running: nothing was deleted")
    doomed = [deletable(Path(one.path), f"run {one.name!r} of {one.project}") for one in records]
    _list(doomed)
    _confirm(yes)
    _delete_each(doomed, delete_run)


def collect_garbage(
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    root: RootOption = None,
) -> None:
    """Delete what nobody needs: leftovers of interrupted work, superseded kept checkpoints, caches. Asks first."""
    from trackbridge.store.removal import delete, leftovers

    doomed = leftovers(open_root(root))
    if not doomed:
        typer.echo("nothing to delete")
        return
    _list(doomed)
    if not dry_run:
        _confirm(yes)
        _delete_each(doomed, delete)


def _confirm(yes: bool) -> None:
    """Ask, unless the answer was given; a "no" ends the command with exit code 1."""
    if not yes and not typer.confirm("Delete?", default=False):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(FOUND_PROBLEMS)


def _delete_each(doomed: Sequence[Deletable], delete: Callable[[Path], None]) -> None:
    """What cannot be deleted is told, and stops nothing else; the exit code is 1 then."""
    failed = 0
    for one in doomed:
        try:
            delete(one.path)
        except OSError as error:
            failed += 1
            typer.echo(f"trackbridge: cannot delete {one.path}: {error.strerror or error}", err=True)
    if failed:
        raise typer.Exit(FOUND_PROBLEMS)


def _list(doomed: Sequence[Deletable]) -> None:
    from trackbridge.cli import render
    from trackbridge.report.tables import Cell, Column, Table
    from trackbridge.report.text import size_text

    columns = (Column("what", importance="essential"), Column("size", "right", "essential"), Column("where"))
    rows = tuple((Cell(one.what), Cell(size_text(one.size_bytes)), Cell(str(one.path))) for one in doomed)
    total = size_text(sum(one.size_bytes for one in doomed))
    render.print_table(render.make_console(), Table("To be deleted", columns, rows, f"{total} in all"))
