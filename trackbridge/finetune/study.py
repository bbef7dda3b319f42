"""A study: every planned run trained once, whatever was done before and whatever fails on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from trackbridge.finetune.display import Display
from trackbridge.finetune.engines.processes import Processes
from trackbridge.finetune.engines.ray_cluster import RayCluster
from trackbridge.finetune.halting import going_on
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Halt, Plan, PlannedRun
from trackbridge.settings import load_settings
from trackbridge.store.store import Store, open_store


class Engine(Protocol):
    """Where trainings happen."""

    def outcomes(self, runs: Sequence[PlannedRun]) -> list[Outcome]:
        """Train the runs that are not done yet; how each of them ended, in the order given."""


def run_study(plan: Plan, *, root: Path | None, display: Display, jobs: int = 1) -> list[Outcome]:
    """Train every run of the plan that is not finished yet, `jobs` at a time; how each of them ended.

    A run that fails does not stop the others: its outcome carries the error. Ctrl-C stops the study, and
    the same command later goes on where it was.
    """
    store = _store_at(root)
    if jobs > 1:
        return _trained(plan, Processes(store, display, jobs), display)
    # with torch and transformers, which a study whose runs are trained elsewhere has no need to wait for
    from trackbridge.finetune.engines.in_process import InProcess

    return _trained(plan, InProcess(store, display), display)


def run_study_on_ray(plan: Plan, *, root: Path | None, display: Display, address: str = "auto") -> list[Outcome]:
    """The same on a Ray cluster whose nodes share the root; by default the cluster this machine belongs to."""
    return _trained(plan, RayCluster(_store_at(root), display, address), display)


def _store_at(root: Path | None) -> Store:
    folder = load_settings(root=root).root
    folder.mkdir(parents=True, exist_ok=True)
    return open_store(folder)


def _trained(plan: Plan, engine: Engine, display: Display) -> list[Outcome]:
    """All runs to their end; or to where they pause, and then those to their end that are to go on."""
    with display:
        if plan.halting is None:
            return engine.outcomes(plan.runs)
        halt = Halt(plan.halting.at, plan.halting.rule)
        paused = engine.outcomes([replace(run, halt=halt) for run in plan.runs])
        chosen = {outcome.planned.name for outcome in going_on(paused, plan.halting)}
        ended = engine.outcomes([run for run in plan.runs if run.name in chosen])
        by_name = {outcome.planned.name: outcome for outcome in (*paused, *ended)}
        return [by_name[run.name] for run in plan.runs]
