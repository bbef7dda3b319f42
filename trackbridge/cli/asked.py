"""A comparison as it is asked for on the command line: which runs, by which metrics, read against what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import typer

from trackbridge.cli.selection import chosen_runs, open_root
from trackbridge.errors import MisuseError, nearest

if TYPE_CHECKING:
    from trackbridge.comparison.align import Align
    from trackbridge.comparison.comparison import Comparison
    from trackbridge.comparison.run_scores import At
    from trackbridge.store.records import RunRecord
    from trackbridge.store.store import Store

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
AlignOption: TypeAlias = Annotated[
    str, typer.Option("--align", help="What runs are laid side by side along: step, epoch, time or samples.")
]
ByOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--by", metavar="KEY", help="Group by this config key; may be given again.", show_default="the replicates"
    ),
]
FormatOption: TypeAlias = Annotated[str, typer.Option("--format", help="table, md, json or csv.")]
FORMATS = ("table", "md", "json", "csv")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which runs: those named, and those of a project or group, below a root."""

    root: Path | None
    runs: Sequence[str] | None
    project: str | None
    group: str | None


def asked_comparison(
    asked: Asked,
    *,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    at: str = "best",
    align: str = "step",
    baseline: str | None = None,
) -> Comparison:
    """The comparison of the runs asked for; the other runs of their projects tell how far seeds move a score.

    Raises:
        MisuseError: no runs were asked for, or `at` or `align` is none of its words.
        NotFoundError: no such run, group, project, metric or key.
    """
    from trackbridge.comparison.comparison import compare

    store = open_root(asked.root)
    chosen = chosen_runs(store, asked.runs or [], asked.project, asked.group)
    reference = _reference(store, baseline, chosen) if baseline else None
    projects = dict.fromkeys(run.project for run in chosen)
    beside = [run for name in projects for run in store.runs(project=name)]
    return compare(
        chosen,
        baseline=reference,
        metrics=metrics,
        by=by,
        at=cast("At", at),
        align=cast("Align", align),
        noise_from=beside,
    )


def _reference(store: Store, wanted: str, chosen: Sequence[RunRecord]) -> RunRecord:
    """The run that a baseline's name means: the one among those chosen, whatever others elsewhere are called so."""
    named = [run for run in chosen if run.name == wanted]
    return named[0] if len(named) == 1 else store.run(wanted)


def check_format(wanted: str, known: Sequence[str] = FORMATS) -> None:
    """Nothing, where the format is one of those known.

    Raises:
        MisuseError: it is none; names the nearest.
    """
    if wanted not in known:
        raise MisuseError(f"there is no format {wanted!r}{nearest(wanted, known)}")
