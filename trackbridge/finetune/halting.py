"""Stopping the worst runs of a study early: where a run pauses, and which of the paused go on.

"Start many, stop early, continue some" (Dodge et al. 2020, https://arxiv.org/abs/2002.06305, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.blocks.study import Halting
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Halt
from trackbridge.run.run import Run
from trackbridge.store.records import RunRecord


class Pause(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Saves a checkpoint and ends the `train()` where it is to halt; the run records where that is, and of how many.

    A training that goes on from there is one that was never stopped, bit for bit.
    """

    def __init__(self, halt: Halt | None, run: Run) -> None:
        self._halt = halt
        self._run = run
        self.is_over = False
        """Whether the training ended here, before its last update."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say how many updates the whole training has."""
        self._run.log_summary({"planned_updates": state.max_steps})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Pause at the first update from there on at which the Trainer logs: a resumed one begins a new mean."""
        step = state.global_step
        if self._halt is None or step % int(args.logging_steps):
            return
        if self._halt.at * state.max_steps <= step < state.max_steps:
            control.should_save = control.should_training_stop = self.is_over = True
            self._run.log_summary({"halted_at": step, "halted_by": self._halt.rule})


def going_on(paused: Sequence[Outcome], halting: Halting) -> list[Outcome]:
    """Those of the paused runs that are to be trained to their end, in the order given.

    At least one of each pool goes on, and all of them where none has a score yet; of equals the run planned first.
    """
    scores = [score_so_far(outcome) for outcome in paused]
    chosen: set[int] = set()
    for pool in _pools(paused, halting).values():
        ranked = sorted(pool, key=lambda index: -scores[index])
        unscored = all(scores[index] == -math.inf for index in pool)
        stopping = 0 if unscored else min(int(halting.stop * len(pool)), len(pool) - 1)
        chosen.update(ranked[: len(pool) - stopping])
    return [paused[index] for index in sorted(chosen)]


def _pools(paused: Sequence[Outcome], halting: Halting) -> dict[str, list[int]]:
    pools: dict[str, list[int]] = {}
    for index, outcome in enumerate(paused):
        pools.setdefault(outcome.planned.variant if halting.among == "variant" else "", []).append(index)
    return pools


def score_so_far(outcome: Outcome) -> float:
    """The best judging score up to the pause, also of a run that has long gone on; -inf for none, such as NaN."""
    record, name, halt = outcome.record, outcome.judged_by, outcome.planned.halt
    if record is None or name is None or halt is None or name not in record.metrics:
        return -math.inf
    curve = record.series(name)
    until = halt.at * planned_updates(record)
    scores = [value for step, value in zip(curve.steps, curve.values, strict=True) if step <= until]
    return max((float(score) for score in scores if not math.isnan(score)), default=-math.inf)


def planned_updates(record: RunRecord) -> float:
    """How many updates the whole training has; infinite for a run that never said so."""
    updates = record.summary.get("planned_updates")
    return float(updates) if isinstance(updates, int) else math.inf
