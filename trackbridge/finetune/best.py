"""The best weights so far, on disk at every moment, and the scores by step that say which they are.

`Trainer` keeps the best weights only where a checkpoint happened to be saved at the best step; evaluating every
25 updates and checkpointing every 500, it would keep the best of every twentieth.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from trackbridge.journal.paths import kept_folder
from trackbridge.run.run import Run
from trackbridge.run.upkeep import checkpoint_deleted


@dataclass(frozen=True, slots=True)
class Best:
    """The highest score of the chosen set, and the first step that reached it."""

    score: float
    step: int


class KeepBest(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Writes the weights to `<folder>/best-<step>` whenever `Trainer`'s metric `key` reaches a new height.

    An older best is removed only after a resume checkpoint that knows of the newer one: a training that is
    killed in between goes back to that checkpoint, and finds the best of that moment still there.
    """

    def __init__(self, folder: Path, key: str, tokenizer: PreTrainedTokenizerBase) -> None:
        self.best: Best | None = None
        self.folder = folder
        self._key = key
        self._tokenizer = tokenizer

    @property
    def path(self) -> Path | None:
        """The folder of the best weights, once there are any."""
        return self._path(self.best.step) if self.best else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the best of the training that is resumed, from the log in its checkpoint, where it is still there."""
        for entry in state.log_history:
            if self._path(entry["step"]).is_dir():
                self._note(entry.get(self._key, math.nan), entry["step"])

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
        is_new = self._note(metrics.get(self._key, math.nan), state.global_step)
        if is_new and state.is_world_process_zero:
            self._save(model, state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remove what no resume can need any more."""
        if state.is_world_process_zero:
            self.remove_others()

    def remove_others(self) -> None:
        """Remove every `best-*` folder but the best."""
        for folder in self.folder.glob("best-*"):
            if folder != self.path:
                shutil.rmtree(folder, ignore_errors=True)

    def keep_in(self, run: Run, scores: Mapping[str, float]) -> Path | None:
        """Make the best weights a checkpoint of the run, in its own files; where they are now, if there are any."""
        if self.best is None or self.path is None:
            return None
        run.log_checkpoint(self.path, step=self.best.step, metrics=scores, keep=True)
        kept = kept_folder(run.path, self.best.step)
        if not kept.is_dir():
            # the disk refused the copy, and the run said so: the original is all there is
            return self.path
        shutil.rmtree(self.path, ignore_errors=True)
        checkpoint_deleted(run, self.path, step=self.best.step)
        return kept

    def _note(self, score: float, step: int) -> bool:
        # NaN is greater than nothing, so a diverged model never becomes the best
        if score > (self.best.score if self.best else -math.inf):
            self.best = Best(score, step)
            return True
        return False

    def _save(self, model: PreTrainedModel, step: int) -> None:
        draft = self.folder / f".best-{step}"
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(draft)
        self._tokenizer.save_pretrained(draft)
        target = self._path(step)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)

    def _path(self, step: int) -> Path:
        return self.folder / f"best-{step}"


def scores_at(step: int, history: Sequence[Mapping[str, Any]], prefixes: Sequence[str]) -> dict[str, float]:
    """Every score and loss logged at a step of `state.log_history`, as `eval_dev/mcc` for the prefix `eval_dev`."""
    named = re.compile(rf"({'|'.join(map(re.escape, prefixes))})_(mcc|accuracy|f1|pearson|loss)")
    scores: dict[str, float] = {}
    for entry in history:
        if entry["step"] == step:
            matches = ((named.fullmatch(key), value) for key, value in entry.items())
            scores.update({f"{match[1]}/{match[2]}": value for match, value in matches if match})
    return scores
