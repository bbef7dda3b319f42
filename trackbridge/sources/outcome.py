"""What an import did: run by run, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from trackbridge.sources.base import SourceProblem

State: TypeAlias = Literal["new", "grown", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """One run (or one session of it): where it is now, what was added, what is kept raw, what could not be read."""

    run_id: str
    project: str
    name: str
    state: State
    n_points: int = 0
    n_files: int = 0
    unmapped: tuple[str, ...] = ()
    problems: tuple[SourceProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReport:
    """All runs of an import in the order of the source, and the problems of what is no run."""

    source: str
    runs: tuple[ImportedRun, ...]
    problems: tuple[SourceProblem, ...] = ()

    def count(self, state: State) -> int:
        """How many are in this state."""
        return sum(run.state == state for run in self.runs)
