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
    def chosen_by(self) -> str | None:
        """The score that chose the weights, such as `eval_in_domain/mcc`; None for a run that has not finished."""
        name = self._summary("chosen_by")
        return name if isinstance(name, str) else None

    @property
    def best_step(self) -> int | None:
        """The step the weights were chosen at."""
        step = self._summary("best_step")
        return step if isinstance(step, int) else None

    @property
    def scores(self) -> dict[str, float]:
        """The metric on every eval set at the step the weights were chosen at, the choosing set first.

        For example `eval_in_domain/mcc` and `eval_out_of_domain/mcc`; empty while there are none.
        """
        chosen = self.chosen_by
        if chosen is None or self.record is None:
            return {}
        ending = "/" + chosen.rpartition("/")[2]
        found = {
            name.removeprefix("best/"): score
            for name, score in self.record.summary.items()
            if name.startswith("best/") and name.endswith(ending)
        }
        return dict(sorted(found.items(), key=lambda item: (item[0] != chosen, item[0])))

    def __str__(self) -> str:
        if self.ending == "failed":
            return f"{self.planned.name}: failed: {self.error}"
        if self.ending == "found running":
            return f"{self.planned.name}: left alone, another process is training it"
        if self.ending in ("paused", "found paused") and self.record:
            return f"{self.planned.name}: {self.ending} at update {self.record.summary['halted_at']}"
        told = " ".join(f"{name} {score:.4f}" for name, score in self.scores.items())
        at = f" best {told} at update {self.best_step}" if told else " no score was a number"
        return f"{self.planned.name}: {self.ending.replace('found ', 'already ')},{at}"

    def _summary(self, name: str) -> Any:
        return self.record.summary.get(name) if self.record else None
