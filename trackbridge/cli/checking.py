"""`trackbridge doctor`: are the journals whole?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.errors import NotFoundError

if TYPE_CHECKING:
    from trackbridge.report.tables import Table


@dataclass(slots=True)
class Health:
    """What was read, and every problem as (file, line, offset, reason)."""

    n_files: int = 0
    n_events: int = 0
    n_bytes: int = 0
    n_verified: int = 0
    problems: list[tuple[Path, int, int, str]] = field(default_factory=list)


def doctor(
    path: Annotated[
        Path | None, typer.Argument(help="A root, a project, a run folder or one journal; the root when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings, as JSON.")] = False,
) -> None:
    """Read every journal byte by byte, verify its checksums, and list what is damaged or was never written.

    The exit code is 1 when there are problems. Nothing is changed: what can be read stays readable.
    """
    from trackbridge.cli import render
    from trackbridge.report.text import size_text
    from trackbridge.settings import load_settings

    place = path or load_settings().root
    health = Health()
    for file in _journals_below(place):
        _examine(file, health)
    if as_json:
        keys = ("file", "line", "offset", "reason")
        problems = [dict(zip(keys, (str(one[0]), *one[1:]), strict=True)) for one in health.problems]
        counts = {"files": health.n_files, "events": health.n_events, "bytes": health.n_bytes}
        render.print_json({**counts, "verified_blocks": health.n_verified, "problems": problems})
    else:
        console = render.make_console()
        if health.problems:
            render.print_table(console, _problems_table(health, place))
        found = f"{len(health.problems)} problems" if len(health.problems) != 1 else "1 problem"
        read = f"{health.n_files} journals, {health.n_events} events, {size_text(health.n_bytes)}"
        style = "bold red" if health.problems else "green"
        render.print_line(console, f"{read}, {health.n_verified} checksums verified: {found}", style=style)
    if health.problems:
        raise typer.Exit(FOUND_PROBLEMS)


def _journals_below(place: Path) -> Iterator[Path]:
    from trackbridge.journal.paths import JOURNAL_GLOB

    if place.is_file():
        yield place
        return
    files = sorted(place.rglob(JOURNAL_GLOB)) if place.is_dir() else []
    if not files:
        raise NotFoundError(f"no journal at or below {str(place)!r}: pass a root, a run folder or a journal file")
    yield from files


def _examine(file: Path, health: Health) -> None:
    from trackbridge.events.models import EventsDropped, Integrity
    from trackbridge.journal.reader import read_blocks

    health.n_files += 1
    try:
        for part in read_blocks(file):
            health.n_events += len(part.events)
            health.n_verified += sum(isinstance(event, Integrity) for event in part.events)
            health.problems += [(file, one.line, one.offset, one.reason) for one in part.problems]
            for event in part.events:
                if isinstance(event, EventsDropped):
                    counts = ", ".join(f"{count} {kind}" for kind, count in event.counts.items())
                    health.problems.append((file, 0, 0, f"never written: {counts} ({event.reason})"))
        health.n_bytes += file.stat().st_size
    except OSError as error:
        health.problems.append((file, 0, 0, f"cannot be read: {error.strerror or error}"))


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
            Cell(str(file.relative_to(place) if place.is_dir() else file)),
            Cell(str(line) if line else "-"),
            Cell(str(offset) if line else "-"),
            Cell(reason, tone="bad"),
        )
        for file, line, offset, reason in health.problems
    )
    return Table("Problems", columns, rows)
