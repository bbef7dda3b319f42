"""Deliver many runs, now and to the end: the same deliveries as the live relay, with a report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trackbridge.relay.cursor import Cursor, load_cursor
from trackbridge.relay.follower import Follower, Outcome
from trackbridge.relay.retry import Backoff
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store, open_store
from trackbridge.targets import Target, parse_target

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Synced:
    """One run at one target: how its delivery stands, and the cursor that says so in full."""

    record: RunRecord
    target: Target
    outcome: Outcome
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Every delivery of one `sync`."""

    synced: tuple[Synced, ...]

    @property
    def is_complete(self) -> bool:
        """True when every run that has ended is at its targets, and every other is caught up with."""
        return all(one.outcome in ("delivered", "caught up") for one in self.synced)


def sync(
    root: str | Path | None = None,
    *,
    to: Sequence[str],
    runs: Iterable[RunRecord] | None = None,
    patience_s: float = PATIENCE_S,
    follow: bool = False,
    done: Callable[[Synced], None] = lambda synced: None,
) -> SyncReport:
    """Deliver runs to targets; what was delivered before is not delivered again.

    Args:
        root: the folder of all projects.
        to: targets such as `wandb` or `comet:offline`.
        runs: which runs; all of them by default.
        patience_s: how long trouble that passes is waited out, per delivery.
        follow: stay with runs that still go on until they have ended.
        done: called after each delivery, from one thread at a time; for a progress bar.

    Raises:
        NotFoundError: a target that is not known.
    """
    store, targets = open_store(root), [parse_target(text) for text in to]
    records = list(store.runs() if runs is None else runs)
    lock, synced = threading.Lock(), []

    def deliver(target: Target) -> None:
        # One thread per target: a tracker that hangs delays no other, and gets its runs in order.
        for record in records:
            result = _sync_one(store, record, target, patience_s, follow=follow)
            with lock:
                synced.append(result)
                done(result)

    with ThreadPoolExecutor(max_workers=max(1, len(targets)), thread_name_prefix="sync") as pool:
        list(pool.map(deliver, targets))
    return SyncReport(tuple(synced))


def _sync_one(store: Store, record: RunRecord, target: Target, patience_s: float, *, follow: bool) -> Synced:
    folder, left = Path(record.path), [patience_s]

    def wait(seconds: float) -> bool:
        left[0] -= seconds
        if left[0] < 0:
            return False
        threading.Event().wait(seconds)
        return True

    follower = Follower(folder, target, lambda: store.run(record.run_id), wait=wait, backoff=Backoff())
    outcome = follower.follow(until="ended" if follow else "caught up")
    return Synced(record, target, outcome, load_cursor(folder, str(target), target.file_stem))
