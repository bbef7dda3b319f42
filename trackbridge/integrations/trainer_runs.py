"""
Which run a training belongs to: one the user opened, or one of the callback's own for each `train()`.

A run of the user's is never opened and never finished here: its status is its context manager's.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from trackbridge.errors import RunClosedError
from trackbridge.integrations.trainer_folders import resumed_folder
from trackbridge.journal.sidecar import read_sidecar
from trackbridge.run.lifecycle import start_run
from trackbridge.run.run import Run

_logger = logging.getLogger(__name__)


class GivenRun:
    """The run of a user who opened it, and who will finish it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._is_told = False

    def begin(self, args: TrainingArguments, state: TrainerState) -> Run:
        """The run, for a training that begins.

        Raises:
            RunClosedError: it has ended, which is best known before the training than after it.
        """
        if self._run.is_closed:
            raise RunClosedError(
                f"run {self._run.name!r} ended before train() began: call train() inside its `with` block,"
                " or give TrackingCallback a project instead of a run"
            )
        return self._run

    @contextmanager
    def run_of(self, args: TrainingArguments, state: TrainerState) -> Iterator[Run | None]:
        """The run, for whatever Trainer logs; None, told once, when it has ended."""
        if not self._run.is_closed:
            yield self._run
            return
        if not self._is_told:
            self._is_told = True
            _logger.warning(
                "run %r has ended, so this evaluation is not recorded: call evaluate() and predict() inside its"
                " `with` block",
                self._run.name,
            )
        yield None

    def end(self, state: TrainerState, control: TrainerControl) -> None:
        """Nothing: whoever opened the run finishes it."""


class OwnRuns:
    """A new run for each `train()` and each trial of a search; a resumed training goes on in its old run."""

    def __init__(
        self,
        project: str,
        name: str | None,
        group: str | None,
        tags: Sequence[str],
        root: str | Path | None,
        to: Sequence[str] | None,
    ) -> None:
        self._project = project
        self._name = name
        self._group = group
        self._tags = tuple(tags)
        self._root = root
        self._to = to
        self._run: Run | None = None
        # The state whose training the run belongs to; Trainer makes a new one at each train().
        self._state: TrainerState | None = None
        self._is_training = False

    def begin(self, args: TrainingArguments, state: TrainerState) -> Run:
        """A run for a training that begins; one that an evaluation just before opened is taken."""
        run = self._run if self._is_waiting_for(state) else None
        if run is None:
            self._close_open_run()
            run = self._start(args, state)
        self._run, self._state, self._is_training = run, state, True
        # Registered after the safety nets of the run itself, so called before them: they would say "finished".
        atexit.register(self._close_open_run)
        return run

    @contextmanager
    def run_of(self, args: TrainingArguments, state: TrainerState) -> Iterator[Run | None]:
        """The run of the training this state belongs to, opened again for the moment when it has ended.

        For an evaluation before any training a new one begins, and the `train()` that follows takes it.
        """
        if self._run is None or not self._is_of(state):
            self._close_open_run()
            self._run, self._state = self._start(args, state), state
        run = self._run
        if not run.is_closed:
            yield run
            return
        root = run.path.parent.parent
        with start_run(self._project, name=run.name, run_id=run.run_id, root=root, to=self._to) as again:
            yield again

    def end(self, state: TrainerState, control: TrainerControl) -> None:
        """Finish the run of a training that came to its end."""
        if self._run is None or not self._is_of(state):
            return
        # Trainer announces the end of a trial before it raises optuna's TrialPruned.
        if state.is_hyper_param_search and state.global_step < state.max_steps and not control.should_training_stop:
            self._run.set_tags(*self._tags, "pruned")
        self._is_training = False
        atexit.unregister(self._close_open_run)
        self._run.finish()

    def _is_waiting_for(self, state: TrainerState) -> bool:
        is_open = self._run is not None and not self._run.is_closed and not self._is_training
        return is_open and state.global_step == 0 and not state.is_hyper_param_search

    def _is_of(self, state: TrainerState) -> bool:
        return state is self._state

    def _close_open_run(self) -> None:
        if self._run is None or self._run.is_closed:
            return
        if not self._is_training:
            self._run.finish()
            return
        # Trainer tells no callback about an exception: that something else begins is the first sign of it.
        step = self._state.global_step if self._state is not None else 0
        self._run.finish("failed", error=f"train() stopped after step {step} without reaching its end")
        self._is_training = False

    def _start(self, args: TrainingArguments, state: TrainerState) -> Run:
        return start_run(
            self._project,
            name=_label(self._name or args.run_name, state),
            group=self._group or (_search_name(self._name, args) if state.is_hyper_param_search else None),
            tags=self._tags,
            root=self._root,
            to=self._to,
            **self._origin(args, state),
        )

    def _origin(self, args: TrainingArguments, state: TrainerState) -> dict[str, Any]:
        if state.global_step == 0:
            return {}
        folder = resumed_folder(args, state)
        if folder is None:
            place = f"a checkpoint that does not lie in {args.output_dir!r}"
            return {"notes": f"resumed at step {state.global_step} from {place}"}
        sidecar = read_sidecar(folder)
        if sidecar is None or sidecar.project == self._project:
            return {"resume_from": folder}
        belongs = f"run {sidecar.run_id} of project {sidecar.project!r}"
        return {"notes": f"resumed at step {state.global_step} from {str(folder)!r}, which belongs to {belongs}"}


def _label(name: str | None, state: TrainerState) -> str | None:
    if not state.is_hyper_param_search:
        return name
    drawn = ", ".join(f"{key}={_shortened(value)}" for key, value in (state.trial_params or {}).items())
    return " ".join(part for part in (name, state.trial_name or drawn) if part) or None


def _shortened(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _search_name(name: str | None, args: TrainingArguments) -> str:
    return name or args.run_name or f"search in {Path(args.output_dir).name}"
