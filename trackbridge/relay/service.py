"""The live relay of one run and one target: the run until it has ended, and what others left behind."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path

from trackbridge.journal.cursor import targets_of
from trackbridge.relay.follower import Follower, connected
from trackbridge.relay.header import ending_of
from trackbridge.relay.process import PATIENCE_S, RelayProcess
from trackbridge.relay.standing import standing
from trackbridge.relay.watch import watch_run
from trackbridge.settings import load_settings
from trackbridge.targets import Target

_log = logging.getLogger(__name__)


def serve(run_folder: Path, target: Target) -> None:
    """Deliver a run until it has ended; beside it, what is left of other runs of its project."""
    others = threading.Thread(target=take_up_others, args=(run_folder, target), name="others")
    others.start()
    watch = watch_run(run_folder)
    follower = Follower(
        watch=watch,
        target=target,
        connect=partial(connected, target),
        ending=lambda: ending_of(watch.record()),
        wait=_wait,
        checkpoints=load_settings().upload_checkpoints,
    )
    outcome = follower.follow()
    _log.info("%s: %s", target, outcome)
    others.join()


def take_up_others(run_folder: Path, target: Target) -> None:
    """Deliver to the same target what relays that died left behind in the other runs of the project."""
    others = (folder for folder in sorted(run_folder.parent.iterdir()) if folder != run_folder and folder.is_dir())
    left = [folder for folder in others if _is_left_behind(folder, target)]
    with RelayProcess(target, load_settings().upload_checkpoints) as relay:
        for folder, answer in relay.catch_up_all(left, patience_s=PATIENCE_S):
            _log.info("took up %s for %s: %s", folder.name, target, answer.outcome)


def _is_left_behind(run_folder: Path, target: Target) -> bool:
    if str(target) not in targets_of(run_folder) or standing(run_folder, str(target)).state != "stopped":
        return False
    # A training that lives looks after its own relay.
    return ending_of(watch_run(run_folder).record()) is not None


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return True
