"""A training that goes on from a checkpoint goes on in its run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from trainer_kit import Crash, arguments, events, points, run_folders, trainer_for
from transformers import Trainer, TrainerState

import trackbridge as tb
from trackbridge.integrations.transformers import TrackingCallback
from trackbridge.journal.sidecar import SIDECAR_NAME

SAVES = {"save_strategy": "steps", "save_steps": 4, "eval_strategy": "steps", "eval_steps": 2}


def short_form(tmp_path: Path, *callbacks: Any, project: str = "demo", **args: Any) -> Trainer:
    """A Trainer with a callback that opens its own runs."""
    callback = TrackingCallback(project=project, root=tmp_path / "runs")
    return trainer_for(arguments(tmp_path / "out", **{**SAVES, **args}), callback, *callbacks)


def crashed_at_step_7(tmp_path: Path) -> Path:
    """The folder of a run that saved step 4 and logged until step 7."""
    with pytest.raises(RuntimeError, match="out of memory"):
        short_form(tmp_path, Crash(at_step=7)).train()
    [folder] = run_folders(tmp_path / "runs")
    assert max(points(folder, "train/loss")) == 7
    return folder


def test_the_short_form_goes_on_in_the_same_run(tmp_path: Path) -> None:
    folder = crashed_at_step_7(tmp_path)
    short_form(tmp_path).train(resume_from_checkpoint=True)

    assert run_folders(tmp_path / "runs") == [folder]
    [resumed] = events(folder, "run_resumed")
    assert resumed["from_step"] == 4
    assert resumed["checkpoint"] == str((tmp_path / "out" / "checkpoint-4").resolve())
    assert events(folder, "run_finished")[-1]["status"] == "finished"


def test_resumed_run_hides_superseded_points(tmp_path: Path) -> None:
    folder = crashed_at_step_7(tmp_path)
    short_form(tmp_path).train(resume_from_checkpoint=True)

    record = tb.open_store(tmp_path / "runs").run(folder.name)
    assert record.series("train/loss").steps.tolist() == list(range(1, 11))
    assert record.series("eval/loss").steps.tolist() == [2, 4, 6, 8, 10]
    # Steps 5, 6 and 7 of the first session with three metrics each, and the evaluation at step 6.
    assert record.n_superseded > 9
    assert record.status == "finished"
    assert len(record.sessions) == 2


def test_a_run_of_the_users_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def train(resume_from: Path | None, *callbacks: Any) -> Path:
        with tb.start_run("demo", root=tmp_path / "runs", resume_from=resume_from) as run:
            trainer = trainer_for(arguments(tmp_path / "out", **SAVES), TrackingCallback(run), *callbacks)
            trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
        return run.path

    with pytest.raises(RuntimeError, match="out of memory"):
        train(None, Crash(at_step=7))
    folder = train(tmp_path / "out" / "checkpoint-4")

    assert run_folders(tmp_path / "runs") == [folder]
    assert [event["status"] for event in events(folder, "run_finished")] == ["failed", "finished"]
    assert tb.open_store(tmp_path / "runs").run(folder.name).series("train/loss").steps.tolist() == list(range(1, 11))


def test_a_finished_training_that_is_made_longer_goes_on_in_its_run(tmp_path: Path) -> None:
    short_form(tmp_path, max_steps=4).train()
    short_form(tmp_path, max_steps=8).train(resume_from_checkpoint=True)

    [folder] = run_folders(tmp_path / "runs")
    record = tb.open_store(tmp_path / "runs").run(folder.name)
    assert record.series("train/loss").steps.tolist() == list(range(1, 9))
    assert record.n_superseded == 0
    assert record.config["training_arguments"]["max_steps"] == 8


def test_seeds_of_the_owner_stand_after_a_resume_that_logs_none(tmp_path: Path) -> None:
    for resume_from in (None, tmp_path / "out" / "checkpoint-4"):
        with tb.start_run("demo", root=tmp_path / "runs", resume_from=resume_from) as run:
            if resume_from is None:
                run.log_seeds(tb.Seeds(init=1, data=2, dropout=3))
            trainer = trainer_for(arguments(tmp_path / "out", **SAVES, seed=99), TrackingCallback(run))
            trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))

    [seeds] = events(run.path, "seeds_logged")
    assert (seeds["init"], seeds["data"], seeds["dropout"]) == (1, 2, 3)


def test_a_checkpoint_without_a_sidecar_starts_a_new_run_that_says_so(tmp_path: Path) -> None:
    old = crashed_at_step_7(tmp_path)
    (tmp_path / "out" / "checkpoint-4" / SIDECAR_NAME).unlink()
    short_form(tmp_path).train(resume_from_checkpoint=True)

    [new] = [folder for folder in run_folders(tmp_path / "runs") if folder != old]
    [started] = events(new, "run_started")
    assert started["resumed_from"] == str((tmp_path / "out" / "checkpoint-4").resolve())
    assert list(points(new, "train/loss")) == [5, 6, 7, 8, 9, 10]
    assert events(new, "seeds_logged")


def test_a_checkpoint_from_elsewhere_starts_a_new_run_that_says_so(tmp_path: Path) -> None:
    old = crashed_at_step_7(tmp_path)
    shutil.move(tmp_path / "out" / "checkpoint-4", tmp_path / "moved")
    short_form(tmp_path).train(resume_from_checkpoint=str(tmp_path / "moved"))

    [new] = [folder for folder in run_folders(tmp_path / "runs") if folder != old]
    [started] = events(new, "run_started")
    assert started["notes"].startswith("resumed at step 4 from a checkpoint that does not lie in")


def test_a_checkpoint_of_another_training_at_the_same_step_is_not_taken_for_the_resumed_one(tmp_path: Path) -> None:
    resumed = crashed_at_step_7(tmp_path)
    shutil.move(tmp_path / "out" / "checkpoint-4", tmp_path / "mine")
    short_form(tmp_path, seed=5, max_steps=4).train()
    [_, other] = run_folders(tmp_path / "runs")
    short_form(tmp_path).train(resume_from_checkpoint=str(tmp_path / "mine"))

    [third] = [folder for folder in run_folders(tmp_path / "runs") if folder not in (resumed, other)]
    assert list(points(third, "train/loss")) == [5, 6, 7, 8, 9, 10]
    assert list(points(other, "train/loss")) == [1, 2, 3, 4]


def test_a_checkpoint_of_another_project_is_named_and_left_alone(tmp_path: Path) -> None:
    old = crashed_at_step_7(tmp_path)
    short_form(tmp_path, project="stage-two").train(resume_from_checkpoint=True)

    [new] = (tmp_path / "runs" / "stage-two").iterdir()
    [started] = events(new, "run_started")
    assert f"belongs to run {old.name} of project 'demo'" in started["notes"]
    assert events(old, "run_resumed") == []


def test_resuming_from_a_checkpoint_saved_before_the_callback_existed_works(tmp_path: Path) -> None:
    """A callback with state of its own would die here with a KeyError at the first save."""
    trainer_for(arguments(tmp_path / "out", **SAVES, max_steps=4)).train()
    short_form(tmp_path).train(resume_from_checkpoint=True)

    [folder] = run_folders(tmp_path / "runs")
    assert list(points(folder, "train/loss")) == [5, 6, 7, 8, 9, 10]
    assert [event["step"] for event in events(folder, "checkpoint_saved")] == [8, 10]
    state = TrainerState.load_from_json(str(tmp_path / "out" / "checkpoint-10" / "trainer_state.json"))
    assert "TrackingCallback" not in state.stateful_callbacks


def test_restoring_callback_states_keeps_the_run(tmp_path: Path) -> None:
    """`restore_callback_states_from_checkpoint` makes stateful callbacks anew, without what they were given."""
    crashed_at_step_7(tmp_path)
    with tb.start_run("demo", root=tmp_path / "runs", resume_from=tmp_path / "out" / "checkpoint-4") as run:
        args = arguments(tmp_path / "out", **SAVES, restore_callback_states_from_checkpoint=True)
        trainer_for(args, TrackingCallback(run)).train(resume_from_checkpoint=True)

    assert list(points(run.path, "train/loss")) == list(range(1, 11))


def test_the_best_of_an_earlier_session_is_replaced_only_by_a_better_one(tmp_path: Path) -> None:
    scores = {2: 0.2, 4: 0.8, 6: 0.5, 8: 0.9, 10: 0.1}

    def train(*callbacks: Any, resume: bool, until: int) -> Path:
        steps = iter([step for step in scores if step > (4 if resume else 0)])
        trainer = trainer_for(
            arguments(tmp_path / "out", **{**SAVES, "save_steps": 2, "metric_for_best_model": "mcc"}, max_steps=until),
            TrackingCallback(project="demo", root=tmp_path / "runs", checkpoints="best"),
            *callbacks,
            compute_metrics=lambda prediction: {"mcc": scores[next(steps)]},
        )
        trainer.train(resume_from_checkpoint=resume)
        return run_folders(tmp_path / "runs")[0] / "files" / "checkpoints"

    kept = train(resume=False, until=4)
    assert [path.name for path in kept.iterdir()] == ["step-4"]
    train(resume=True, until=6)
    assert [path.name for path in kept.iterdir()] == ["step-4"]
    shutil.rmtree(tmp_path / "out" / "checkpoint-6")
    train(resume=True, until=10)
    assert [path.name for path in kept.iterdir()] == ["step-8"]


def test_rotation_of_an_earlier_sessions_checkpoint_is_recorded(tmp_path: Path) -> None:
    folder = crashed_at_step_7(tmp_path)
    short_form(tmp_path, save_total_limit=1).train(resume_from_checkpoint=True)

    assert [event["step"] for event in events(folder, "checkpoint_deleted")] == [4, 8]
