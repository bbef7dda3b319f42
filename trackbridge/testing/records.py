"""Run records built by hand, for tests of what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from trackbridge.store.records import RunRecord, Seeds, Series
from trackbridge.store.series import summarize

Curve: TypeAlias = Mapping[int, float] | Sequence[float]
"""Values by step, or in order for steps 1, 2, 3, ..."""

STARTED_NS = 1_700_000_000_000_000_000


def build_run(
    name: str = "run",
    *,
    curves: Mapping[str, Curve] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Seeds | None = None,
    **fields: Any,
) -> RunRecord:
    """A finished run with these curves, as the store would have read it.

    Args:
        name: also the base of the run id, so that equal names give equal ids.
        curves: per metric, its values by step.
        config: nested config by scope.
        seeds: the recorded seeds.
        **fields: any other field of `RunRecord`.
    """
    series = {metric: build_series(metric, curve) for metric, curve in (curves or {}).items()}
    defaults: dict[str, Any] = {
        "run_id": hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest(),
        "project": "demo",
        "status": "finished",
        "path": f"trackbridge-runs/demo/{name}",
        "started_ns": STARTED_NS,
        "ended_ns": STARTED_NS + 60_000_000_000,
        "last_seen_ns": STARTED_NS + 60_000_000_000,
    }
    return RunRecord(
        name=name,
        config=config or {},
        seeds=seeds or Seeds(),
        metrics={metric: summarize(one) for metric, one in series.items()},
        load_series=series.__getitem__,
        **{**defaults, **fields},
    )


def build_series(name: str, curve: Curve) -> Series:
    """One metric's points; one second passes from step to step."""
    points = curve if isinstance(curve, Mapping) else dict(enumerate(curve, start=1))
    steps = np.array(list(points), dtype=np.int64)
    return Series(
        name=name,
        steps=steps,
        values=np.array(list(points.values()), dtype=np.float64),
        times_ns=STARTED_NS + steps * 1_000_000_000,
        epochs=np.full(len(points), np.nan),
    )
