"""Findings summed up: what several replicates show alike is one thing to read, not one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.comparison.finding import Finding
from trackbridge.comparison.groups import ReplicateGroup


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """The findings of one code and metric on the runs of one replicate group, of `n_runs` runs; one for each run."""

    findings: tuple[Finding, ...]
    n_runs: int

    @property
    def first(self) -> Finding:
        """The one that is told."""
        return self.findings[0]

    @property
    def sentence(self) -> str:
        """What the first one says, and how many of its replicates show the same."""
        n_more = len(self.findings) - 1
        likewise = f"; likewise {n_more} more of its {self.n_runs} replicates" if n_more else ""
        return self.first.sentence + likewise


def grouped_findings(findings: Sequence[Finding], groups: Sequence[ReplicateGroup]) -> tuple[FindingGroup, ...]:
    """The findings, those of one code and metric within a replicate group together, in the order of each first one."""
    place_of = {run.run_id: place for place, group in enumerate(groups) for run in group.runs}
    together: dict[tuple[str, str | None, int], list[Finding]] = {}
    for one in findings:
        together.setdefault((one.code, one.metric, place_of[one.run_id]), []).append(one)
    return tuple(FindingGroup(tuple(alike), len(groups[place].runs)) for (_, _, place), alike in together.items())
