"""A comparison as it is asked for on the command line: which runs, by which metrics, read against what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import typer

from trackbridge.cli.selection import chosen_runs, open_root
from trackbridge.errors import MisuseError, nearest

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison
    from trackbridge.comparison.run_scores import At

RunsArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN...]", help="Ids, prefixes of ids, or names.")
]
BaselineOption: TypeAlias = Annotated[
    str | None, typer.Option("--baseline", help="Read the others against this run and its replicates.")
]
MetricsOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="Compare this metric; may be given again.")
]
MetricOption: TypeAlias = Annotated[
    str | None, typer.Option("--metric", "-m", help="The score to ask about; the leading one where none is named.")
]
AtOption: TypeAlias = Annotated[str, typer.Option("--at", help="Which value of a run counts: best, last or common.")]
FormatOption: TypeAlias = Annotated[str, typer.Option("--format", help="table, md, json or csv.")]
FORMATS = ("table", "md", "json", "csv")


def asked_comparison(
    root: Path | None,
    runs: Sequence[str] | None,
    project: str | None,
    group: str | None,
    *,
    metrics: Sequence[str] | None = None,
    at: str = "best",
    baseline: str | None = None,
) -> Comparison:
    """The comparison of the runs asked for; the other runs of their projects tell how far seeds move a score.

    Raises:
        MisuseError: no runs were asked for, or `at` is none of its words.
        NotFoundError: no such run, group, project or metric.
    """
    from trackbridge.comparison.comparison import compare

    store = open_root(root)
    chosen = chosen_runs(store, runs or [], project, group)
    reference = store.run(baseline) if baseline else None
    projects = dict.fromkeys(run.project for run in chosen)
    beside = [run for name in projects for run in store.runs(project=name)]
    return compare(chosen, baseline=reference, metrics=metrics, at=cast("At", at), noise_from=beside)


def check_format(wanted: str, known: Sequence[str] = FORMATS) -> None:
    """Nothing, where the format is one of those known.

    Raises:
        MisuseError: it is none; names the nearest.
    """
    if wanted not in known:
        raise MisuseError(f"there is no format {wanted!r}{nearest(wanted, known)}")
