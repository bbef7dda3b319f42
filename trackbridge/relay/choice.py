"""Which checkpoints of a run are delivered with their bytes."""

from __future__ import annotations

import math

from trackbridge.adapters.base import Row
from trackbridge.events.models import CheckpointSaved
from trackbridge.events.names import lower_is_better
from trackbridge.settings import CheckpointUpload


class CheckpointChoice:
    """Marks the rows of checkpoints that are to be uploaded; ask once per row, in order.

    Attributes:
        best: the best score so far, higher is better. It is kept in the cursor whatever the policy, so a relay that is
            started again, or with another policy, chooses as the first would have.
    """

    def __init__(self, policy: CheckpointUpload, best: float | None) -> None:
        self._policy = policy
        self.best = best

    def marked(self, row: Row) -> Row:
        """The row, with its upload if it has one."""
        if not isinstance(row.event, CheckpointSaved):
            return row
        is_best = self._is_best(row.event)
        if self._policy == "none" or (self._policy == "best" and not is_best):
            return row
        return row._replace(upload="best" if is_best else "other")

    def _is_best(self, checkpoint: CheckpointSaved) -> bool:
        """True when its first metric beats those of all before it."""
        for metric, value in checkpoint.metrics.items():
            score = -value if lower_is_better(metric) else value
            if math.isfinite(score) and (self.best is None or score > self.best):
                self.best = score
                return True
            return False
        return False
