"""Deliver many runs, now: the same deliveries as a live relay makes, with a report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from trackbridge.errors import MisuseError
from trackbridge.relay.follower import Outcome
from trackbridge.relay.process import PATIENCE_S, Answer, RelayProcess
from trackbridge.relay.standing import Standing, standing
from trackbridge.settings import CheckpointUpload, load_settings
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store
from trackbridge.targets import parse_targets, tell_what_to_know

FOLLOW_EVERY_S = 5.0
_GOES_ON: tuple[Outcome, ...] = ("caught up", "waiting", "held elsewhere")
_FINAL: tuple[Outcome, ...] = ("refused", "broken", "gone")
_telling = threading.Lock()


@dataclass(frozen=True, slots=True)
class Synced:
    """One run at one target: what came of it, why it went no further, and how it stands now."""

    record: RunRecord
    target: str
    outcome: Outcome
    error: str | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Every delivery of one `sync`, by target and run."""

    synced: tuple[Synced, ...]

    @property
    def is_complete(self) -> bool:
        """True when every run that has ended is at its targets, and every other is caught up with."""
        return all(one.outcome in ("delivered", "caught up") for one in self.synced)


def sync(
    root: str | Path | None = None,
    *,
    to: Sequence[str] | None = None,
    runs: Iterable[RunRecord] | None = None,
    checkpoints: CheckpointUpload | None = None,
    patience_s: float = PATIENCE_S,
    follow: bool = False,
    delivered: Callable[[int], None] = lambda count: None,
    done: Callable[[Synced], None] = lambda synced: None,
) -> SyncReport:
    """Deliver runs to targets; what was delivered before is not delivered again.

    Args:
        root: the folder of all projects (setting `root`).
        to: targets such as `wandb` or `comet:offline` (setting `to`).
        runs: which runs; all of them by default, and with `follow` also those that begin meanwhile.
        checkpoints: which checkpoints are uploaded: "none", "best" or "all" (setting `upload_checkpoints`).
        patience_s: how long a target is waited for that is away.
        follow: stay with runs that still go on until they have ended.
        delivered: told how many events more were confirmed; for a progress bar.
        done: told of every delivery once it stands as it will. Both are called from one thread at a time.

    Raises:
        MisuseError: no target at all.
        NotFoundError: a target that is not known, or no such root.
    """
    settings = load_settings(root=root, to=to, upload_checkpoints=checkpoints)
    targets = parse_targets(settings.to)
    if not targets:
        raise MisuseError("where to? pass to=['wandb'] or --to wandb, or set TRACKBRIDGE_TO")
    for target in targets:
        tell_what_to_know(target.adapter)
    store = open_store(settings.root)
    ids = None if runs is None else {run.run_id for run in runs}
    jobs = [
        _TargetSync(
            relay=RelayProcess(target, settings.upload_checkpoints),
            list_runs=lambda: [run for run in store.runs() if ids is None or run.run_id in ids],
            patience_s=patience_s,
            delivered=delivered,
            done=done,
        )
        for target in targets
    ]
    _run_all(jobs, _TargetSync.follow if follow else _TargetSync.catch_up)
    return SyncReport(tuple(one for job in jobs for one in job.synced.values()))


@dataclass
class _TargetSync:
    """One target and all its runs: a thread asks a relay process, so a tracker that hangs delays no other."""

    relay: RelayProcess
    list_runs: Callable[[], Sequence[RunRecord]]
    patience_s: float
    delivered: Callable[[int], None]
    done: Callable[[Synced], None]
    is_stopped: threading.Event = field(default_factory=threading.Event)
    synced: dict[str, Synced] = field(default_factory=dict)

    def follow(self) -> None:
        """Bring the runs up to date again and again, until each has ended and is delivered."""
        while not self.is_stopped.is_set():
            self.catch_up()
            if not any(one.outcome in _GOES_ON for one in self.synced.values()):
                return
            self.is_stopped.wait(FOLLOW_EVERY_S)

    def catch_up(self) -> None:
        """Bring the runs up to date once."""
        due: dict[Path, RunRecord] = {}
        for record in self.list_runs():
            if (outcome := self._known_outcome(record)) is None:
                due[Path(record.path)] = record
            else:
                self._keep(record, Answer(outcome))
        for folder, answer in self.relay.catch_up_all(due, patience_s=self.patience_s, delivered=self._count):
            if self.is_stopped.is_set():
                return
            self._keep(due[folder], answer)

    def _known_outcome(self, record: RunRecord) -> Outcome | None:
        """What would come of another attempt, where that is known without one."""
        before = self.synced.get(record.run_id)
        if before is not None and before.outcome in _FINAL:
            return before.outcome
        now = standing(Path(record.path), str(self.relay.target))
        if now.state == "delivered":
            return "delivered"
        if before is not None and before.outcome == "caught up" and record.status == "running" and not now.waiting:
            return "caught up"
        return None

    def _count(self, confirmed: int) -> None:
        with _telling:
            self.delivered(confirmed)

    def _keep(self, record: RunRecord, answer: Answer) -> None:
        target = str(self.relay.target)
        now = Synced(record, target, answer.outcome, answer.error, standing(Path(record.path), target))
        before = self.synced.get(record.run_id)
        self.synced[record.run_id] = now
        if before is None or before.outcome != now.outcome:
            with _telling:
                self.done(now)


def _run_all(jobs: Sequence[_TargetSync], work: Callable[[_TargetSync], None]) -> None:
    # The threads end before the processes that they ask are waited for.
    with ExitStack() as relays, ThreadPoolExecutor(max_workers=len(jobs), thread_name_prefix="sync") as pool:
        for job in jobs:
            relays.enter_context(job.relay)
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            # After Ctrl-C the threads would go on to the next run.
            for job in jobs:
                job.is_stopped.set()
                job.relay.kill()
            raise
