"""One planned run, trained once: what it builds on first, then itself, unless it is done or being done elsewhere.

What is done is read from the journals below the root. A run that stopped half-way goes on from its last checkpoint;
one that another process is training is left to it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trackbridge.comparison.halted import is_halted
from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.checkpoints import last_checkpoint
from trackbridge.finetune.display import TrainingDisplay
from trackbridge.finetune.identity import planned_identity, recorded_identity
from trackbridge.finetune.origins import Origin, Role, TrainingConfig, origin_of, origins_wanted
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.finetune.progress import ShowProgress
from trackbridge.finetune.ranks import is_first_rank, of_first_rank
from trackbridge.finetune.trainings import Training, training_of
from trackbridge.journal.lock import held
from trackbridge.journal.paths import new_id
from trackbridge.run.lifecycle import start_run
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store

_LOOK_AGAIN_S = 1.0
_log = logging.getLogger(__name__)


Found = Literal["found finished", "found paused", "found running"]


@dataclass(frozen=True)
class _Beginning:
    """How a planned run is to begin: as a new run, from a checkpoint of an older one, or not at all."""

    run_id: str
    checkpoint: Path | None = None
    found: Found | None = None
    was_paused: bool = False


class Runner:
    """Trains planned runs below the root of a store, telling a display."""

    def __init__(self, store: Store, display: TrainingDisplay) -> None:
        self._store = store
        self._display = display

    def outcome_of(self, planned: PlannedRun) -> Outcome:
        """Train the run unless it is done or being done, and what it builds on before; tell the display how it went."""
        return self._told(planned, self._trained)

    def outcome_awaited(self, planned: PlannedRun) -> Outcome:
        """The same, waiting for a process that trains the run already, and taking it up should that process die."""
        return self._told(planned, self._awaited)

    def _told(self, planned: PlannedRun, train: Callable[[PlannedRun], Outcome]) -> Outcome:
        try:
            outcome = train(planned)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's end and told in its outcome
            _log.debug("run %r failed", planned.name, exc_info=True)
            # on one line: errors of libraries come with paragraphs
            outcome = Outcome(planned, "failed", error=" ".join(f"{type(error).__name__}: {error}".split()))
        self._display.run_ended(outcome)
        return outcome

    def _awaited(self, planned: PlannedRun) -> Outcome:
        while (outcome := self._trained(planned)).ending == "found running":
            # nothing there to wait on but its journal
            time.sleep(_LOOK_AGAIN_S)
        return outcome

    def _trained(self, planned: PlannedRun) -> Outcome:
        origins = {role: self._origin(planned, role, config) for role, config in origins_wanted(planned.config).items()}
        training = training_of(planned.config, origins)
        identity = planned_identity(planned.config, training.digests, origins)
        with self._claimed(identity) as is_ours:
            beginning = of_first_rank(self._beginning(planned, identity, is_ours=is_ours))
            if beginning.found is None:
                self._train(planned, training, beginning, origins)
        record = self._record(beginning.run_id)
        return Outcome(planned, beginning.found or _ending(record), record)

    @contextmanager
    def _claimed(self, identity: str) -> Iterator[bool]:
        """Whether no other process is about to train this, or is training it; for as long as that is for us to do."""
        if not is_first_rank():
            yield True
            return
        folder = self._store.root / ".studies"
        folder.mkdir(exist_ok=True)
        digest = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        with held(folder / f"{digest}.lock") as is_ours:
            yield is_ours

    def _train(
        self, planned: PlannedRun, training: Training, beginning: _Beginning, origins: dict[Role, Origin]
    ) -> None:
        self._display.run_began(planned.name, resumed_from=beginning.checkpoint)
        with start_run(
            planned.config.project,
            name=planned.name,
            group=planned.group,
            root=self._store.root,
            run_id=beginning.run_id,
            resume_from=beginning.checkpoint,
        ) as run:
            run.log_config({"name": planned.group, "variant": planned.variant}, scope="study")
            if beginning.was_paused:
                run.log_summary({"halted_at": None, "halted_by": None})
            if origins:
                run.log_config({role: origin.recorded() for role, origin in origins.items()}, scope="lineage")
            watch = ShowProgress(self._display, planned.name, training.metric, n_eval_sets=training.n_eval_sets)
            training.train(run, resume_from=beginning.checkpoint, callbacks=[watch], halt=planned.halt)

    def _origin(self, planned: PlannedRun, role: Role, config: TrainingConfig) -> Origin:
        """The training that `planned` builds on, done now if it was not done before."""
        stage = planned.stage(role, config)
        outcome = self._awaited(stage)
        if outcome.ending != "found finished":
            # every run of a study finds the stages it shares, which is no news
            self._display.run_ended(outcome)
        # the first rank alone is sure to see what it has just written
        origin = of_first_rank(origin_of(outcome.record) if outcome.record else None)
        if origin is None:
            raise PipelineConfigError(
                f"{stage.name}: no score of it was a number, so there are no {role} to begin with"
            )
        return origin

    def _beginning(self, planned: PlannedRun, identity: str, *, is_ours: bool) -> _Beginning:
        same = [run for run in self._runs(planned) if recorded_identity(run) == identity]
        done = next((run for run in same if run.status == "finished" and _is_done(run, planned)), None)
        if done is not None:
            return _Beginning(done.run_id, found="found paused" if is_halted(done) else "found finished")
        alive = next((run for run in same if run.status == "running"), None)
        if alive is not None or not is_ours:
            return _Beginning(alive.run_id if alive else "", found="found running")
        stopped = [(run, checkpoint) for run in same if (checkpoint := last_checkpoint(run))]
        if not stopped:
            return _Beginning(new_id())
        run, checkpoint = max(stopped, key=lambda pair: pair[0].started_ns)
        return _Beginning(run.run_id, checkpoint, was_paused=is_halted(run))

    def _runs(self, planned: PlannedRun) -> list[RunRecord]:
        return self._store.runs(project=planned.config.project, group=planned.group)

    def _record(self, run_id: str) -> RunRecord | None:
        # None on the ranks that record nothing, when they look before rank 0 has written
        return next((run for run in self._store.runs() if run.run_id == run_id), None)


def _is_done(run: RunRecord, planned: PlannedRun) -> bool:
    """Whether a finished run is what was planned: a stage still has its weights, and a pause is an end if asked for."""
    if planned.is_stage:
        return origin_of(run) is not None
    return planned.halt is not None or not is_halted(run)


def _ending(record: RunRecord | None) -> Literal["finished", "paused"]:
    return "paused" if record is not None and is_halted(record) else "finished"
