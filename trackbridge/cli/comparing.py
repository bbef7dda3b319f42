"""`trackbridge diff` and `trackbridge compare`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.asked import (
    AlignOption,
    Asked,
    AtOption,
    BaselineOption,
    ByOption,
    FormatOption,
    MetricsOption,
    RunsArgument,
    asked_comparison,
    check_format,
)
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption, chosen_runs, open_root
from trackbridge.errors import MisuseError, NotFoundError, nearest

if TYPE_CHECKING:
    from trackbridge.comparison.code import CodeDifference
    from trackbridge.comparison.diff import RunDiff
    from trackbridge.comparison.difference import Difference
    from trackbridge.comparison.divergence import Divergence

MAX_DIVERGENCES = 9
"""Of more runs than these and the reference, nobody reads a sentence each, and every one reads whole curves."""

DIFF_FORMATS = ("table", "md", "json")


def diff(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, prefixes of ids, or names.")],
    show_volatile: Annotated[
        bool, typer.Option("--all", help="Show output folders, host names and the like, too.")
    ] = False,
    show_code: Annotated[
        bool, typer.Option("--code", help="Show how the code differs, uncommitted changes included.")
    ] = False,
    output_format: Annotated[str, typer.Option("--format", help="table, md or json.")] = "table",
    root: RootOption = None,
) -> None:
    """Show how runs differ, what could be a cause, and where their curves part; the first is the reference."""
    from trackbridge.cli.code import code_differences
    from trackbridge.comparison.diff import diff_runs
    from trackbridge.comparison.divergence import first_divergence

    check_format(output_format, DIFF_FORMATS)
    chosen = chosen_runs(open_root(root), runs, None, None)
    if len(chosen) < 2:
        raise MisuseError(f"a diff needs two runs or more; {chosen[0].name!r} is one")
    found = diff_runs(chosen)
    shown = found.differences if show_volatile else found.visible
    reference, *others = chosen
    divergences = [first_divergence(reference, other) for other in others] if len(others) <= MAX_DIVERGENCES else []
    codes = code_differences(chosen, found.names) if show_code else []
    _print_diff(found, shown, divergences, codes, output_format)


def compare(
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    baseline: BaselineOption = None,
    metric: MetricsOption = None,
    by: ByOption = None,
    at: AtOption = "best",
    align: AlignOption = "step",
    output_format: FormatOption = "table",
    curve: Annotated[
        str | None,
        typer.Option("--curve", metavar="METRIC", help="Draw this metric.", show_default="the first, if there is room"),
    ] = None,
    root: RootOption = None,
) -> None:
    """Lay runs side by side: replicates are found and averaged, differences judged, what differs is shown."""
    from trackbridge.cli import render
    from trackbridge.cli.comparison import MAX_METRICS, print_comparison
    from trackbridge.report.csv import rows_csv
    from trackbridge.report.markdown import comparison_markdown

    check_format(output_format)
    asked = Asked(root, runs, project, group)
    compared = asked_comparison(asked, metrics=metric, by=by, at=at, align=align, baseline=baseline)
    if curve is not None and curve not in compared.metrics:
        raise NotFoundError(f"this comparison has no metric {curve!r}{nearest(curve, compared.metrics)}")
    if output_format == "json":
        render.print_json(compared.to_json())
    elif output_format == "md":
        render.print_text(comparison_markdown(compared, list(compared.metrics)[:MAX_METRICS]))
    elif output_format == "csv":
        render.print_text(rows_csv(compared.rows()))
    else:
        print_comparison(compared, curve=curve)


def _print_diff(
    found: RunDiff,
    shown: Sequence[Difference],
    divergences: Sequence[Divergence],
    codes: Sequence[CodeDifference],
    output_format: str,
) -> None:
    from trackbridge.cli import render
    from trackbridge.comparison.encode import code_json, diff_json, divergence_json
    from trackbridge.report.markdown import code_markdown, diff_markdown

    if output_format == "json":
        told = {**diff_json(found), "divergences": [divergence_json(one) for one in divergences]}
        render.print_json({**told, **({"code": [code_json(code) for code in codes]} if codes else {})})
    elif output_format == "md":
        render.print_text("\n".join([diff_markdown(found, shown, divergences), *map(code_markdown, codes)]))
    else:
        render.print_diff(found, shown, divergences)
        for code in codes:
            render.print_code(code)
