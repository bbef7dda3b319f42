"""The checkpoints of one training: recorded with their scores, kept where asked, told as deleted once they are gone."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from transformers import TrainerState, TrainingArguments

from trackbridge.events.names import lower_is_better
from trackbridge.events.trainer_names import numbers_of, scores_of
from trackbridge.journal.paths import kept_folder
from trackbridge.journal.sidecar import read_sidecar
from trackbridge.run.run import Run
from trackbridge.run.upkeep import checkpoint_deleted, drop_kept

_logger = logging.getLogger(__name__)

Policy: TypeAlias = Literal["all", "best", "none"]
"""Which checkpoints get a copy in the run folder."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What "best" means in a training: the same metric and direction by which `Trainer` itself chooses."""

    key: str
    is_lower_better: bool

    @classmethod
    def of(cls, args: TrainingArguments) -> Ranking:
        """By `metric_for_best_model` and `greater_is_better`, else by the lowest `eval_loss`."""
        metric = args.metric_for_best_model or "loss"
        key = metric if metric.startswith("eval_") else f"eval_{metric}"
        is_greater_better = args.greater_is_better
        return cls(key, lower_is_better(key) if is_greater_better is None else not is_greater_better)

    def better(self, one: Scored | None, other: Scored | None) -> Scored | None:
        """The better of the two; the earlier one when they are equal, as in `Trainer`."""
        if one is None or other is None:
            return one or other
        is_better = other.score < one.score if self.is_lower_better else other.score > one.score
        return other if is_better else one


@dataclass(frozen=True, slots=True)
class Scored:
    """A step and the ranking's score at it, which is finite."""

    step: int
    score: float


class TrainerCheckpoints:
    """Follows the checkpoints of one training into one run."""

    def __init__(self, run: Run, policy: Policy, ranking: Ranking) -> None:
        self._run = run
        self._policy = policy
        self._ranking = ranking
        self._present: dict[Path, int] = {}
        self._scores: dict[str, float] = {}
        self._scores_step = -1
        # Scores by which checkpoints are ranked: of this step, the best of any step, the best that is kept.
        self._latest: Scored | None = None
        self._best: Scored | None = None
        self._kept: Scored | None = None

    def take_over(self, state: TrainerState, resumed_from: Path) -> None:
        """Know again what an earlier session of the same run saved and kept, up to the step it goes on from."""
        for folder in resumed_from.parent.iterdir():
            sidecar = read_sidecar(folder)
            if sidecar is not None and sidecar.run_id == self._run.run_id:
                self._present[folder] = sidecar.step
        for entry in state.log_history:
            scored = self._scored(entry, int(entry["step"]))
            if scored is not None and kept_folder(self._run.path, scored.step).is_dir():
                self._kept = self._ranking.better(self._kept, scored)

    def evaluated(self, metrics: Mapping[str, object], step: int) -> None:
        """Remember the scores of an evaluation; several data sets at one step add up."""
        if step != self._scores_step:
            self._scores, self._scores_step, self._latest = {}, step, None
        self._scores.update(scores_of(metrics))
        self._latest = self._scored(metrics, step) or self._latest
        self._best = self._ranking.better(self._best, self._latest)

    def saved(self, folder: Path, step: int) -> None:
        """Record a checkpoint with what was scored at this very step, and keep it if that is asked for."""
        is_scored = step == self._scores_step
        is_best = is_scored and self._beats_kept(self._latest)
        keep = self._policy == "all" or (self._policy == "best" and is_best)
        self._run.log_checkpoint(folder, step=step, metrics=self._scores if is_scored else {}, keep=keep)
        self._present[folder] = step
        if self._policy == "best" and is_best:
            self._replace_kept(self._latest)
        self.note_deleted()

    def note_deleted(self) -> None:
        """Record which of the checkpoints `Trainer` has rotated away since."""
        for folder, step in list(self._present.items()):
            if not folder.is_dir():
                del self._present[folder]
                checkpoint_deleted(self._run, folder, step=step)

    def ended(self) -> None:
        """Record the last rotation, and say so when the best step was never saved."""
        self.note_deleted()
        if self._policy != "best":
            return
        if self._best is None and self._kept is None:
            _logger.warning(
                "checkpoints='best' kept nothing: no evaluation gave a finite %r. Evaluate during training, and"
                " name one of its metrics in metric_for_best_model.",
                self._ranking.key,
            )
        elif self._best is not None and self._beats_kept(self._best):
            _logger.warning(
                "%s was best at step %s, which was never saved or could not be kept. Set save_strategy='best', or"
                " the same steps for evaluating and saving.",
                self._ranking.key,
                self._best.step,
            )

    def _scored(self, metrics: Mapping[str, object], step: int) -> Scored | None:
        score = numbers_of({key: value for key, value in metrics.items() if key == self._ranking.key})
        finite = [value for value in score.values() if math.isfinite(value)]
        return Scored(step, finite[0]) if finite else None

    def _beats_kept(self, scored: Scored | None) -> bool:
        return self._ranking.better(self._kept, scored) is not self._kept

    def _replace_kept(self, best: Scored | None) -> None:
        # A full disk may have refused the new copy: then the earlier best is all there is.
        if best is None or not kept_folder(self._run.path, best.step).is_dir():
            return
        if self._kept is not None and self._kept.step != best.step:
            drop_kept(self._run, step=self._kept.step)
        self._kept = best
