"""What the page's requests share: the runs of a root as of a moment ago, their fields, groups and points."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trackbridge.comparison.fields import Fields
from trackbridge.comparison.groups import ReplicateGroup, replicate_groups
from trackbridge.comparison.metrics import chosen_metrics
from trackbridge.errors import NotFoundError
from trackbridge.store.records import RunRecord, Series
from trackbridge.store.store import Store

FRESH_S = 0.5
MAX_CACHED_POINTS = 4_000_000
MAX_CACHED_GROUPINGS = 8
MAX_KEPT = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """All runs of a root, the newest first; `number` grows with every change.

    `metrics` has the likeliest one of interest first; `stamps` tells per run when it last changed.
    """

    number: int
    runs: tuple[RunRecord, ...]
    fields: Fields
    metrics: tuple[str, ...] = ()
    stamps: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def likeliest_metrics(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """All metrics but bookkeeping, in the order of interest, those first that at least half as many runs have as any.

    Some run of a large root was judged by a metric of its own: it shall not lead the table of all.
    """
    counts = Counter(name for run in runs for name in run.metrics)
    if not counts:
        return ()
    names = chosen_metrics(runs, None)
    most = max(counts[name] for name in names)
    return tuple(sorted(names, key=lambda name: 2 * counts[name] < most))


class Catalogue:
    """Looks at the store at most twice a second, however many requests ask. Safe for threads."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._lock = threading.RLock()
        self._looked_s = float("-inf")
        self._listing = Listing(0, (), Fields())
        self._groups: OrderedDict[tuple[object, ...], tuple[ReplicateGroup, ...]] = OrderedDict()
        self._kept: dict[Hashable, Any] = {}
        self._kept_for = 0
        self._series: OrderedDict[tuple[object, ...], Series] = OrderedDict()

    def listing(self) -> Listing:
        """The runs as of at most half a second ago."""
        with self._lock:
            if self._clock() - self._looked_s > FRESH_S:
                self._look()
                self._looked_s = self._clock()
            return self._listing

    def runs(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """The runs with these ids, in this order, without those that are gone."""
        by_id = {run.run_id: run for run in self.listing().runs}
        return [by_id[run_id] for run_id in run_ids if run_id in by_id]

    def run(self, run_id: str) -> RunRecord:
        """The run with this id.

        Raises:
            NotFoundError: there is none.
        """
        for run in self.listing().runs:
            if run.run_id == run_id:
                return run
        raise NotFoundError(f"no run below {self.store.root} has the id {run_id!r}")

    def groups(self, runs: Sequence[RunRecord]) -> tuple[ReplicateGroup, ...]:
        """The replicate groups of these runs; asked for the same runs again, without finding them again."""
        key = tuple((run.run_id, run.last_seen_ns) for run in runs)
        with self._lock:
            if key not in self._groups:
                self._groups[key] = replicate_groups(runs)
                while len(self._groups) > MAX_CACHED_GROUPINGS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            return self._groups[key]

    def kept(self, listing: Listing, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once per key as long as the runs stay as they are in this listing."""
        with self._lock:
            if self._kept_for == listing.number and key in self._kept:
                found: T = self._kept[key]
                return found
        made = make()
        with self._lock:
            if self._kept_for != listing.number or len(self._kept) >= MAX_KEPT:
                self._kept, self._kept_for = {}, listing.number
            self._kept[key] = made
        return made

    def series(self, run: RunRecord, metric: str) -> Series:
        """The points of a metric, kept for the next request as long as the run logs nothing new."""
        key = (run.run_id, metric, run.metrics.get(metric))
        with self._lock:
            if key in self._series:
                self._series.move_to_end(key)
                return self._series[key]
        series = run.series(metric)
        with self._lock:
            self._series[key] = series
            while sum(map(len, self._series.values())) > MAX_CACHED_POINTS and len(self._series) > 1:
                self._series.popitem(last=False)
        return series

    def _look(self) -> None:
        runs = self.store.runs()
        stamps = {run.run_id: (run.last_seen_ns, run.status) for run in runs}
        if stamps == self._listing.stamps and self._listing.number:
            return
        fields = self._listing.fields
        fields.learn(runs)
        metrics = likeliest_metrics(runs)
        self._listing = Listing(self._listing.number + 1, tuple(reversed(runs)), fields, metrics, stamps)
