"""
`TrackingCallback`: a Hugging Face `Trainer` recorded as a run.

`Trainer` has no hook for a crash, hands over neither paths nor exceptions, and shares its dictionaries among all
callbacks. So status belongs to whoever opened the run, folders are found on disk, and everything is copied.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.errors import JournalWriteError, MisuseError, TrackbridgeError, nearest
from trackbridge.events.trainer_names import is_final_report, metrics_of, numbers_of
from trackbridge.integrations.trainer_checkpoints import Policy, Ranking, TrainerCheckpoints
from trackbridge.integrations.trainer_config import seeds_in_force, trainer_config
from trackbridge.integrations.trainer_folders import loaded_step, resumed_folder, saved_folder, unshare_leftovers
from trackbridge.integrations.trainer_runs import GivenRun, OwnRuns
from trackbridge.journal.paths import journal_files
from trackbridge.run.run import Run
from trackbridge.run.upkeep import heartbeat

__all__ = ["TrackingCallback"]
_logger = logging.getLogger(__name__)


def _observing(event: Callable[..., None]) -> Callable[..., None]:
    """The event on the main process only; trouble of ours is told once and never stops a training.

    Only misuse known before the first step is raised, and a refused write where `strict` asks for it.
    """
    raised = TrackbridgeError if event.__name__ == "on_train_begin" else JournalWriteError

    @functools.wraps(event)
    def observe(
        self: TrackingCallback, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        try:
            event(self, args, state, control, **others)
        except raised:
            raise
        except Exception as error:  # noqa: BLE001 - told once; a tracker must not stop a training (transformers#8849)
            self._tell_once(event.__name__, error)

    return observe


class TrackingCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """
    Records every `train()` of a `Trainer`: arguments, configs, seeds, metrics, checkpoints. One per `Trainer`.

    Args:
        run: a run of yours. It is yours to finish, so its context manager decides how it ended.
        project: instead of a run, the project in which each `train()` and each search trial gets a run of its own.
        name, group, tags, root, to: of those runs, as in `trackbridge.start_run`; `name` falls back on
            `args.run_name`.
        checkpoints: which checkpoints the run folder keeps a copy of, safe from `save_total_limit`: "none",
            "best" (the best so far by `metric_for_best_model`) or "all". All of them are recorded in any case.

    Raises:
        MisuseError: neither or both of `run` and `project`; settings of a new run beside a run; another policy.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        project: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        checkpoints: Policy = "none",
        root: str | Path | None = None,
        to: Sequence[str] | None = None,
    ) -> None:
        if (run is None) == (project is None):
            raise MisuseError("TrackingCallback takes either a run of yours or project=..., in which it opens its own")
        if run is not None and (name or group or tags or root or to):
            raise MisuseError(
                "name, group, tags, root and to are those of a new run: give them to start_run(...) instead"
            )
        if checkpoints not in get_args(Policy):
            raise MisuseError(f"checkpoints is {checkpoints!r}{nearest(str(checkpoints), get_args(Policy))}")
        self._runs = GivenRun(run) if run is not None else OwnRuns(str(project), name, group, tags, root, to)
        self._policy: Policy = checkpoints
        self._run: Run | None = None
        self._training: TrainerState | None = None
        self._checkpoints: TrainerCheckpoints | None = None
        self._told: set[str] = set()

    @_observing
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **others: Any
    ) -> None:
        """Open or take the run, and record what the training was told."""
        run = self._runs.begin(args, state)
        self._run, self._training = run, state
        self._checkpoints = TrainerCheckpoints(run, self._policy, Ranking.of(args))
        for scope, config in trainer_config(args, state, model).items():
            run.log_config(config, scope=scope)
        # A run that goes on has its seeds from its first session, perhaps from its owner, who knows better.
        if run.seeds is None and (state.global_step == 0 or len(journal_files(run.path)) == 1):
            run.log_seeds(seeds_in_force(args))
        resumed_from = resumed_folder(args, state) if state.global_step else None
        if resumed_from is not None:
            self._checkpoints.take_over(state, resumed_from)
        unshare_leftovers(args, state)

    @_observing
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Show that the training is alive."""
        if self._run is not None:
            heartbeat(self._run)

    @_observing
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Record what `Trainer` logs: training, evaluation, and the totals at the end."""
        with self._runs.run_of(args, state) as run:
            if run is None or logs is None:
                return
            if is_final_report(logs):
                run.log_summary(numbers_of(logs))
            else:
                self._log_metrics(run, logs, args, state)

    @_observing
    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Remember the scores for the checkpoint that may follow; `on_log` has recorded them."""
        if self._checkpoints is not None and self._is_training(state):
            self._checkpoints.evaluated(metrics or {}, state.global_step)

    @_observing
    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Record the metrics of `predict()`, which `Trainer` does not log."""
        with self._runs.run_of(args, state) as run:
            if run is not None:
                self._log_metrics(run, metrics or {}, args, state)

    @_observing
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Record the checkpoint that was just saved."""
        folder = saved_folder(args, state)
        if folder is None:
            _logger.warning("no checkpoint of step %s found below %r", state.global_step, args.output_dir)
        elif self._checkpoints is not None:
            self._checkpoints.saved(folder, state.global_step)

    @_observing
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Record the last rotation, and finish the run if it is the callback's own."""
        if self._checkpoints is not None:
            self._checkpoints.ended()
        self._runs.end(state, control)
        self._run = self._training = self._checkpoints = None

    def _log_metrics(self, run: Run, logs: Mapping[str, Any], args: TrainingArguments, state: TrainerState) -> None:
        step, epoch = state.global_step, state.epoch
        # After training the weights may be those of an earlier checkpoint, but state.global_step stays the last.
        if not self._is_training(state) and (loaded := loaded_step(args, state)) is not None:
            step, epoch = loaded, None
        run.log(metrics_of(logs), step=step, epoch=epoch)

    def _is_training(self, state: TrainerState) -> bool:
        # Trainer makes a new state at each train() and keeps it for what is evaluated afterwards.
        return state is self._training

    def _tell_once(self, event: str, error: Exception) -> None:
        if event not in self._told:
            self._told.add(event)
            _logger.warning("trackbridge could not record %s; training goes on: %r", event, error, exc_info=error)
