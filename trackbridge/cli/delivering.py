"""`trackbridge sync` and `status`: bring runs to trackers, and see how far they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption, chosen_runs, filtered_runs, open_root

if TYPE_CHECKING:
    from trackbridge.relay.cursor import Cursor
    from trackbridge.report.tables import Cell, Table
    from trackbridge.store.records import RunRecord

_GOOD_STATES = ("delivered", "delivering")


def sync(
    to: Annotated[str, typer.Option("--to", help="Targets, such as wandb,comet or wandb:offline.")],
    root: Annotated[
        Path | None, typer.Argument(help="The folder of all projects.", show_default="trackbridge-runs")
    ] = None,
    run: Annotated[list[str] | None, typer.Option("--run", help="Only this run; may be given again.")] = None,
    project: ProjectOption = None,
    group: GroupOption = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay with runs that go on until they have ended.")] = False,
    patience_s: Annotated[float, typer.Option("--patience", help="Seconds to wait out an outage, per run.")] = 60.0,
) -> None:
    """Deliver runs to trackers; what was delivered before is not delivered again. Exit code 1 when some was not."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from trackbridge.cli import render
    from trackbridge.relay.sync import sync as deliver

    store = open_root(root)
    is_chosen = bool(run) or project is not None or group is not None
    records = chosen_runs(store, run or [], project, group) if is_chosen else filtered_runs(store)
    targets = [target for target in to.split(",") if target.strip()]
    console = render.make_console()
    columns = (TextColumn("delivering"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(records) * len(targets))
        report = deliver(
            store.root,
            to=targets,
            runs=records,
            patience_s=patience_s,
            follow=follow,
            done=lambda one: progress.update(task, advance=1, description=one.record.name),
        )
    render.print_table(console, _table([(one.record, one.cursor) for one in report.synced]))
    if not report.is_complete:
        raise typer.Exit(FOUND_PROBLEMS)


def status(
    root: RootOption = None,
    project: ProjectOption = None,
    group: GroupOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every delivery with its rejections, as JSON.")] = False,
) -> None:
    """Show what was delivered, what waits, what a tracker could not carry and why, and what was refused."""
    from trackbridge.cli import render
    from trackbridge.relay.cursor import cursors

    records = filtered_runs(open_root(root), project=project, group=group)
    found = [(record, cursor) for record in records for cursor in cursors(Path(record.path))]
    if as_json:
        render.print_json([_as_json(record, cursor) for record, cursor in found])
        return
    console = render.make_console()
    if not found:
        render.print_line(console, "no run was ever delivered: trackbridge sync --to wandb brings them to W&B")
        return
    render.print_table(console, _table(found))
    for record, cursor in found:
        for note in cursor.rejections[:20]:
            told = f"{record.name} at {cursor.target}: {note.what} was not carried: {note.reason}"
            render.print_line(console, told, style="yellow")


def _as_json(record: RunRecord, cursor: Cursor) -> dict[str, object]:
    import msgspec

    return {"run_id": record.run_id, "name": record.name, **msgspec.to_builtins(cursor)}


def _table(deliveries: list[tuple[RunRecord, Cursor]]) -> Table:
    from trackbridge.report.tables import Column, Table

    columns = (
        Column("run", importance="essential"),
        Column("target", importance="essential"),
        Column("state", importance="essential"),
        Column("events", "right"),
        Column("rejected", "right"),
        Column("what to know"),
    )
    return Table("Deliveries", columns, tuple(_row(record, cursor) for record, cursor in deliveries))


def _row(record: RunRecord, cursor: Cursor) -> tuple[Cell, ...]:
    from trackbridge.report.tables import Cell

    tone: Literal["good", "bad"] = "good" if cursor.state in _GOOD_STATES else "bad"
    return (
        Cell(record.name),
        Cell(cursor.target),
        Cell(cursor.state, tone=tone),
        Cell(str(cursor.next_row)),
        Cell(str(cursor.n_rejections)),
        Cell(cursor.error or cursor.url or ""),
    )
