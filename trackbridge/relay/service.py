"""The relay process of one run: a thread per target, so that one that hangs delays no other, and a sampler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from trackbridge.relay.cursor import cursors, delivery_folder
from trackbridge.relay.follower import Follower, Outcome
from trackbridge.relay.system import SystemSampler
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store
from trackbridge.targets import Target, parse_target

LOG_NAME = "relay.log"
_log = logging.getLogger(__name__)


def record_reader(run_folder: Path) -> Callable[[], RunRecord]:
    """A function that reads the run as it stands now."""
    store = open_store(run_folder.parent.parent)
    return lambda: store.run(run_folder.name)


def serve(run_folder: Path, targets: Sequence[Target], *, samples_system: bool) -> dict[str, Outcome]:
    """Deliver the run to every target until it has ended; returns how each delivery stands."""
    stop = threading.Event()
    outcomes: dict[str, Outcome] = {}
    read_record = record_reader(run_folder)

    def follow(target: Target) -> None:
        follower = Follower(run_folder, target, read_record, wait=lambda seconds: not stop.wait(seconds))
        outcomes[str(target)] = follower.follow(until="ended")

    threads = [threading.Thread(target=follow, args=(target,), name=str(target)) for target in targets]
    for thread in threads:
        thread.start()
    if samples_system:
        SystemSampler(run_folder, read_record).sample_until_end()
    for thread in threads:
        thread.join()
    return outcomes


def take_up_others(run_folder: Path) -> None:
    """Deliver what relays that died left behind in the other runs of the project."""
    for folder in sorted(run_folder.parent.iterdir()):
        if folder == run_folder or not delivery_folder(folder).is_dir():
            continue
        for cursor in cursors(folder):
            if cursor.state in ("delivering", "waiting") and cursor.closed_as is None:
                follower = Follower(folder, parse_target(cursor.target), record_reader(folder), wait=lambda _: False)
                _log.info("took up %s for %s: %s", folder.name, cursor.target, follower.follow(until="caught up"))


def log_to_file(run_folder: Path) -> None:
    """Send this process's log to the run folder; the terminal belongs to the training."""
    delivery_folder(run_folder).mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=delivery_folder(run_folder) / LOG_NAME,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s",
        force=True,
    )
