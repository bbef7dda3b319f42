"""`trackbridge seeds`."""

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


def seeds(
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    metric: MetricOption = None,
    at: AtOption = "best",
    output_format: FormatOption = "table",
    root: RootOption = None,
) -> None:
    """Show how far each seed moves a score, and what the best of n runs promises for how much training."""
    from trackbridge.cli import render
    from trackbridge.comparison.encode import seeds_json
    from trackbridge.comparison.flat import seed_rows
    from trackbridge.report.seeds import best_of_table, seed_reasons, seeds_table

    check_format(output_format)
    compared = asked_comparison(Asked(root, runs, project, group), metrics=metric and [metric], at=at)
    if output_format == "json":
        render.print_json(seeds_json(compared))
    elif output_format == "csv":
        render.print_csv(seed_rows(compared))
    else:
        render.print_as([seeds_table(compared), best_of_table(compared)], output_format, list(seed_reasons(compared)))
