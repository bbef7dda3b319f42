"""The thread from a `Trainer` to the display of the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.display import TrainingDisplay


class ShowProgress(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Tells a display the step of the training `name`, and its scores once all `n_eval_sets` were scored at a step."""

    def __init__(self, display: TrainingDisplay, name: str, metric: str, *, n_eval_sets: int) -> None:
        self._display = display
        self._name = name
        self._metric = metric
        self._n_eval_sets = n_eval_sets
        self._scores: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Where the bar begins, which after a resume is not 0."""
        self._display.advanced(self._name, state.global_step, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One update more."""
        self._display.advanced(self._name, state.global_step, state.max_steps)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, float],
        **kwargs: Any,
    ) -> None:
        """One eval set was scored; the others follow at the same step."""
        ending = f"_{self._metric}"
        self._scores.update({k.removesuffix(ending): v for k, v in metrics.items() if k.endswith(ending)})
        if len(self._scores) == self._n_eval_sets:
            told = (f"{name}/{self._metric} {score:.4f}" for name, score in self._scores.items())
            self._display.scored(self._name, " ".join(told))
            self._scores = {}
