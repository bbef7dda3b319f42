"""A real Trainer, delivered live to every tracker, killed, and resumed from its checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fault_kit import VENDORS, Vendor, vendor
from relay_process_kit import shown, steps_shown, until
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from trainer_kit import run_folders

import trackbridge as tb
from trackbridge.relay.standing import standings

TARGETS = (*VENDORS, "tensorboard", "memory:offline")

# Saves at step 4; the first time it is killed at the end of step 7.
TRAIN = """
import os, signal, sys
sys.path.insert(0, {kit!r})
from transformers import TrainerCallback
from trainer_kit import arguments, trainer_for
from trackbridge.integrations.transformers import TrackingCallback

class Killed(TrainerCallback):
    def on_log(self, args, state, control, **others):
        if state.global_step == 7 and not {resumes}:
            os.kill(os.getpid(), signal.SIGKILL)

args = arguments("out", save_strategy="steps", save_steps=4, seed=5)
tracking = TrackingCallback(project="demo", name="baseline", group="study", tags=["tiny"], root="runs", to={to!r})
trainer_for(args, tracking, Killed()).train(resume_from_checkpoint={resumes})
"""


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[list[Vendor]]:
    with ExitStack() as stack:
        yield [stack.enter_context(vendor(name, tmp_path)) for name in VENDORS]


def train(folder: Path, environment: dict[str, str], *, resumes: bool) -> int:
    """One process of the training; its exit code."""
    script = TRAIN.format(kit=str(Path(__file__).parent), to=TARGETS, resumes=resumes)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_a_killed_and_resumed_training_is_one_run_at_every_tracker(tmp_path: Path, vendors: list[Vendor]) -> None:
    environment = {**os.environ, "TRACKBRIDGE_FINISH_TIMEOUT_S": "120"}
    for one in vendors:
        environment |= one.environment

    killed = train(tmp_path, environment, resumes=False)
    [folder] = run_folders(tmp_path / "runs")
    until(lambda: all(one.state == "delivered" for one in standings(folder)), within_s=120, what="the ending")
    gone = {one.name: one.server.seen(folder.name).status for one in vendors}
    resumed = train(tmp_path, environment, resumes=True)

    # What comes after a resume follows what it superseded, which stays.
    steps = [*range(1, 8), *range(5, 11)]
    assert (killed, resumed) == (-signal.SIGKILL, 0)
    assert "running" not in gone.values()
    assert "finished" not in gone.values()
    for one in vendors:
        seen = one.server.seen(folder.name)
        assert one.server.run_ids() == [folder.name], one.name
        assert [step for step, _ in seen.curve("train/loss")] == steps, one.name
        assert (seen.status, seen.name, seen.group) == ("finished", "baseline", "study"), one.name
        assert seen.tags == {"tiny"}, one.name
    assert steps_shown(folder) == steps
    assert shown(folder).ending.status == "finished"
    # TensorBoard's own mark of a restart makes its page hide them.
    [log] = (folder / "offline" / "tensorboard").iterdir()
    pages = EventAccumulator(str(log), tensor_size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in pages.Tensors("train/loss")] == list(range(1, 11))
    assert list(tb.open_store(tmp_path / "runs").run(folder.name).series("train/loss").steps) == list(range(1, 11))
