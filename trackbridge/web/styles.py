"""Which colour and dash a run has, in the table as in the charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackbridge.comparison.groups import ReplicateGroup


@dataclass(frozen=True, slots=True)
class Styles:
    """The style of each picked run: its own place among those picked, or that of its group."""

    by_run: Mapping[str, int]

    @classmethod
    def of(cls, picked: Sequence[str], groups: Sequence[ReplicateGroup] | None) -> Styles:
        """The styles of picked runs; where a run was taken out its place stays empty, so the others keep theirs."""
        if groups is None:
            return cls({run_id: place for place, run_id in enumerate(picked) if run_id})
        return cls({run.run_id: place for place, group in enumerate(groups) for run in group.runs})

    def of_run(self, run_id: str) -> int | None:
        """The style of a run; None when it is not shown."""
        return self.by_run.get(run_id)

    def of_group(self, group: ReplicateGroup) -> int | None:
        """The style of the first run of a group that is shown."""
        return next((self.by_run[run.run_id] for run in group.runs if run.run_id in self.by_run), None)
