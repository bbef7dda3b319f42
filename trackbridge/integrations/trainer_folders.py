"""
Where a `Trainer` puts its checkpoints. It tells a callback the step alone, so the folder is found on disk.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from transformers import TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR


def saved_folder(args: TrainingArguments, state: TrainerState) -> Path | None:
    """The checkpoint `Trainer` has just saved, in the trial's own folder during a hyperparameter search."""
    output, name = Path(args.output_dir), _folder_name(state.global_step)
    if not state.is_hyper_param_search:
        return output / name if (output / name).is_dir() else None
    # The trial's folder is known to Trainer alone. Its state file was written a moment ago, so it is the newest.
    states = output.glob(f"*/{name}/{TRAINER_STATE_NAME}")
    newest = max(states, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else newest.parent


def resumed_folder(args: TrainingArguments, state: TrainerState) -> Path | None:
    """The checkpoint this training goes on from, when it lies in the output folder; else None.

    A checkpoint of another training may lie there under the same step, so the whole log history must agree.
    """
    folder = Path(args.output_dir) / _folder_name(state.global_step)
    try:
        saved = TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
    except (OSError, ValueError, TypeError):
        return None
    # As text, because a NaN in the history equals nothing, not even itself.
    return folder if repr(saved.log_history) == repr(state.log_history) else None


def loaded_step(args: TrainingArguments, state: TrainerState) -> int | None:
    """The step of the best checkpoint when `Trainer` loaded it at the end; None when the last weights stayed."""
    if not args.load_best_model_at_end or state.best_model_checkpoint is None:
        return None
    found = re.search(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)[/\\]*$", str(state.best_model_checkpoint))
    return int(found[1]) if found else None


def unshare_leftovers(args: TrainingArguments, state: TrainerState) -> None:
    """Give checkpoints of earlier trainings, which this one may overwrite, bytes of their own.

    A kept checkpoint shares its bytes with the original, and `Trainer` rewrites `optimizer.pt` and
    `trainer_state.json` in place when it saves the same step again: the kept copy would change with them.
    """
    pattern = f"{PREFIX_CHECKPOINT_DIR}-*"
    for folder in Path(args.output_dir).glob(f"*/{pattern}" if state.is_hyper_param_search else pattern):
        for file in _shared_files(folder):
            draft = file.with_name(f".{file.name}.{os.getpid()}")
            shutil.copy2(file, draft)
            draft.replace(file)


def _shared_files(folder: Path) -> Iterator[Path]:
    return (file for file in list(folder.rglob("*")) if file.is_file() and file.stat().st_nlink > 1)


def _folder_name(step: int) -> str:
    return f"{PREFIX_CHECKPOINT_DIR}-{step}"
