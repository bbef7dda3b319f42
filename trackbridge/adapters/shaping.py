"""What several adapters decide or reshape in the same way."""

from __future__ import annotations

from typing import Literal, TypeAlias

from trackbridge.events.models import CheckpointSaved
from trackbridge.events.names import lower_is_better

CheckpointPolicy: TypeAlias = Literal["none", "best", "all"]
"""Which checkpoints are uploaded: `best` means each that beats all before it by its first metric."""


class CheckpointChoice:
    """Decides which checkpoints of a run are uploaded."""

    def __init__(self, policy: CheckpointPolicy) -> None:
        self._policy = policy
        self._best: float | None = None

    def wants(self, checkpoint: CheckpointSaved) -> bool:
        """True when this one is to be uploaded; ask once per checkpoint, in order."""
        if self._policy != "best":
            return self._policy == "all"
        for metric, value in checkpoint.metrics.items():
            score = -value if lower_is_better(metric) else value
            if self._best is None or score > self._best:
                self._best = score
                return True
            return False
        return False
