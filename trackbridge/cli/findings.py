"""`trackbridge findings`."""

from __future__ import annotations

import dataclasses
import time

from trackbridge.cli.asked import (
    Asked,
    AtOption,
    FormatOption,
    MetricOption,
    RunsArgument,
    asked_comparison,
    check_format,
)
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption


def findings(
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    metric: MetricOption = None,
    at: AtOption = "best",
    output_format: FormatOption = "table",
    root: RootOption = None,
) -> None:
    """Show what is wrong with runs, the gravest first: diverged, never learned, stalled, longer than the others."""
    from trackbridge.cli import render
    from trackbridge.comparison.encode import json_safe
    from trackbridge.comparison.flat import finding_rows
    from trackbridge.report.findings import findings_table

    check_format(output_format)
    compared = asked_comparison(Asked(root, runs, project, group), metrics=metric and [metric], at=at)
    now_ns = time.time_ns()
    found = compared.findings(now_ns)
    names = {run.run_id: name for run, name in zip(compared.runs, compared.names, strict=True)}
    if output_format == "json":
        render.print_json([json_safe(dataclasses.asdict(one)) for one in found])
    elif output_format == "csv":
        render.print_csv(finding_rows(found, names))
    elif found:
        render.print_as([findings_table(compared.grouped_findings(now_ns))], output_format)
    else:
        render.print_text("Nothing found.\n")
