"""Weights a training may end up keeping: on disk from the moment they are chosen, and in the run's files at the end."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trackbridge.finetune.checkpoints import training_folder
from trackbridge.finetune.techniques.lora import merged
from trackbridge.journal.paths import kept_folder
from trackbridge.run.run import Run
from trackbridge.run.upkeep import checkpoint_deleted


class KeptWeights:
    """The weights of single steps of a run, with their tokenizer, in `training/best-<step>` below its folder."""

    def __init__(self, run: Run, tokenizer: PreTrainedTokenizerBase) -> None:
        self.folder = training_folder(run)
        self._run = run
        self._tokenizer = tokenizer

    def has(self, step: int) -> bool:
        """Whether the weights of a step are there, here or already among the run's files."""
        return self._path(step).is_dir() or kept_folder(self._run.path, step).is_dir()

    def save(self, model: PreTrainedModel, step: int) -> None:
        """Write the weights of a step; a kill on the way leaves nothing that `has` takes for them."""
        draft = self.folder / f".best-{step}"
        shutil.rmtree(draft, ignore_errors=True)
        merged(model).save_pretrained(draft)
        self._tokenizer.save_pretrained(draft)
        shutil.rmtree(self._path(step), ignore_errors=True)
        draft.replace(self._path(step))

    def remove_all_but(self, step: int | None) -> None:
        """Remove the weights of every other step."""
        for folder in self.folder.glob("best-*"):
            if step is None or folder != self._path(step):
                shutil.rmtree(folder, ignore_errors=True)

    def hand_over(self, step: int | None, scores: Mapping[str, float]) -> Path | None:
        """Make the weights of a step, if there is one, a checkpoint of the run in its own files; their folder then.

        Those of the other steps are removed.
        """
        self.remove_all_but(step)
        if step is None:
            return None
        original, kept = self._path(step), kept_folder(self._run.path, step)
        if not original.is_dir():
            # handed over by a session that was killed before it could say that the run is finished
            return kept
        self._run.log_checkpoint(original, step=step, metrics=scores, keep=True)
        if not kept.is_dir():
            # the disk refused the copy, and the run said so: the original is all there is
            return original
        shutil.rmtree(original, ignore_errors=True)
        checkpoint_deleted(self._run, original, step=step)
        return kept

    def _path(self, step: int) -> Path:
        return self.folder / f"best-{step}"
