"""`trackbridge ls` and `trackbridge show`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackbridge.cli.selection import (
    GroupOption,
    ProjectOption,
    RootOption,
    StatusOption,
    filtered_runs,
    open_root,
    short_ids,
)
from trackbridge.errors import MisuseError, nearest

if TYPE_CHECKING:
    from trackbridge.report.tables import Table
    from trackbridge.store.records import RunRecord

LIMIT = 50

_SORT_KEYS: dict[str, Callable[[RunRecord], Any]] = {
    "started": lambda run: -run.started_ns,
    "name": lambda run: run.name,
    "status": lambda run: run.status,
    "duration": lambda run: -run.duration_s,
    "steps": lambda run: -max((one.last_step for one in run.metrics.values()), default=0),
}


def list_runs(
    project: ProjectOption = None,
    group: GroupOption = None,
    status: StatusOption = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Runs with this tag.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Runs whose name matches a pattern such as 'lr-*'.")
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="started, name, status, duration, steps, or a metric (best first).")
    ] = "started",
    metric: Annotated[str | None, typer.Option("--metric", "-m", help="The metric to show.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows in the table; 0 for all.")] = LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="All of them, as JSON.")] = False,
    root: RootOption = None,
) -> None:
    """List runs, the newest first."""
    from trackbridge.cli import render

    store = open_root(root)
    found = filtered_runs(store, project=project, group=group, status=status, tag=tag, name=name)
    runs = _sorted(found, sort)
    if as_json:
        render.print_json([run_json(run) for run in runs])
        return
    console = render.make_console()
    if not runs:
        render.print_line(console, "no runs" + (" match" if store.runs() else f" below {store.root}"), style="dim")
        return
    shown = runs[:limit] if limit else runs
    leading = _leading_metric(runs, metric)
    table = _runs_table(shown, leading)
    if leading and render.can_sketch(console):
        table = render.with_curves(table, shown, leading)
    render.print_table(console, table)
    if len(shown) < len(runs):
        render.print_line(console, f"and {len(runs) - len(shown)} more: --limit 0 lists all", style="dim")


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An id, a prefix of one, or a name.")],
    full: Annotated[bool, typer.Option("--full", help="All of the config and the environment.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    root: RootOption = None,
) -> None:
    """Show one run: its scores, config, seeds, checkpoints, sessions and what went wrong."""
    from trackbridge.cli import render, showing

    record = open_root(root).run(run)
    if as_json:
        render.print_json(run_json(record) | showing.details_json(record))
    else:
        showing.print_run(record, max_keys=None if full else showing.MAX_KEYS)


def run_json(run: RunRecord) -> dict[str, Any]:
    """What `ls --json` says of a run."""
    import dataclasses

    from trackbridge.comparison.encode import json_safe

    return {
        "run_id": run.run_id,
        "project": run.project,
        "name": run.name,
        "group": run.group,
        "status": run.status,
        "tags": list(run.tags),
        "path": run.path,
        "started_ns": run.started_ns,
        "ended_ns": run.ended_ns,
        "duration_s": run.duration_s,
        "seeds": dataclasses.asdict(run.seeds),
        "metrics": json_safe({name: dataclasses.asdict(one) for name, one in run.metrics.items()}),
    }


def _sorted(runs: Sequence[RunRecord], sort: str) -> list[RunRecord]:
    if sort in _SORT_KEYS:
        return sorted(runs, key=_SORT_KEYS[sort])
    from trackbridge.comparison.run_scores import best_point
    from trackbridge.events.names import lower_is_better

    known = {name for run in runs for name in run.metrics}
    if sort not in known:
        raise MisuseError(f"cannot sort by {sort!r}{nearest(sort, {*_SORT_KEYS, *known})}")
    sign = 1 if lower_is_better(sort) else -1

    def order(run: RunRecord) -> tuple[bool, float]:
        best = best_point(run.metrics[sort]) if sort in run.metrics else None
        return (best is None, sign * best.value if best else 0.0)

    return sorted(runs, key=order)


def _leading_metric(runs: Sequence[RunRecord], wanted: str | None) -> str | None:
    from trackbridge.comparison.metrics import chosen_metrics

    return next(iter(chosen_metrics(runs, [wanted] if wanted else None)), None)


def _runs_table(runs: Sequence[RunRecord], metric: str | None) -> Table:
    from trackbridge.comparison.groups import seeds_text
    from trackbridge.comparison.run_scores import best_point
    from trackbridge.report.tables import Cell, Column, Table, status_cell, steps_trained
    from trackbridge.report.text import age_text, counted, duration_text, number_text

    columns = [
        Column("run", importance="essential"),
        Column("status", importance="essential"),
        *([Column(f"best {metric}", "right", "essential"), Column("last", "right")] if metric else []),
        Column("id"),
        Column("steps", "right"),
        Column("started", "right"),
        Column("took", "right"),
        Column("seeds", importance="extra"),
        Column("group", importance="extra"),
        *([Column("project", importance="extra")] if len({run.project for run in runs}) > 1 else []),
    ]
    ids, now_ns = short_ids(runs), time.time_ns()
    rows = []
    for run in runs:
        summary = run.metrics.get(metric) if metric else None
        best = best_point(summary) if summary else None
        scores = [Cell(number_text(best.value if best else None)), Cell(number_text(summary.last if summary else None))]
        # An imported run may tell no time at all.
        age = age_text((now_ns - run.started_ns) / 1e9) if run.started_ns else "-"
        cells = [Cell(run.name), status_cell(run), *(scores if metric else []), Cell(ids[run.run_id])]
        cells += [Cell(str(steps_trained(run))), Cell(age)]
        cells += [Cell(duration_text(run.duration_s)), Cell(seeds_text(run.seeds) or "-")]
        cells += [Cell(run.group or "-"), Cell(run.project)]
        rows.append(tuple(cells[: len(columns)]))
    return Table(counted(len(runs), "run"), tuple(columns), tuple(rows))
