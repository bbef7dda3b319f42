"""
A batch: what a stretch of one journal file holds, sorted into points, facts and counts. Pure.

Points are many and go into arrays; facts (config, checkpoints, how it ended, ...) are few and stay events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trackbridge.events.models import AnyEvent, Heartbeat, Integrity, KnownEvent, MetricsLogged, UnknownEvent
from trackbridge.store.records import Series
from trackbridge.store.series import concatenate, in_step_order

_LATEST_NS = 2**63 - 1


@dataclass(slots=True)
class Batch:
    """Facts in file order, counts of unknown kinds, the first and last time seen, and points by metric."""

    facts: list[KnownEvent] = field(default_factory=list)
    unknown_kinds: Counter[str] = field(default_factory=Counter)
    first_ns: int | None = None
    last_ns: int = 0
    _parts: dict[str, list[Series]] = field(default_factory=dict)

    def add(self, events: Sequence[AnyEvent]) -> None:
        """Sort in the next events of the same file."""
        if self.first_ns is None and events:
            self.first_ns = _within_int64(events[0].t)
        logged = [event for event in events if type(event) is MetricsLogged]
        if logged:
            self._add_points(logged)
        if len(logged) < len(events):
            self._add_others([event for event in events if type(event) is not MetricsLogged])

    def series(self) -> dict[str, Series]:
        """Per metric, its points in step order; of several at one step, the one logged last."""
        return {name: in_step_order(concatenate(name, parts)) for name, parts in self._parts.items()}

    def _add_others(self, events: Sequence[AnyEvent]) -> None:
        # Not merely the last event's time: a clock may be set back while a run is on.
        self.last_ns = max(self.last_ns, _within_int64(max(event.t for event in events)))
        for event in events:
            if isinstance(event, UnknownEvent):
                self.unknown_kinds[event.kind] += 1
            elif not isinstance(event, (MetricsLogged, Heartbeat, Integrity)):
                self.facts.append(event)

    def _add_points(self, logged: Sequence[MetricsLogged]) -> None:
        columns: dict[str, tuple[list[int], list[float]]] = {}
        for row, event in enumerate(logged):
            for name, value in event.metrics.items():
                # `setdefault` would make the lists anew for every point, and there are millions of them.
                if name not in columns:
                    columns[name] = ([], [])
                rows, values = columns[name]
                rows.append(row)
                values.append(value)
        steps = np.array([event.step for event in logged], dtype=np.int64)
        times_ns = np.array([event.t for event in logged], dtype=np.int64)
        epochs = np.array([np.nan if event.epoch is None else event.epoch for event in logged], dtype=np.float64)
        self.last_ns = max(self.last_ns, int(times_ns.max()))
        for name, (rows, values) in columns.items():
            at = np.array(rows)
            part = Series(name, steps[at], np.array(values, dtype=np.float64), times_ns[at], epochs[at])
            self._parts.setdefault(name, []).append(part)


def _within_int64(t: int) -> int:
    # An unknown kind's fields are not checked, and one flipped bit of `t` can pass 64 bits.
    return max(0, min(t, _LATEST_NS))
