"""`trackbridge import`: bring home what other trackers wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import RootOption
from trackbridge.errors import JournalWriteError, MisuseError

if TYPE_CHECKING:
    from trackbridge.report.tables import Table
    from trackbridge.sources.outcome import ImportedRun, ImportReport

MAX_ROWS = 40
MAX_KEYS = 12


def import_runs(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="What a tracker wrote: a file or folder, or wandb://entity/project, or comet://workspace/project.",
        ),
    ],
    source: Annotated[
        str | None, typer.Option("--from", help="Whose it is, where that is not found out: wandb, comet, ...")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Where the runs go; else the project they had.")
    ] = None,
    files_from: Annotated[
        list[Path] | None,
        typer.Option("--files-from", metavar="FOLDER", help="Copy files from there that are named by absolute path."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=WHAT", help="For CSV and JSON Lines: step=iteration, say."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was done, as JSON.")] = False,
    root: RootOption = None,
) -> None:
    """Make runs of what W&B, Comet, Neptune, MLflow, TensorBoard and others wrote; again adds only what is new.

    The exit code is 1 when something could not be read; what could is imported.
    """
    from trackbridge.cli import render
    from trackbridge.sources.importing import import_runs as imported_from

    columns = dict(map(_column, column or ()))
    try:
        with _Progress() as progress:
            report = imported_from(
                place,
                source=source,
                project=project,
                root=root,
                files_from=files_from or (),
                columns=columns,
                on_progress=progress.advance,
            )
    except OSError as error:
        way_out = "runs that were imported before are whole, and the same command goes on behind them"
        raise JournalWriteError(f"the import stopped: {error}: {way_out}") from error
    if as_json:
        render.print_json(_as_json(report))
    else:
        _print(report)
    if report.problems or any(run.problems for run in report.runs):
        raise typer.Exit(FOUND_PROBLEMS)


class _Progress:
    """A bar of runs while an import goes on; nothing in a pipe."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from trackbridge.cli import render

        console = render.make_console(stderr=True)
        words = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn())
        self._bar = Progress(*words, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self, _: ImportedRun, n_runs: int) -> None:
        """One more of so many runs is done."""
        self._bar.update(self._task, advance=1, total=n_runs)


def _column(text: str) -> tuple[str, str]:
    name, sign, meaning = text.partition("=")
    if not (sign and name and meaning):
        raise MisuseError(f"--column {text!r}: expected NAME=WHAT, such as iteration=step")
    return name, meaning


def _as_json(report: ImportReport) -> dict[str, Any]:
    from trackbridge.events.values import as_json_object

    return as_json_object("the report", report)


def _print(report: ImportReport) -> None:
    from trackbridge.cli import render
    from trackbridge.report.text import counted
    from trackbridge.sources.outcome import State

    console = render.make_console()
    if report.runs:
        render.print_table(console, _table(report))
    if unmapped := sorted({key for run in report.runs for key in run.unmapped}):
        # The runs have them all, in their configs.
        more = f" and {len(unmapped) - MAX_KEYS} more" if len(unmapped) > MAX_KEYS else ""
        told = f"kept as it was, in the config scope {report.source}: {', '.join(unmapped[:MAX_KEYS])}{more}"
        render.print_line(console, told, style="dim")
    problems = [*report.problems, *(problem for run in report.runs for problem in run.problems)]
    for problem in problems[:MAX_ROWS]:
        render.print_line(console, f"not read: {problem}", style="bold red")
    if len(problems) > MAX_ROWS:
        # The run has them all, in its environment.
        render.print_line(console, f"and {len(problems) - MAX_ROWS} more", style="bold red")
    states = [f"{count} {state}" for state in get_args(State) if (count := report.count(state))]
    render.print_line(console, f"{report.source}: {counted(len(report.runs), 'run')} ({', '.join(states) or 'none'})")


def _table(report: ImportReport) -> Table:
    from trackbridge.report.tables import Cell, Column, Table
    from trackbridge.report.text import counted

    columns = (
        Column("run", importance="essential"),
        Column("project"),
        Column("id", importance="extra"),
        Column("state", importance="essential"),
        Column("new points", "right"),
        Column("new files", "right"),
        Column("problems", "right"),
    )
    rows = tuple(
        (
            Cell(run.name),
            Cell(run.project),
            Cell(run.run_id[:8]),
            Cell(run.state, tone="bad" if run.state == "refused" else "plain"),
            Cell(str(run.n_points)),
            Cell(str(run.n_files)),
            Cell(str(len(run.problems)) if run.problems else "", tone="bad"),
        )
        for run in report.runs[:MAX_ROWS]
    )
    left_out = len(report.runs) - len(rows)
    return Table("Imported", columns, rows, caption=f"and {counted(left_out, 'run')} more" if left_out else "")
