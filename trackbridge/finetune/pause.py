"""Where a training pauses, so that a study can choose which of its runs go on (`halting`)."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.plan import Halt
from trackbridge.run.run import Run


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
