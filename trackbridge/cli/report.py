"""`trackbridge report`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.asked import (
    AlignOption,
    Asked,
    AtOption,
    BaselineOption,
    ByOption,
    MetricsOption,
    RunsArgument,
    asked_comparison,
)
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption
from trackbridge.errors import MisuseError

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison


def report(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the page goes.")],
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    baseline: BaselineOption = None,
    metric: MetricsOption = None,
    by: ByOption = None,
    at: AtOption = "best",
    align: AlignOption = "step",
    against: Annotated[
        str | None, typer.Option("--against", metavar="KEY", help="Also draw scores against this config key.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Write a comparison as one HTML file that opens from a mail: verdicts, findings, curves, what differs, seeds."""
    asked = Asked(root, runs, project, group)
    compared = asked_comparison(asked, metrics=metric, by=by, at=at, align=align, baseline=baseline)
    write_page(compared, output, against=against)


def write_page(compared: Comparison, file: Path, *, against: str | None = None) -> None:
    """Write the report of a comparison, with scores drawn against a config key if one is named, and say where.

    Raises:
        NotFoundError: none of the runs has that key.
        MisuseError: the file cannot be written, or the key holds something other than numbers.
    """
    from trackbridge.report.page import comparison_page

    page = comparison_page(compared, against=against, now_ns=time.time_ns())
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MisuseError(f"cannot write {str(file)!r}: {error.strerror}") from error
    typer.echo(f"wrote {file}", err=True)
