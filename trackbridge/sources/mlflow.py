"""
MLflow's own stores, read without MLflow: the SQLite database, and the file store `mlruns`.

An experiment is a project; a run that is nested in another has that run's name as its group. Params are texts in
MLflow and stay texts; tags become `name=value`. Runs that were deleted in MLflow are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.sources.base import Asked, SourceProblem, SourceRun
from trackbridge.sources.mlflow_database import is_database, read_runs
from trackbridge.sources.mlflow_files import read_run, run_folders
from trackbridge.sources.mlflow_ours import RUN_ID, our_facts, sessions_of
from trackbridge.sources.mlflow_runs import PARENT, StoredRun, facts_of

_USUAL_NAME = "mlflow.db"
_SUFFIXES = (".db", ".sqlite", ".sqlite3")


class MlflowSource:
    """Reads MLflow's stores."""

    name: ClassVar[str] = "mlflow"

    def recognises(self, place: str) -> bool:
        """True for an MLflow database, or a folder with one or with an MLflow file store."""
        path = Path(place)
        return any(map(is_database, _databases(path))) or next(run_folders(path), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The runs of every store at the place."""
        place = asked.path.resolve()
        found: list[StoredRun | SourceProblem] = []
        for database in _databases(place):
            # One that is damaged does not look like MLflow's any more, but for its name.
            if place.is_file() or database.name == _USUAL_NAME or is_database(database):
                found += read_runs(database, asked.files_from)
        for folder in run_folders(place):
            try:
                found.append(read_run(folder, place))
            except SourceRefused as refusal:
                # The others at the place are no worse for it.
                found.append(SourceProblem(str(folder), "", str(refusal)))
        if not found:
            raise NotFoundError(f"there is no MLflow store with runs in {asked.place!r}")
        names = {run.run_id: run.name for run in found if isinstance(run, StoredRun)}
        return [one for run in found for one in _sessions(run, names)]


def _databases(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    # Links are not followed: one may lead out of the place.
    there = place.iterdir() if place.is_dir() else ()
    return sorted(path for path in there if path.suffix in _SUFFIXES and not path.is_symlink())


def _sessions(run: StoredRun | SourceProblem, names: Mapping[str, str]) -> Iterator[SourceRun | SourceProblem]:
    if isinstance(run, SourceProblem):
        yield run
    elif RUN_ID in run.tags:
        for session in sessions_of(run.tags):
            told = f"row {session.row}" if session.row else ""
            yield SourceRun(run.tags[RUN_ID], run.experiment, run.name, partial(our_facts, run, session), session=told)
    else:
        parent = run.tags.get(PARENT)
        group = names.get(parent, parent) if parent else None
        yield SourceRun(run.run_id, run.experiment, run.name, partial(facts_of, run, group=group))
