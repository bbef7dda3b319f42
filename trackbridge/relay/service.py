"""The live relay of one run: a thread per target, so that one that hangs delays no other, and a sampler."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from trackbridge.adapters.base import Ending
from trackbridge.relay.follower import Follower, connector
from trackbridge.relay.header import ending_of
from trackbridge.relay.process import RelayProcess
from trackbridge.relay.standing import standings
from trackbridge.relay.sync import PATIENCE_S
from trackbridge.relay.system import SystemSampler
from trackbridge.relay.watch import RunWatch, watch_run
from trackbridge.settings import load_settings
from trackbridge.targets import Target, parse_target

SAMPLER_ENDS_WITHIN_S = 5.0
_log = logging.getLogger(__name__)


def serve(run_folder: Path, targets: Sequence[Target], *, samples_system: bool) -> None:
    """Deliver a run to every target until it has ended; beside it, what is left of other runs of its project."""
    watch = watch_run(run_folder)
    sampler = threading.Thread(target=SystemSampler(watch).sample_until_end, name="system", daemon=True)
    jobs = [threading.Thread(target=_follow, args=(watch, target, sampler), name=str(target)) for target in targets]
    if targets:
        jobs.append(threading.Thread(target=take_up_others, args=(run_folder,), name="others"))
    if samples_system:
        sampler.start()
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    _wait_for(sampler)


def _follow(watch: RunWatch, target: Target, sampler: threading.Thread) -> None:
    def ending() -> Ending | None:
        found = ending_of(watch.record())
        if found is not None:
            # Its last lines belong to the run, but a driver that hangs must not keep the run open.
            _wait_for(sampler, SAMPLER_ENDS_WITHIN_S)
        return found

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return True

    connect = connector(target, load_settings().upload_checkpoints)
    outcome = Follower(watch, target, connect, ending, wait).follow()
    _log.info("%s: %s", target, outcome)


def _wait_for(sampler: threading.Thread, timeout_s: float | None = None) -> None:
    if sampler.ident is not None:
        sampler.join(timeout_s)


def take_up_others(run_folder: Path) -> None:
    """Deliver what relays that died left behind in the other runs of the project."""
    left: dict[str, list[Path]] = {}
    for folder in sorted(run_folder.parent.iterdir()):
        if folder != run_folder and folder.is_dir():
            for one in standings(folder):
                if one.state == "stopped":
                    left.setdefault(one.cursor.target, []).append(folder)
    for text, folders in left.items():
        target = parse_target(text)
        with RelayProcess(target, load_settings().upload_checkpoints) as relay:
            for folder, answer in relay.catch_up_all(folders, patience_s=PATIENCE_S):
                _log.info("took up %s for %s: %s", folder.name, target, answer.outcome)
