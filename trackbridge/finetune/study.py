"""A study: every planned run trained once, whatever was done before and whatever fails on the way.

What is done already is read from the journals below the root. A run that stopped half-way goes on from its last
checkpoint; one that another process is training is left to it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import transformers

from trackbridge.finetune.checkpoints import last_checkpoint
from trackbridge.finetune.data import Corpus, load_corpus
from trackbridge.finetune.display import Display
from trackbridge.finetune.identity import planned_identity, recorded_identity
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Plan, PlannedRun
from trackbridge.finetune.progress import ShowProgress
from trackbridge.finetune.ranks import of_first_rank
from trackbridge.finetune.train import train
from trackbridge.journal.paths import new_id
from trackbridge.run.lifecycle import start_run
from trackbridge.settings import load_settings
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store, open_store

_log = logging.getLogger(__name__)


def run_study(plan: Plan, *, root: Path | None, display: Display) -> list[Outcome]:
    """Train every run of the plan that is not finished yet, one after the other; how each of them ended.

    A run that fails does not stop the others: its outcome carries the error. Ctrl-C stops the study, and
    the same command later goes on where it was.
    """
    folder = load_settings(root=root).root
    folder.mkdir(parents=True, exist_ok=True)
    study = _Study(plan, open_store(folder), display)
    with _quiet_transformers(), display:
        return [study.outcome_of(planned) for planned in plan.runs]


@dataclass(frozen=True)
class _Beginning:
    """How a planned run is to begin: as a new run, from a checkpoint of an older one, or not at all."""

    run_id: str
    checkpoint: Path | None = None
    found: Literal["found finished", "found running"] | None = None


class _Study:
    def __init__(self, plan: Plan, store: Store, display: Display) -> None:
        self._plan = plan
        self._store = store
        self._display = display
        self._corpora: dict[str, Corpus] = {}

    def outcome_of(self, planned: PlannedRun) -> Outcome:
        """Train the run unless it is done or being done; tell the display how it went."""
        try:
            outcome = self._trained(planned)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's end and told in its outcome
            _log.debug("run %r failed", planned.name, exc_info=True)
            # on one line: errors of libraries come with paragraphs
            outcome = Outcome(planned, "failed", error=" ".join(f"{type(error).__name__}: {error}".split()))
        self._display.run_ended(outcome)
        return outcome

    def _trained(self, planned: PlannedRun) -> Outcome:
        corpus = self._corpus(planned)
        beginning = of_first_rank(self._beginning(planned, planned_identity(planned.config, corpus)))
        if beginning.found is not None:
            return Outcome(planned, beginning.found, self._record(beginning.run_id))
        self._display.run_began(planned, resumed_from=beginning.checkpoint)
        with start_run(
            self._plan.project,
            name=planned.name,
            group=self._plan.name,
            root=self._store.root,
            run_id=beginning.run_id,
            resume_from=beginning.checkpoint,
        ) as run:
            run.log_config({"name": self._plan.name, "variant": planned.variant}, scope="study")
            watch = ShowProgress(self._display, planned.config.evaluation.metric, n_eval_sets=len(corpus.evals))
            train(planned.config, corpus, run, resume_from=beginning.checkpoint, callbacks=[watch])
        return Outcome(planned, "finished", self._record(run.run_id))

    def _corpus(self, planned: PlannedRun) -> Corpus:
        """The data of a run, loaded once for all runs that share it."""
        key = planned.config.data.model_dump_json()
        if key not in self._corpora:
            self._corpora[key] = load_corpus(planned.config.data)
        return self._corpora[key]

    def _beginning(self, planned: PlannedRun, identity: str) -> _Beginning:
        same = [run for run in self._runs() if recorded_identity(run) == identity]
        for run in same:
            if run.status == "finished":
                return _Beginning(run.run_id, found="found finished")
        for run in same:
            if run.status == "running":
                return _Beginning(run.run_id, found="found running")
        stopped = [(run, checkpoint) for run in same if (checkpoint := last_checkpoint(run))]
        if not stopped:
            return _Beginning(new_id())
        run, checkpoint = max(stopped, key=lambda pair: pair[0].started_ns)
        return _Beginning(run.run_id, checkpoint)

    def _runs(self) -> list[RunRecord]:
        return self._store.runs(project=self._plan.project, group=self._plan.name)

    def _record(self, run_id: str) -> RunRecord | None:
        # None on the ranks that record nothing, when they look before rank 0 has written
        return next((run for run in self._runs() if run.run_id == run_id), None)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without transformers' own bars and remarks, which would tear the study's display apart."""
    messages = transformers.utils.logging
    verbosity, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if has_bars:
            messages.enable_progress_bar()
