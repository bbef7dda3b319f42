"""Trainings in processes of their own: several ranks, and every way a process can end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_kit import training_environment
from trainer_kit import config, events, points, run_folders

import trackbridge as tb

KIT = Path(__file__).parent

TRAIN = """
import sys
from pathlib import Path

sys.path.insert(0, {kit!r})
from trainer_kit import Crash, arguments, sentences, trainer_for
from trackbridge.integrations.transformers import TrackingCallback

args = arguments(Path("out"), max_steps={max_steps}, **{args!r})
trainer = trainer_for(args, TrackingCallback(project="demo", root="runs", checkpoints="all"), *[{callbacks}])
"""


def script(folder: Path, ending: str, *, callbacks: str = "", max_steps: int = 4, **args: object) -> Path:
    """A training script whose last lines are `ending`."""
    path = folder / "train.py"
    path.write_text(TRAIN.format(kit=str(KIT), callbacks=callbacks, max_steps=max_steps, args=args) + ending)
    return path


def finished(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command after it ended by itself, in a folder of its own, on one thread."""
    return subprocess.run(command, cwd=folder, env=training_environment(), capture_output=True, text=True, timeout=120)


def only_run(folder: Path) -> Path:
    [run] = run_folders(folder / "runs")
    return run


def test_only_rank_zero_of_two_processes_records(tmp_path: Path) -> None:
    ending = "trainer.train()\ntrainer.evaluate()\ntrainer.predict(sentences(8, seed=3))\n"
    path = script(tmp_path, ending, ddp_backend="gloo", save_strategy="steps", save_steps=2)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(path)]
    result = finished(torchrun, tmp_path)

    assert result.returncode == 0, result.stderr
    run = only_run(tmp_path)
    assert list(points(run, "train/loss")) == [1, 2, 3, 4]
    assert list(points(run, "eval/loss")) == list(points(run, "test/loss")) == [4]
    assert {event["rank"] for event in events(run, "writer_opened")} == {0}
    assert {event["world_size"] for event in events(run, "writer_opened")} == {2}
    assert len(events(run, "run_started")) == 1
    assert [event["step"] for event in events(run, "checkpoint_saved")] == [2, 4]
    assert config(run)["trainer"]["processes"] == 2
    assert events(run, "run_finished")[-1]["status"] == "finished"


def test_an_exception_that_ends_the_process_is_the_status_of_the_short_form(tmp_path: Path) -> None:
    path = script(tmp_path, "trainer.train()\n", callbacks="Crash(at_step=2)")
    result = finished([sys.executable, str(path)], tmp_path)

    assert result.returncode == 1
    [end] = events(only_run(tmp_path), "run_finished")
    assert (end["status"], end["error"]) == ("failed", "RuntimeError: out of memory after step 2")
    assert "trainer.train()" in end["traceback"]


def test_an_exception_that_was_caught_and_forgotten_is_no_finished_training(tmp_path: Path) -> None:
    ending = "try:\n    trainer.train()\nexcept RuntimeError:\n    print('never mind')\n"
    result = finished([sys.executable, str(script(tmp_path, ending, callbacks="Crash(at_step=2)"))], tmp_path)

    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "never mind")
    [end] = events(only_run(tmp_path), "run_finished")
    assert (end["status"], end["error"]) == ("failed", "train() stopped after step 2 without reaching its end")


def test_an_evaluation_without_any_training_is_a_finished_run(tmp_path: Path) -> None:
    result = finished([sys.executable, str(script(tmp_path, "trainer.evaluate()\n"))], tmp_path)

    assert result.returncode == 0, result.stderr
    run = only_run(tmp_path)
    assert list(points(run, "eval/loss")) == [0]
    assert [event["status"] for event in events(run, "run_finished")] == ["finished"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_a_killed_training_keeps_every_point_and_is_resumed_in_the_same_run(tmp_path: Path) -> None:
    path = script(tmp_path, "trainer.train()\n", max_steps=100_000, save_strategy="steps", save_steps=5)
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, str(path)], cwd=tmp_path, env=training_environment(), stdout=silent, stderr=silent
    )
    wait_for_checkpoint(tmp_path / "out" / "checkpoint-5", process)
    process.kill()
    process.wait()

    run = only_run(tmp_path)
    logged = list(points(run, "train/loss"))
    assert logged == list(range(1, len(logged) + 1))
    assert events(run, "run_finished") == []
    assert tb.open_store(tmp_path / "runs").run(run.name).status == "lost"

    last = max(int(folder.name.rpartition("-")[2]) for folder in complete_checkpoints(tmp_path / "out"))
    ending = f"trainer.train(resume_from_checkpoint='out/checkpoint-{last}')\n"
    result = finished([sys.executable, str(script(tmp_path, ending, max_steps=last + 2))], tmp_path)

    assert result.returncode == 0, result.stderr
    record = tb.open_store(tmp_path / "runs").run(only_run(tmp_path).name)
    assert record.status == "finished"
    assert record.series("train/loss").steps.tolist() == list(range(1, last + 3))
    assert record.n_superseded >= len(logged) - last


def complete_checkpoints(out: Path) -> list[Path]:
    return [path.parent for path in out.glob("checkpoint-*/trackbridge.json")]


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[bytes], timeout_s: float = 60.0) -> None:
    """Until the sidecar is there, which is the last file of a checkpoint."""
    deadline = time.monotonic() + timeout_s
    while not (folder / "trackbridge.json").is_file():
        assert process.poll() is None, f"the training ended by itself with {process.returncode}"
        assert time.monotonic() < deadline, f"no checkpoint in {folder} after {timeout_s} s"
        time.sleep(0.02)
