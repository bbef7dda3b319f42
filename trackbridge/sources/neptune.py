"""
What Neptune's 1.x client left on a disk: the folder `.neptune`, with offline runs and with the queue of online ones.

Fields below `parameters`, `params`, `config` and the like are config; all others with one value are the summary. The
format has no mark for the end of a run: one is known to have failed or not to have ended at all. The project is not
recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from trackbridge.errors import NotFoundError
from trackbridge.sources.base import Asked, SourceProblem, SourceRun
from trackbridge.sources.neptune_directory import is_directory, read_directory
from trackbridge.sources.neptune_ours import our_facts, our_run_id, sessions_of
from trackbridge.sources.neptune_runs import NeptuneRun, facts_of

# place / .neptune / offline / run__...
_MAX_DEPTH = 3


class NeptuneSource:
    """Reads `.neptune` directories."""

    name: ClassVar[str] = "neptune"

    def recognises(self, place: str) -> bool:
        """True for a folder of operations, or one that holds such folders."""
        return next(_directories(Path(place)), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """Every directory of a run at and below the place."""
        place = asked.path.resolve()
        found = [read_directory(folder, asked.files_from) for folder in _directories(place)]
        if not found:
            raise NotFoundError(f"there is no directory of Neptune's client in {asked.place!r}: they hold `data-1.log`")
        return [one for run in found for one in source_runs(run)]


def source_runs(run: NeptuneRun | SourceProblem) -> Iterator[SourceRun | SourceProblem]:
    """The run as one or more sessions; anybody's has one."""
    if isinstance(run, SourceProblem):
        yield run
    elif run_id := our_run_id(run):
        for number, session in enumerate(sessions_of(run)):
            facts, told = partial(our_facts, run, session), f"resume {number}" if number else ""
            yield SourceRun(run_id, str(run.values["run/project"]), run.name, facts, session=told)
    else:
        yield SourceRun(run.identity, run.project, run.name, partial(facts_of, run))


def _directories(place: Path) -> Iterator[Path]:
    for folder, folders, _ in os.walk(place):
        path = Path(folder)
        if is_directory(path):
            yield path
            folders[:] = []
        else:
            is_deep = len(path.relative_to(place).parts) == _MAX_DEPTH
            folders[:] = [] if is_deep else sorted(folders)
