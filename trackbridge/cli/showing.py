"""One run in full, for `trackbridge show`."""

from __future__ import annotations

import dataclasses
from typing import Any

from trackbridge.cli import render
from trackbridge.comparison.encode import json_safe
from trackbridge.report.run_tables import identity, metrics_table, run_tables
from trackbridge.report.tables import Cell, Column, Table
from trackbridge.store.console import printed_last
from trackbridge.store.records import RunRecord

MAX_KEYS = 40
MAX_PRINTED = 10


def print_run(run: RunRecord, *, max_keys: int | None) -> None:
    """The run on the terminal; of a config scope with more than `max_keys` keys only the number is told."""
    console = render.make_console()
    render.print_line(console, f"{run.project} / {run.name}", style="bold")
    for label, value in identity(run):
        render.print_line(console, f"{label:<8} {value}")
    lines = printed_last(run)[-MAX_PRINTED:]
    if lines:
        render.print_line(console, "printed last")
    for line in lines:
        render.print_line(console, f"  {line.expandtabs()}")
    render.print_line(console)
    metrics = metrics_table(run)
    for table in (
        _with_curves(metrics, run) if render.can_sketch(console) else metrics,
        *run_tables(run, max_keys=max_keys),
    ):
        if table.rows:
            render.print_table(console, table)


def details_json(run: RunRecord) -> dict[str, Any]:
    """What `show --json` says of a run beyond `ls --json`."""
    details = {
        "notes": run.notes,
        "config": run.config,
        "environment": run.environment,
        "summary": run.summary,
        "checkpoints": [dataclasses.asdict(one) for one in run.checkpoints],
        "media": [dataclasses.asdict(one) for one in run.media],
        "artifacts": [dataclasses.asdict(one) for one in run.artifacts],
        "sessions": [dataclasses.asdict(one) for one in run.sessions],
        "problems": [dataclasses.asdict(one) for one in run.problems],
        "dropped": dict(run.dropped),
        "unknown_kinds": dict(run.unknown_kinds),
        "n_superseded": run.n_superseded,
        "console": printed_last(run),
    }
    return {key: json_safe(value) for key, value in details.items()}


def _with_curves(table: Table, run: RunRecord) -> Table:
    rows = tuple((*row, Cell(render.sparkline(run.series(row[0].text)))) for row in table.rows)
    return dataclasses.replace(table, columns=(*table.columns, Column("curve")), rows=rows)
