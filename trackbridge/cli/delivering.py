"""`trackbridge sync` and `status`: bring runs to trackers, and see how far they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption, chosen_runs, filtered_runs, open_root
from trackbridge.errors import MisuseError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from trackbridge.relay.standing import Standing
    from trackbridge.relay.sync import SyncReport
    from trackbridge.report.tables import Cell, Table
    from trackbridge.settings import CheckpointUpload
    from trackbridge.store.records import RunRecord
    from trackbridge.store.store import Store

MAX_ROWS = 40


def sync(
    root: Annotated[
        Path | None, typer.Argument(help="The folder of all projects.", show_default="trackbridge-runs")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", help="Targets, such as wandb,comet or wandb:offline; may be given again.", show_default="setting to"
        ),
    ] = None,
    run: Annotated[list[str] | None, typer.Option("--run", help="Only this run; may be given again.")] = None,
    project: ProjectOption = None,
    group: GroupOption = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay with runs that go on until they have ended.")] = False,
    checkpoints: Annotated[
        str | None, typer.Option("--checkpoints", help="Which checkpoints are uploaded: none, best or all.")
    ] = None,
    patience_s: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds to wait for a target that is away.")
    ] = 60.0,
) -> None:
    """Deliver runs to trackers; what was delivered before is not delivered again.

    The exit code is 1 when something could not be delivered.
    """
    from trackbridge.cli import render
    from trackbridge.relay.sync import sync as deliver
    from trackbridge.settings import load_settings

    store = open_root(root)
    targets = load_settings(to=_targets(to)).to
    chosen = chosen_runs(store, run or [], project, group) if run or project or group else None
    console = render.make_console()
    with _Progress(console, _waiting(store, chosen, targets)) as progress:
        report = deliver(
            store.root,
            to=targets,
            runs=chosen,
            checkpoints=_upload(checkpoints),
            patience_s=patience_s,
            follow=follow,
            delivered=progress.delivered,
            done=lambda one: progress.done(one.record.name, one.target),
        )
    _print_report(console, report)
    if not report.is_complete:
        raise typer.Exit(FOUND_PROBLEMS)


def status(
    root: RootOption = None,
    project: ProjectOption = None,
    group: GroupOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every delivery with its rejections, as JSON.")] = False,
) -> None:
    """Show what was delivered, what waits, what a tracker could not carry and why, and what was refused.

    The exit code is 1 when a delivery stands still.
    """
    from trackbridge.cli import render
    from trackbridge.relay.standing import standings

    records = filtered_runs(open_root(root), project=project, group=group)
    found = [(record, one) for record in records for one in standings(Path(record.path))]
    console = render.make_console()
    if as_json:
        render.print_json([_as_json(record, one) for record, one in found])
    elif found:
        _print_deliveries(console, found)
    else:
        render.print_line(console, "nothing was ever to be delivered: trackbridge sync --to wandb brings runs to W&B")
    if any(one.mending_command for _, one in found):
        raise typer.Exit(FOUND_PROBLEMS)


class _Progress:
    """A bar of events while a sync goes on; nothing in a pipe."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        words = (TextColumn("delivering"), BarColumn(), MofNCompleteColumn(), TextColumn("events"))
        self._bar = Progress(
            *words, TimeRemainingColumn(), TextColumn("{task.description}"), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def delivered(self, count: int) -> None:
        self._bar.update(self._task, advance=count)

    def done(self, name: str, target: str) -> None:
        from trackbridge.report.text import printable

        self._bar.update(self._task, description=printable(f"{name} → {target}").replace("[", r"\["))


def _targets(texts: Sequence[str] | None) -> list[str] | None:
    parts = [part.strip() for text in texts or () for part in text.split(",")]
    return [part for part in parts if part] or None


def _waiting(store: Store, chosen: Sequence[RunRecord] | None, targets: Sequence[str]) -> int:
    """How many events there are to deliver, for the bar."""
    from trackbridge.relay.standing import standing

    runs = store.runs() if chosen is None else chosen
    return sum(standing(Path(run.path), target).waiting for run in runs for target in targets)


def _upload(text: str | None) -> CheckpointUpload | None:
    from trackbridge.settings import CheckpointUpload

    words = get_args(CheckpointUpload)
    if text is None or text in words:
        return cast("CheckpointUpload | None", text)
    raise MisuseError(f"--checkpoints is {text!r}{nearest(text, words)}")


def _print_report(console: Console, report: SyncReport) -> None:
    from trackbridge.cli import render

    if not report.synced:
        render.print_line(console, "there are no runs to deliver")
        return
    _print_deliveries(console, [(one.record, one.standing) for one in report.synced])
    for one in report.synced:
        if one.error and one.error != one.standing.cursor.error:
            render.print_line(console, f"{one.record.name} at {one.target}: {one.error}", style="bold red")
    counts = Counter((one.target, one.outcome) for one in report.synced)
    for (target, outcome), count in sorted(counts.items()):
        render.print_line(console, f"{target}: {count} run{'s' if count != 1 else ''} {outcome}")


def _print_deliveries(console: Console, found: Sequence[tuple[RunRecord, Standing]]) -> None:
    """A table, of many only those that are not delivered, and what there is to say about each."""
    from trackbridge.cli import render

    shown = [pair for pair in found if pair[1].state != "delivered"] if len(found) > MAX_ROWS else found
    if shown:
        render.print_table(console, _table(shown))
    if len(shown) < len(found):
        render.print_line(console, f"{len(found) - len(shown):,} deliveries are complete", style="dim")
    _print_details(console, found)


def _print_details(console: Console, found: Sequence[tuple[RunRecord, Standing]]) -> None:
    from trackbridge.cli import render

    rejected: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    failed: dict[tuple[str, str], list[str]] = {}
    for record, one in found:
        for note in one.cursor.rejections:
            rejected.setdefault((one.cursor.target, note.what, note.reason), []).append((record.name, note.count))
        if one.state in ("refused", "broken"):
            failed.setdefault((one.cursor.target, str(one.cursor.error)), []).append(record.name)
    for (target, what, reason), times in rejected.items():
        count = sum(one for _, one in times)
        often = f" {count:,} times" if count > 1 else ""
        told = f"{_names([name for name, _ in times])} at {target}: {what} was not carried{often}: {reason}"
        render.print_line(console, told, style="yellow")
    for (target, error), names in failed.items():
        render.print_line(console, f"{_names(names)} at {target}: {error}", style="bold red")
    for command in sorted({one.mending_command for _, one in found if one.mending_command}):
        render.print_line(console, f"to go on: {command}", style="bold")


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} runs"


def _as_json(record: RunRecord, one: Standing) -> dict[str, Any]:
    import msgspec

    cursor = one.cursor
    return {
        "run_id": record.run_id,
        "project": record.project,
        "name": record.name,
        "target": cursor.target,
        "state": one.state,
        "delivered": cursor.next_row,
        "waiting": one.waiting,
        "rejected": cursor.rejected,
        "rejections": msgspec.to_builtins(cursor.rejections),
        "error": cursor.error,
        "mending_command": one.mending_command,
        "url": cursor.url,
        "updated_ns": cursor.updated_ns,
    }


def _table(found: Sequence[tuple[RunRecord, Standing]]) -> Table:
    from trackbridge.report.tables import Column, Table

    columns = (
        Column("run", importance="essential"),
        Column("target", importance="essential"),
        Column("state", importance="essential"),
        Column("delivered", "right"),
        Column("waiting", "right", importance="essential"),
        Column("rejected", "right"),
        Column("where, or why not", importance="extra"),
    )
    return Table("Deliveries", columns, tuple(_row(record, one) for record, one in found), caption="counted in events")


def _row(record: RunRecord, one: Standing) -> tuple[Cell, ...]:
    from trackbridge.report.tables import Cell

    cursor = one.cursor
    where = cursor.url or "" if one.state in ("delivered", "delivering") else cursor.error or ""
    return (
        Cell(record.name),
        Cell(cursor.target),
        Cell(one.state, tone=_TONES.get(one.state, "plain")),
        Cell(f"{cursor.next_row:,}"),
        Cell(f"{one.waiting:,}"),
        Cell(f"{cursor.rejected:,}"),
        Cell(where),
    )


_TONES: dict[str, Any] = {
    "delivered": "good",
    "delivering": "busy",
    "waiting": "changed",
    "stopped": "changed",
    "refused": "bad",
    "broken": "bad",
}
