"""Which runs a command is about: by root, selector, project, group, status, tag or name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trackbridge.errors import MisuseError, NotFoundError, nearest

if TYPE_CHECKING:
    from trackbridge.store.records import RunRecord, RunStatus
    from trackbridge.store.store import Store

RootOption = Annotated[
    Path | None, typer.Option("--root", help="The folder of all projects.", show_default="trackbridge-runs")
]
ProjectOption = Annotated[str | None, typer.Option("--project", "-p", help="Runs of this project.")]
GroupOption = Annotated[str | None, typer.Option("--group", "-g", help="Runs of this group, such as a study.")]
StatusOption = Annotated[
    str | None, typer.Option("--status", help="Runs that are running, finished, failed, killed or lost.")
]


def open_root(root: Path | None) -> Store:
    """The store of the root given, or of the one in force.

    Raises:
        NotFoundError: there is no such folder.
    """
    from trackbridge.store.store import open_store

    return open_store(root)


def chosen_runs(store: Store, selectors: Sequence[str], project: str | None, group: str | None) -> list[RunRecord]:
    """The runs named one by one, and those of a project or a group, each once.

    Raises:
        MisuseError: nothing was asked for.
        NotFoundError: a selector matches no run, or the filter none.
    """
    if not selectors and project is None and group is None:
        raise MisuseError("which runs? name them (see trackbridge ls), or pass --group or --project")
    runs = [store.run(selector) for selector in selectors]
    if project is not None or group is not None:
        runs += filtered_runs(store, project=project, group=group)
    unique = list({run.run_id: run for run in runs}.values())
    if not unique:
        known = {run.group for run in store.runs() if run.group} if group else {run.project for run in store.runs()}
        raise NotFoundError(f"no run of {group or project!r}{nearest(group or project or '', known)}")
    return unique


def filtered_runs(
    store: Store,
    *,
    project: str | None = None,
    group: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    name: str | None = None,
) -> list[RunRecord]:
    """The runs that pass every filter given; `name` is a pattern such as `lr-*`.

    Raises:
        MisuseError: a status that there is not.
    """
    runs = store.runs(project=project, group=group, status=cast("RunStatus | None", status))
    return [run for run in runs if (tag is None or tag in run.tags) and (name is None or fnmatchcase(run.name, name))]


def short_ids(runs: Sequence[RunRecord]) -> dict[str, str]:
    """The shortest prefixes, of one length, that tell these runs' ids apart; at least eight digits."""
    ids = {run.run_id for run in runs}
    # Ids begin with the time, so those of one study share many digits.
    length = next((n for n in range(8, 32) if len({run_id[:n] for run_id in ids}) == len(ids)), 32)
    return {run_id: run_id[:length] for run_id in ids}
