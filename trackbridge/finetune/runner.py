"""One planned run, trained once: what it builds on first, then itself, unless it is done or being done elsewhere.

What is done is read from the journals below the root. A run that stopped half-way goes on from its last checkpoint;
one that another process is training is left to it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.checkpoints import last_checkpoint
from trackbridge.finetune.display import Display
from trackbridge.finetune.identity import planned_identity, recorded_identity
from trackbridge.finetune.origins import Origin, Role, TrainingConfig, origin_of, origins_wanted
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.finetune.progress import ShowProgress
from trackbridge.finetune.ranks import of_first_rank
from trackbridge.finetune.trainings import Training, training_of
from trackbridge.journal.paths import new_id
from trackbridge.run.lifecycle import start_run
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store

_LOOK_AGAIN_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Beginning:
    """How a planned run is to begin: as a new run, from a checkpoint of an older one, or not at all."""

    run_id: str
    checkpoint: Path | None = None
    found: Literal["found finished", "found running"] | None = None


class Runner:
    """Trains planned runs below the root of a store, telling a display."""

    def __init__(self, store: Store, display: Display) -> None:
        self._store = store
        self._display = display

    def outcome_of(self, planned: PlannedRun) -> Outcome:
        """Train the run unless it is done or being done, and what it builds on before; tell the display how it went."""
        try:
            outcome = self._trained(planned)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's end and told in its outcome
            _log.debug("run %r failed", planned.name, exc_info=True)
            # on one line: errors of libraries come with paragraphs
            outcome = Outcome(planned, "failed", error=" ".join(f"{type(error).__name__}: {error}".split()))
        self._display.run_ended(outcome)
        return outcome

    def _trained(self, planned: PlannedRun) -> Outcome:
        origins = {role: self._origin(planned, role, config) for role, config in origins_wanted(planned.config).items()}
        training = training_of(planned.config, origins)
        identity = planned_identity(planned.config, training.digests, origins)
        beginning = of_first_rank(self._beginning(planned, identity))
        if beginning.found is not None:
            return Outcome(planned, beginning.found, self._record(beginning.run_id))
        self._train(planned, training, beginning, origins)
        return Outcome(planned, "finished", self._record(beginning.run_id))

    def _train(
        self, planned: PlannedRun, training: Training, beginning: _Beginning, origins: dict[Role, Origin]
    ) -> None:
        self._display.run_began(planned, resumed_from=beginning.checkpoint)
        with start_run(
            planned.config.project,
            name=planned.name,
            group=planned.group,
            root=self._store.root,
            run_id=beginning.run_id,
            resume_from=beginning.checkpoint,
        ) as run:
            run.log_config({"name": planned.group, "variant": planned.variant}, scope="study")
            if origins:
                run.log_config({role: origin.recorded() for role, origin in origins.items()}, scope="lineage")
            watch = ShowProgress(self._display, training.metric, n_eval_sets=training.n_eval_sets)
            training.train(run, beginning.checkpoint, [watch])

    def _origin(self, planned: PlannedRun, role: Role, config: TrainingConfig) -> Origin:
        """The training that `planned` builds on, done now if it was not done before."""
        stage = planned.stage(config)
        outcome = self._trained(stage)
        while outcome.ending == "found running":
            # another process trains it, and there is nothing to watch but its journal
            time.sleep(_LOOK_AGAIN_S)
            outcome = self._trained(stage)
        self._display.run_ended(outcome)
        origin = origin_of(outcome.record) if outcome.record else None
        if origin is None:
            raise PipelineConfigError(
                f"{stage.name}: no score of it was a number, so there are no {role} to begin with"
            )
        return origin

    def _beginning(self, planned: PlannedRun, identity: str) -> _Beginning:
        same = [run for run in self._runs(planned) if recorded_identity(run) == identity]
        for run in same:
            if run.status == "finished" and (not planned.is_stage or origin_of(run)):
                return _Beginning(run.run_id, found="found finished")
        for run in same:
            if run.status == "running":
                return _Beginning(run.run_id, found="found running")
        stopped = [(run, checkpoint) for run in same if (checkpoint := last_checkpoint(run))]
        if not stopped:
            return _Beginning(new_id())
        run, checkpoint = max(stopped, key=lambda pair: pair[0].started_ns)
        return _Beginning(run.run_id, checkpoint)

    def _runs(self, planned: PlannedRun) -> list[RunRecord]:
        return self._store.runs(project=planned.config.project, group=planned.group)

    def _record(self, run_id: str) -> RunRecord | None:
        # None on the ranks that record nothing, when they look before rank 0 has written
        return next((run for run in self._store.runs() if run.run_id == run_id), None)
