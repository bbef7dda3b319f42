"""Early stopping: the training ends when evaluations go by without gain.

Sources: Prechelt 1998, "Early stopping - but when?" (of its criteria the one that counts evaluations without gain), and
Dodge et al. 2020, https://arxiv.org/abs/2002.06305, for fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.blocks.techniques import EarlyStopping
from trackbridge.run.run import Run


class StopEarly(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends the training after too many evaluations without gain in `Trainer`'s metric `key`; the run records it.

    There is no counter to lose in a resume, as that of transformers' own callback is: the log in every checkpoint has
    all the scores so far, and the count is taken from them anew at each evaluation.
    """

    def __init__(self, block: EarlyStopping, key: str, run: Run) -> None:
        self._block = block
        self._key = key
        self._run = run

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, float],
        **kwargs: Any,
    ) -> None:
        """Count, and stop where it is time to."""
        if self._key not in metrics or state.global_step >= state.max_steps:
            return
        scores = (entry[self._key] for entry in state.log_history if self._key in entry)
        if evaluations_without_gain(scores, min_gain=self._block.min_gain) < self._block.patience:
            return
        control.should_training_stop = True
        # A resume from a checkpoint of this step would train one update more before it could stop again.
        control.should_save = False
        self._run.log_summary(
            {
                "stopped_early_at": state.global_step,
                "stopped_early_by": f"{self._block.patience} evaluations without a gain of more than"
                f" {self._block.min_gain:g} in {self._key}, of {state.max_steps} updates planned",
            }
        )


def evaluations_without_gain(scores: Iterable[float], *, min_gain: float) -> int:
    """How many of the last scores in a row were no more than `min_gain` above the best before them; NaN is no gain."""
    best, count = -math.inf, 0
    for score in scores:
        if score > best + min_gain:
            best, count = score, 0
        else:
            count += 1
    return count
