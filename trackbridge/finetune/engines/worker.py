"""A training in a process of its own, which tells the study's process what to show.

Nothing here imports torch before the worker has begun, so that a study's own process stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from trackbridge.finetune.display import TrainingDisplay
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.store.store import Store

Message: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A call of a display's method: its name and arguments, of which an outcome has the run's id in place of its record."""


@dataclass(frozen=True)
class SentDisplay:
    """A display whose calls are sent to another process."""

    send: Callable[[Message], None]

    def run_began(self, name: str, *, resumed_from: Path | None) -> None:
        """Sent as it is."""
        self.send(("run_began", (name,), {"resumed_from": resumed_from}))

    def advanced(self, name: str, step: int, total: int) -> None:
        """Sent as it is."""
        self.send(("advanced", (name, step, total), {}))

    def scored(self, name: str, scores: str) -> None:
        """Sent as it is."""
        self.send(("scored", (name, scores), {}))

    def run_ended(self, outcome: Outcome) -> None:
        """Sent without the record, which reads from this process's files: the other looks it up again."""
        run_id = outcome.record.run_id if outcome.record else None
        self.send(("run_ended", (replace(outcome, record=None), run_id), {}))


def show(message: Message, display: TrainingDisplay, store: Store) -> Outcome | None:
    """Make the call a worker sent; the outcome of the run it was given, when that is what it told."""
    method, arguments, named = message
    if method != "run_ended":
        getattr(display, method)(*arguments, **named)
        return None
    outcome, run_id = arguments
    record = next((run for run in store.runs() if run.run_id == run_id), None)
    whole: Outcome = replace(outcome, record=record)
    display.run_ended(whole)
    return None if whole.planned.is_stage else whole


def train_in_worker(planned: PlannedRun, root: Path, send: Callable[[Message], None]) -> None:
    """Train one run in this process; its outcome is the last thing sent."""
    from trackbridge.finetune.quiet import quiet_transformers
    from trackbridge.finetune.runner import Runner
    from trackbridge.store.store import open_store

    with quiet_transformers():
        Runner(open_store(root), SentDisplay(send)).outcome_of(planned)
