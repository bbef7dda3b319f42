"""One training after the other in this process; under `torchrun`, each of them in all its processes."""

from __future__ import annotations

from collections.abc import Sequence

from trackbridge.finetune.display import TrainingDisplay
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.finetune.quiet import quiet_transformers
from trackbridge.finetune.runner import Runner
from trackbridge.store.store import Store


class InProcess:
    """Trains runs here, one at a time."""

    def __init__(self, store: Store, display: TrainingDisplay) -> None:
        self._runner = Runner(store, display)

    def outcomes(self, runs: Sequence[PlannedRun]) -> list[Outcome]:
        """Train the runs; their outcomes in the order given."""
        with quiet_transformers():
            return [self._runner.outcome_of(run) for run in runs]
