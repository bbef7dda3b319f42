"""`import_runs`: what another tracker wrote becomes journals of ours, beside the runs that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trackbridge.errors import MisuseError
from trackbridge.events.names import check_project_name
from trackbridge.journal.lock import held
from trackbridge.settings import load_settings
from trackbridge.sources.base import Asked, SourceProblem
from trackbridge.sources.outcome import ImportedRun, ImportReport
from trackbridge.sources.registry import find_source, load_source
from trackbridge.sources.writing import write_run

_LOCK = ".importing"


def import_runs(
    place: str | Path,
    *,
    source: str | None = None,
    project: str | None = None,
    root: str | Path | None = None,
    files_from: Sequence[str | Path] = (),
    columns: Mapping[str, str] | None = None,
    on_progress: Callable[[ImportedRun, int], None] | None = None,
) -> ImportReport:
    """Import every run at a place; a second time adds only what is new there.

    Args:
        place: a file or folder that a tracker wrote, or an address such as `wandb://entity/project`.
        source: whose it is (`wandb`, `comet`, ...); found out when None.
        project: where the runs go; the source's own project when None.
        root: the folder that holds all projects; the setting `root` when None.
        files_from: other folders from which files that the source names by absolute path may be copied.
        columns: for CSV and JSON Lines, what each column is.
        on_progress: called after each run with it and the number of runs there are.

    Raises:
        NotFoundError: nothing there, no source knows it, or no source has that name.
        SourceRefused: the place as a whole was made to do harm; single runs are refused in the report.
        MisuseError: another import into the same root is under way, or the project cannot be a folder.
        OSError: the root cannot be written.
    """
    if project is not None:
        check_project_name(project)
    reader = load_source(source) if source else find_source(str(place))
    found = reader.find(Asked(str(place), tuple(map(Path, files_from)), columns or {}))
    runs = [one for one in found if not isinstance(one, SourceProblem)]
    root_folder = load_settings(root=root).root
    root_folder.mkdir(parents=True, exist_ok=True)
    imported = []
    with held(root_folder / _LOCK) as is_ours:
        if not is_ours:
            raise MisuseError(f"another import into {root_folder} is under way: wait for it, then run this again")
        for run in runs:
            imported.append(write_run(run, source=reader.name, root=root_folder, project=project))
            if on_progress is not None:
                on_progress(imported[-1], len(runs))
    return ImportReport(reader.name, tuple(imported), tuple(one for one in found if isinstance(one, SourceProblem)))
