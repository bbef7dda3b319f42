"""`trackbridge diff` and `trackbridge compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption, chosen_runs, open_root
from trackbridge.errors import MisuseError, nearest

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison
    from trackbridge.comparison.diff import RunDiff
    from trackbridge.comparison.difference import Difference
    from trackbridge.comparison.divergence import Divergence
    from trackbridge.comparison.run_scores import At

MAX_DIVERGENCES = 9
"""Of more runs than these and the reference, nobody reads a sentence each, and every one reads whole curves."""

DIFF_FORMATS = ("table", "md", "json")
COMPARE_FORMATS = ("table", "md", "json", "csv")


def diff(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, prefixes of ids, or names.")],
    show_volatile: Annotated[
        bool, typer.Option("--all", help="Show output folders, host names and the like, too.")
    ] = False,
    output_format: Annotated[str, typer.Option("--format", help="table, md or json.")] = "table",
    root: RootOption = None,
) -> None:
    """Show how runs differ, what could be a cause, and where their curves part; the first is the reference."""
    from trackbridge.comparison.diff import diff_runs
    from trackbridge.comparison.divergence import first_divergence

    _check_format(output_format, DIFF_FORMATS)
    chosen = chosen_runs(open_root(root), runs, None, None)
    if len(chosen) < 2:
        raise MisuseError(f"a diff needs two runs or more; {chosen[0].name!r} is one")
    found = diff_runs(chosen)
    reference, *others = chosen
    divergences = [first_divergence(reference, other) for other in others] if len(others) <= MAX_DIVERGENCES else []
    _print_diff(found, found.differences if show_volatile else found.visible, divergences, output_format)


def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Ids, prefixes of ids, or names.")
    ] = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Read the others against this run and its replicates.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Compare this metric; may be given again.")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="Which value of a run counts: best, last or common.")] = "best",
    output_format: Annotated[str, typer.Option("--format", help="table, md, json or csv.")] = "table",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a report with curves.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="KEY", help="In the report, also draw scores against this config key."),
    ] = None,
    root: RootOption = None,
) -> None:
    """Lay runs side by side: replicates are found and averaged, what differs is shown."""
    from trackbridge.comparison.comparison import compare as compare_runs

    _check_format(output_format, COMPARE_FORMATS)
    if against is not None and html is None:
        raise MisuseError(f"--against {against} draws in the report: give --html FILE too")
    store = open_root(root)
    chosen = chosen_runs(store, runs or [], project, group)
    reference = store.run(baseline) if baseline else None
    compared = compare_runs(chosen, baseline=reference, metrics=metric, at=cast("At", at))
    _print_comparison(compared, output_format)
    if html is not None:
        write_page(compared, html, against=against)


def _check_format(wanted: str, known: tuple[str, ...]) -> None:
    if wanted not in known:
        raise MisuseError(f"there is no format {wanted!r}{nearest(wanted, known)}")


def _print_diff(
    found: RunDiff, shown: Sequence[Difference], divergences: Sequence[Divergence], output_format: str
) -> None:
    from trackbridge.cli import render
    from trackbridge.comparison.encode import diff_json, divergence_json
    from trackbridge.report.markdown import diff_markdown

    if output_format == "json":
        render.print_json({**diff_json(found), "divergences": [divergence_json(one) for one in divergences]})
    elif output_format == "md":
        render.print_text(diff_markdown(found, shown, divergences))
    else:
        render.print_diff(found, shown, divergences)


def _print_comparison(compared: Comparison, output_format: str) -> None:
    from trackbridge.cli import render
    from trackbridge.report.csv import comparison_csv
    from trackbridge.report.markdown import comparison_markdown

    if output_format == "json":
        render.print_json(compared.to_json())
    elif output_format == "md":
        render.print_text(comparison_markdown(compared, list(compared.metrics)[: render.MAX_METRICS]))
    elif output_format == "csv":
        render.print_text(comparison_csv(compared))
    else:
        render.print_comparison(compared)


def write_page(compared: Comparison, file: Path, *, against: str | None = None) -> None:
    """Write the report of a comparison, with scores drawn against a config key if one is named, and say where.

    Raises:
        NotFoundError: none of the runs has that key.
        MisuseError: the file cannot be written, or the key holds something other than numbers.
    """
    from trackbridge.report.page import comparison_page

    try:
        file.write_text(comparison_page(compared, against=against), encoding="utf-8")
    except OSError as error:
        raise MisuseError(f"cannot write {str(file)!r}: {error.strerror}") from error
    typer.echo(f"wrote {file}", err=True)
