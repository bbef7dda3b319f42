"""How a planned run of a study ended, and the scores it is to be judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trackbridge.finetune.plan import PlannedRun
from trackbridge.store.records import RunRecord

Ending = Literal["finished", "paused", "found finished", "found paused", "found running", "failed"]


@dataclass(frozen=True)
class Outcome:
    """A planned run and its ending: `finished` or `paused`, now or `found` so; `found running` elsewhere; `failed`."""

    planned: PlannedRun
    ending: Ending
    record: RunRecord | None = None
    error: str = ""

    @property
    def judged_by(self) -> str | None:
        """The score a person watches, such as `eval_in_domain/mcc`; None for a run that never began."""
        name = self._summary("judged_by")
        return name if isinstance(name, str) else None

    @property
    def chosen_by(self) -> str | None:
        """The score that chose the weights; None where none did, because the last weights are kept."""
        name = self._summary("chosen_by")
        return name if isinstance(name, str) else None

    @property
    def kept_step(self) -> int | None:
        """The step of the kept weights: where the score was best, or the last."""
        step = self._summary("best_step")
        return step if isinstance(step, int) else None

    @property
    def scores(self) -> dict[str, float]:
        """The metric on every eval set at the step of the kept weights, the one the run is judged by first.

        For example `eval_in_domain/mcc` and `eval_out_of_domain/mcc`; with averaging also those of the plain model
        at that step, such as `eval_plain/mcc`. Empty while there are none.
        """
        judge = self.judged_by
        if judge is None or self.record is None:
            return {}
        beginning, ending = "best/" if self.chosen_by else "final/", "/" + judge.rpartition("/")[2]
        found = {
            name.removeprefix(beginning): score
            for name, score in self.record.summary.items()
            if name.startswith(beginning) and name.endswith(ending)
        }
        return dict(sorted(found.items(), key=lambda item: (item[0] != judge, item[0])))

    def __str__(self) -> str:
        if self.ending == "failed":
            return f"{self.planned.name}: failed: {self.error}"
        if self.ending == "found running":
            return f"{self.planned.name}: left alone, another process is training it"
        if self.ending in ("paused", "found paused") and self.record:
            return f"{self.planned.name}: {self.ending} at update {self.record.summary['halted_at']}"
        told = " ".join(f"{name} {score:.4f}" for name, score in self.scores.items())
        which = "best" if self.chosen_by else "last"
        at = f"{which} {told} at update {self.kept_step}" if told else "no score was a number"
        early = ", stopped early" if self._summary("stopped_early_at") else ""
        return f"{self.planned.name}: {self.ending.replace('found ', 'already ')}{early}, {at}"

    def _summary(self, name: str) -> Any:
        return self.record.summary.get(name) if self.record else None
