"""`trackbridge check`: may a change go in?"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from trackbridge.cli.asked import AtOption, RunsArgument
from trackbridge.cli.exits import CANNOT_TELL, FOUND_PROBLEMS, OK
from trackbridge.cli.selection import GroupOption, ProjectOption, RootOption, chosen_runs, open_root
from trackbridge.errors import MisuseError, NotFoundError, nearest

if TYPE_CHECKING:
    from trackbridge.comparison.decision import Decision
    from trackbridge.comparison.run_scores import At
    from trackbridge.report.junit import UndecidedAs
    from trackbridge.store.records import RunRecord
    from trackbridge.store.store import Store

FORMATS = ("table", "md", "json")
UNDECIDED: Final[dict[str, tuple[int, UndecidedAs]]] = {
    "own": (CANNOT_TELL, "error"),
    "fail": (FOUND_PROBLEMS, "failure"),
    "pass": (OK, "skipped"),
}

_STYLES: Final = {"pass": "bold green", "fail": "bold red", "cannot tell": "bold yellow"}


def check(
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="BASELINE", help="A run with its replicates, a group, or another root.")
    ],
    metric: Annotated[str, typer.Option("--metric", "-m", help="The metric that decides.")],
    worse_than: Annotated[
        float, typer.Option("--worse-than", metavar="MARGIN", help="How much worse it may be, in the metric's unit.")
    ],
    runs: RunsArgument = None,
    group: GroupOption = None,
    project: ProjectOption = None,
    cannot_tell: Annotated[
        str, typer.Option("--cannot-tell", help="What that ends with: own (exit code 6), fail or pass.")
    ] = "own",
    failed_allowed: Annotated[
        int, typer.Option("--failed-allowed", metavar="N", help="How many runs of a setting may fail.")
    ] = 0,
    at: AtOption = "best",
    output_format: Annotated[str, typer.Option("--format", help="table, md or json.")] = "table",
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary", metavar="FILE", help="Append Markdown to this file.", show_default="$GITHUB_STEP_SUMMARY"
        ),
    ] = None,
    root: RootOption = None,
) -> None:
    """Decide whether runs are worse than a baseline by more than a margin: pass, fail, or cannot tell.

    The exit code is 0, 1 or 6. Failed runs fail, too. Nothing is written into the runs.
    """
    from trackbridge.comparison.gate import Gate

    for option, wanted, known in (
        ("--format", output_format, FORMATS),
        ("--cannot-tell", cannot_tell, tuple(UNDECIDED)),
    ):
        if wanted not in known:
            raise MisuseError(f"{option} cannot be {wanted!r}{nearest(wanted, known)}")
    store = open_root(root)
    judged = chosen_runs(store, runs or [], project, group)
    # A run that is named is to be judged, even where its config is the baseline's.
    named = {store.run(selector).run_id for selector in runs or []}
    references = [run for run in _baseline_runs(store, baseline, project) if run.run_id not in named]
    gate = Gate(metric, worse_than, failed_allowed=failed_allowed, at=cast("At", at))
    decision = gate.decide(judged, baseline=references)
    exit_undecided, undecided_as = UNDECIDED[cannot_tell]
    _print(decision, output_format)
    _append_summary(decision, summary)
    if junit is not None:
        _write_junit(decision, junit, undecided_as)
    raise typer.Exit({"pass": OK, "fail": FOUND_PROBLEMS, "cannot tell": exit_undecided}[decision.outcome])


def _baseline_runs(store: Store, wanted: str, project: str | None) -> Sequence[RunRecord]:
    """The runs that a baseline's name means: those of a group, those below another root, or a run and its replicates.

    Raises:
        MisuseError: it could mean several of these.
        NotFoundError: it means none.
    """
    group = store.runs(project=project, group=wanted)
    replicates = _with_replicates(store, wanted, project)
    folder = Path(wanted)
    # A group is often named after what its runs are named.
    is_run = bool(replicates) and not {run.run_id for run in replicates} <= {run.run_id for run in group}
    meanings = [word for word, holds in (("run", is_run), ("group", group), ("folder", folder.is_dir())) if holds]
    if len(meanings) > 1 and not _is_written_as_path(wanted):
        raise MisuseError(
            f"baseline {wanted!r} could be a {' or a '.join(meanings)}: write ./{wanted} for a folder, an id for a run"
        )
    found = _below(folder, project) if folder.is_dir() else group or replicates
    if not found:
        known = {run.group for run in store.runs() if run.group} | {run.name for run in store.runs()}
        raise NotFoundError(f"no group, folder or run is called {wanted!r}{nearest(wanted, known)}")
    return found


def _is_written_as_path(wanted: str) -> bool:
    return wanted.startswith(".") or wanted.endswith("/") or Path(wanted).is_absolute()


def _below(folder: Path, project: str | None) -> Sequence[RunRecord]:
    from trackbridge.store.store import open_store

    found = open_store(folder).runs(project=project)
    if not found:
        raise NotFoundError(f"there are no runs{f' of project {project!r}' if project else ''} below {str(folder)!r}")
    return found


def _with_replicates(store: Store, wanted: str, project: str | None) -> Sequence[RunRecord]:
    """The runs of this name, or the one whose id begins so, with their replicates in the same project and group.

    Of several projects that have such runs, the one that is judged is meant.

    Raises:
        MisuseError: they are in several projects or groups.
    """
    from trackbridge.comparison.groups import replicate_groups

    everyone = store.runs()
    named = [run for run in everyone if wanted in (run.run_id, run.name, f"{run.project}/{run.name}")]
    named = named or [run for run in everyone if run.run_id.startswith(wanted)]
    named = [run for run in named if run.project == project] or named
    places = {(run.project, run.group) for run in named}
    if len(places) > 1:
        written = ", ".join(sorted(f"{project}{f' / {group}' if group else ''}" for project, group in places))
        raise MisuseError(f"baseline {wanted!r} could be runs of {written}: write project/name, or an id")
    beside = [run for run in everyone if (run.project, run.group) in places]
    ids = {run.run_id for run in named}
    groups = [group.runs for group in replicate_groups(beside)]
    return [run for runs in groups if any(run.run_id in ids for run in runs) for run in runs]


def _print(decision: Decision, output_format: str) -> None:
    from trackbridge.cli import render
    from trackbridge.report.decision import decision_markdown, decision_table, decision_title

    if output_format == "json":
        render.print_json(decision.to_json())
    elif output_format == "md":
        render.print_text(decision_markdown(decision))
    else:
        console = render.make_console()
        render.print_line(console, decision_title(decision), style=_STYLES[decision.outcome])
        for case in decision.deciding:
            render.print_line(console, f"- {case.sentence}")
        for warning in decision.warnings:
            render.print_line(console, f"! {warning}", style="yellow")
        render.print_line(console)
        render.print_table(console, decision_table(decision))


def _append_summary(decision: Decision, file: Path | None) -> None:
    from trackbridge.report.decision import decision_markdown
    from trackbridge.settings import github_step_summary

    chosen = file or github_step_summary()
    if chosen is not None:
        _write(chosen, decision_markdown(decision) + "\n", mode="a")


def _write_junit(decision: Decision, file: Path, undecided_as: UndecidedAs) -> None:
    from trackbridge.report.junit import decision_junit

    host = platform.node() or "localhost"
    _write(file, decision_junit(decision, undecided_as=undecided_as, at=datetime.now(), host=host), mode="w")


def _write(file: Path, text: str, *, mode: str) -> None:
    try:
        with file.open(mode, encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise MisuseError(f"cannot write {str(file)!r}: {error.strerror}") from error
