"""`trackbridge importance`."""

from __future__ import annotations

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


def importance(
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    metric: MetricOption = None,
    at: AtOption = "best",
    output_format: FormatOption = "table",
    root: RootOption = None,
) -> None:
    """Show which parameters a score is associated with, by evidence; "no evidence" is an answer, too."""
    from trackbridge.cli import render
    from trackbridge.comparison.encode import importance_json
    from trackbridge.comparison.flat import importance_rows
    from trackbridge.report.importance import importance_table

    check_format(output_format)
    found = asked_comparison(Asked(root, runs, project, group), metrics=metric and [metric], at=at).importance()
    if output_format == "json":
        render.print_json(importance_json(found))
    elif output_format == "csv":
        render.print_csv(importance_rows(found))
    elif found.parameters:
        render.print_as([importance_table(found)], output_format)
    else:
        render.print_text(f"Cannot tell: {found.reason}.\n")
