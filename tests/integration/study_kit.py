"""Studies of trainings small enough for tests, run here or in processes of their own. Nothing here waits for torch."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from process_kit import training_environment
from rich.console import Console

from trackbridge.events.models import CheckpointSaved
from trackbridge.finetune.display import display_for
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Plan
from trackbridge.finetune.study import run_study
from trackbridge.journal.tail import Tail

# 100 examples in batches of 8: 13 batches an epoch, the last of them short; two epochs are 26 updates
TINY: dict[str, Any] = {
    "project": "tests",
    "model": {"builtin": "tiny-bert", "hidden_size": 16, "heads": 2},
    "data": {"builtin": "acceptability", "train": 100, "eval": {"dev": 40}},
    "training": {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.002,
        "log_every": 1,
        "bf16": False,
        "device": "cpu",
    },
    "evaluation": {"metric": "mcc", "every": 5},
    "seeds": {"init": 1, "data": 2, "dropout": 3},
}


def studied(plan: Plan, root: Path, *, jobs: int = 1) -> tuple[list[Outcome], str]:
    """The outcomes of a study, and what a pipe saw of it."""
    console = Console(file=io.StringIO(), width=200)
    outcomes = run_study(plan, root=root, display=display_for(console, plan), jobs=jobs)
    return outcomes, console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO given above


def launched(launcher: list[str], config: Path, *, root: Path) -> subprocess.CompletedProcess[str]:
    """A study run to its end in the processes that a launcher starts, a module with its options."""
    command = [sys.executable, "-m", *launcher, "-m", "trackbridge", "finetune", str(config), "--root", str(root)]
    environment = training_environment()
    return subprocess.run(command, check=True, env=environment, timeout=120, capture_output=True, text=True)


def wait_for_checkpoints(project: Path, *, runs: int, step: int) -> list[Path]:
    """The folders of so many runs that have recorded a checkpoint of this step or a later one."""
    deadline = time.monotonic() + 120
    tails: dict[Path, Tail] = {}
    found: dict[Path, None] = {}
    while time.monotonic() < deadline:
        for folder in project.glob("*"):
            new = tails.setdefault(folder, Tail(folder)).read_new()
            if any(isinstance(event, CheckpointSaved) and event.step >= step for event in new):
                found[folder] = None
        if len(found) >= runs:
            return list(found)
        time.sleep(0.02)
    raise AssertionError(f"no checkpoints of step {step} in {runs} runs after two minutes")
