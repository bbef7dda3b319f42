"""Stopping the worst runs of a study early: which of those that paused go on.

"Start many, stop early, continue some" (Dodge et al. 2020, https://arxiv.org/abs/2002.06305, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trackbridge.finetune.blocks.study import Halting
from trackbridge.finetune.outcome import Outcome
from trackbridge.store.records import RunRecord


def going_on(paused: Sequence[Outcome], halting: Halting) -> list[Outcome]:
    """Those of the paused runs that are to be trained to their end, in the order given.

    At least one of each pool goes on, and all of them where none has a score yet; of equals the run planned first.
    """
    scores = [score_so_far(outcome) for outcome in paused]
    chosen: set[int] = set()
    for pool in _pools(paused, halting).values():
        ranked = sorted(pool, key=lambda index: -scores[index])
        unscored = all(scores[index] == -math.inf for index in pool)
        stopping = 0 if unscored else min(int(halting.stop * len(pool)), len(pool) - 1)
        chosen.update(ranked[: len(pool) - stopping])
    return [paused[index] for index in sorted(chosen)]


def _pools(paused: Sequence[Outcome], halting: Halting) -> dict[str, list[int]]:
    pools: dict[str, list[int]] = {}
    for index, outcome in enumerate(paused):
        pools.setdefault(outcome.planned.variant if halting.among == "variant" else "", []).append(index)
    return pools


def score_so_far(outcome: Outcome) -> float:
    """The best judging score up to the pause, also of a run that has long gone on; -inf for none, such as NaN."""
    record, name, halt = outcome.record, outcome.judged_by, outcome.planned.halt
    if record is None or name is None or halt is None or name not in record.metrics:
        return -math.inf
    curve = record.series(name)
    until = halt.at * planned_updates(record)
    scores = [value for step, value in zip(curve.steps, curve.values, strict=True) if step <= until]
    return max((float(score) for score in scores if not math.isnan(score)), default=-math.inf)


def planned_updates(record: RunRecord) -> float:
    """How many updates the whole training has; infinite for a run that never said so."""
    updates = record.summary.get("planned_updates")
    return float(updates) if isinstance(updates, int) else math.inf
