"""What an integration tells about a run beside the verbs: signs of life, and checkpoints that went away."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from weakref import WeakKeyDictionary

from trackbridge.events.models import CheckpointDeleted, Heartbeat
from trackbridge.journal.paths import kept_folder
from trackbridge.run.run import Run

HEARTBEAT_EVERY_S = 30.0
_next_beat_s: WeakKeyDictionary[Run, float] = WeakKeyDictionary()


def heartbeat(run: Run) -> None:
    """Tell that the training is alive; writes at most every 30 seconds, so call it at every step."""
    now = time.monotonic()
    if now >= _next_beat_s.get(run, 0.0) and not run.is_closed:
        _next_beat_s[run] = now + HEARTBEAT_EVERY_S
        run.append(Heartbeat)


def checkpoint_deleted(run: Run, path: str | Path, *, step: int) -> None:
    """Record that a checkpoint logged earlier is gone, as after `save_total_limit`."""
    run.append(CheckpointDeleted, step=step, path=str(Path(path).resolve()))


def drop_kept(run: Run, *, step: int) -> None:
    """Delete the run's own copy of a checkpoint, and record it; nothing happens where there is none."""
    kept = kept_folder(run.path, step)
    if run.is_recording and kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        run.append(CheckpointDeleted, step=step, path=kept.relative_to(run.path).as_posix())
