"""`trackbridge doctor`: are the journals whole?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS

if TYPE_CHECKING:
    from trackbridge.report.tables import Table
    from trackbridge.store.health import Health


def doctor(
    path: Annotated[
        Path | None, typer.Argument(help="A root, a project, a run folder or one journal; the root when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings, as JSON.")] = False,
) -> None:
    """Read every journal byte by byte, verify its checksums, and list what is damaged or was never written.

    The exit code is 1 when there are problems. Nothing is changed: what can be read stays readable.
    """
    import dataclasses

    from trackbridge.cli import render
    from trackbridge.settings import load_settings
    from trackbridge.store.health import examine

    place = path or load_settings().root
    health = examine(place)
    if as_json:
        render.print_json(dataclasses.asdict(health))
    else:
        console = render.make_console()
        if health.problems:
            render.print_table(console, _problems_table(health, place))
        render.print_line(console, _summary(health), style="bold red" if health.problems else "green")
    if health.problems:
        raise typer.Exit(FOUND_PROBLEMS)


def _summary(health: Health) -> str:
    from trackbridge.report.text import counted, size_text

    read = f"{counted(health.n_files, 'journal')}, {counted(health.n_events, 'event')}, {size_text(health.n_bytes)}"
    checked = f"{counted(health.n_checksums, 'checksum')} compared"
    if health.n_unchecked_bytes:
        checked += f", {size_text(health.n_unchecked_bytes)} covered by none"
    return f"{read}, {checked}: {counted(len(health.problems), 'problem')}"


def _problems_table(health: Health, place: Path) -> Table:
    from trackbridge.report.tables import Cell, Column, Table

    columns = (
        Column("file", importance="essential"),
        Column("line", "right", "essential"),
        Column("offset", "right", "essential"),
        Column("reason", importance="essential"),
    )
    rows = tuple(
        (
            Cell(str(Path(one.file).relative_to(place)) if place.is_dir() else one.file),
            Cell(str(one.line) if one.line else "-"),
            Cell(str(one.offset) if one.line else "-"),
            Cell(one.reason, tone="bad"),
        )
        for one in health.problems
    )
    return Table("Problems", columns, rows)
