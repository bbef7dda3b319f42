"""Resume checkpoints: the last one a stopped run can go on from, and their removal when nothing needs them any more."""

from __future__ import annotations

import shutil
from pathlib import Path

from trackbridge.run.run import Run
from trackbridge.run.upkeep import checkpoint_deleted
from trackbridge.store.records import RunRecord

_PREFIX = "checkpoint-"


def training_folder(run: Run) -> Path:
    """Where a training writes until it is over."""
    return run.path / "training"


def last_checkpoint(record: RunRecord) -> Path | None:
    """The latest checkpoint a run recorded that a Trainer can resume from and that is still on disk.

    A checkpoint is recorded when it is complete, so one that a kill left half-written is never found.
    """
    recorded = sorted(record.checkpoints, key=lambda checkpoint: checkpoint.step, reverse=True)
    folders = (Path(checkpoint.path) for checkpoint in recorded if not checkpoint.deleted)
    return next((folder for folder in folders if (folder / "trainer_state.json").is_file()), None)


def remove_checkpoints(run: Run, folder: Path) -> None:
    """Remove the resume checkpoints below a folder, and the folder if that empties it; record that they are gone."""
    for checkpoint in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(checkpoint, ignore_errors=True)
        checkpoint_deleted(run, checkpoint, step=int(checkpoint.name.removeprefix(_PREFIX)))
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
