"""Which weights a training keeps: the best so far, or the last; and the scores by step that say which are the best.

`Trainer` keeps the best weights only where a checkpoint happened to be saved at the best step; evaluating every
25 updates and checkpointing every 500, it would keep the best of every twentieth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.kept_weights import KeptWeights

_SCORES = "mcc|accuracy|f1|pearson|loss|perplexity|nsp_accuracy"


class KeepBest(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Keeps the weights whenever `Trainer`'s metric `key` reaches a new height; `step` is that of the highest so far.

    The older best is removed only after a resume checkpoint that knows of the newer one: a training that is
    killed in between goes back to that checkpoint, and finds the best of that moment still there.
    """

    def __init__(self, weights: KeptWeights, key: str) -> None:
        self.step: int | None = None
        self._score = -math.inf
        self._weights = weights
        self.key = key

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the best of the training that is resumed, from the log in its checkpoint, where it is still there."""
        for entry in state.log_history:
            if self._weights.has(entry["step"]):
                self._note(entry.get(self.key, math.nan), entry["step"])

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        metrics: Mapping[str, float],
        **kwargs: Any,
    ) -> None:
        """Save when this evaluation is the best."""
        is_new = self._note(metrics.get(self.key, math.nan), state.global_step)
        if is_new and state.is_world_process_zero:
            self._weights.save(model, state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remove what no resume can need any more."""
        if state.is_world_process_zero:
            self._weights.remove_all_but(self.step)

    def _note(self, score: float, step: int) -> bool:
        # NaN is greater than nothing, so a diverged model never becomes the best
        if score > self._score:
            self._score, self.step = score, step
            return True
        return False


class KeepLast(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Keeps the weights of the last evaluation, whatever its score, so that no eval set has a say in them.

    `step` is None until then. The last evaluation is after the last update, be it that of an early stop.
    """

    def __init__(self, weights: KeptWeights, key: str) -> None:
        self.step: int | None = None
        self._weights = weights
        self.key = key

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the weights of a training that was killed after its last checkpoint."""
        if state.global_step == state.max_steps and self._weights.has(state.global_step):
            self.step = state.global_step

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        metrics: Mapping[str, float],
        **kwargs: Any,
    ) -> None:
        """Save when the training ends here. The key tells which of several models and sets was scored."""
        if control.should_training_stop and self.key in metrics:
            self.step = state.global_step
            if state.is_world_process_zero:
                self._weights.save(model, state.global_step)


def scores_at(step: int, history: Sequence[Mapping[str, Any]], prefixes: Sequence[str]) -> dict[str, float]:
    """Every score and loss logged at a step of `state.log_history`, as `eval_dev/mcc` for the prefix `eval_dev`."""
    named = re.compile(rf"({'|'.join(map(re.escape, prefixes))})_({_SCORES})")
    scores: dict[str, float] = {}
    for entry in history:
        if entry["step"] == step:
            matches = ((named.fullmatch(key), value) for key, value in entry.items())
            scores.update({f"{match[1]}/{match[2]}": value for match, value in matches if match})
    return scores
