"""Running the command line, in this process or in its own, and recording runs for it to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.cli.main import run

ESCAPE = "\x1b"
HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] \u202eevil"


@dataclass(frozen=True)
class Done:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """One command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_info:
        run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return Done(int(exit_info.value.code or 0), said.out, said.err)


def command(*arguments: object) -> list[str]:
    """The command line of one command, for a process of its own."""
    return [sys.executable, "-m", "trackbridge", *map(str, arguments)]


def call_apart(*arguments: object, **environment: str) -> Done:
    """One command in a process of its own."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, encoding="utf-8", env={**os.environ, **environment}
    )
    return Done(done.returncode, done.stdout, done.stderr)


def record(
    root: Path,
    name: str,
    *,
    lr: float = 1e-5,
    seed: int = 0,
    mcc: Callable[[int], float] = lambda step: step / 100,
    n_steps: int = 40,
    **fields: Any,
) -> str:
    """A finished run in project `cola` with 40 training losses and a score every ten steps; its id."""
    with tb.start_run("cola", name=name, root=root, config={"lr": lr, "output_dir": name}, **fields) as run_:
        run_.log_seeds(tb.Seeds(init=1, data=2, dropout=seed))
        for step in range(1, n_steps + 1):
            run_.log({"train/loss": 1 / step}, step=step)
            if step % 10 == 0:
                run_.log({"eval/mcc": mcc(step)}, step=step)
    return run_.run_id


def record_study(root: Path) -> list[str]:
    """Two learning rates with three dropout seeds each, in the group `study`; the runs' ids."""
    return [
        record(
            root,
            f"lr{lr:g}-s{seed}",
            lr=lr,
            seed=seed,
            mcc=lambda step, up=lr * 1000 + seed / 10: up + step / 1000,
            group="study",
        )
        for lr in (1e-5, 2e-5)
        for seed in range(3)
    ]
