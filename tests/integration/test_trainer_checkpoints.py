"""Checkpoints of a Trainer: recorded with their scores, kept through rotation, told as deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trainer_kit import arguments, config, events, points, sentences, tiny_model, trainer_for
from transformers import BertForSequenceClassification

import trackbridge as tb
from trackbridge.errors import MisuseError
from trackbridge.integrations.transformers import TrackingCallback
from trackbridge.run import files

EVERY_TWO = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
UNSTEADY = {**EVERY_TWO, "learning_rate": 0.3, "metric_for_best_model": "loss"}


def trained(tmp_path: Path, policy: Any, args: dict[str, Any], **settings: Any) -> tuple[Path, Any]:
    """The folder of a finished run, and its Trainer."""
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        callback = TrackingCallback(run, checkpoints=policy)
        trainer = trainer_for(arguments(tmp_path / "out", **args), callback, **settings)
        trainer.train()
    return run.path, trainer


def kept_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "files" / "checkpoints").glob("step-*"))


def test_checkpoints_are_recorded_with_the_scores_of_their_very_step(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, "none", {**EVERY_TWO, "eval_steps": 4, "max_steps": 8})

    saved = {event["step"]: event for event in events(folder, "checkpoint_saved")}
    assert list(saved) == [2, 4, 6, 8]
    assert saved[2]["metrics"] == saved[6]["metrics"] == {}
    assert saved[4]["metrics"] == {
        "eval/loss": points(folder, "eval/loss")[4],
        "eval/accuracy": points(folder, "eval/accuracy")[4],
    }
    assert saved[4]["path"] == str((tmp_path / "out" / "checkpoint-4").resolve())
    assert saved[4]["size_bytes"] > 10_000


def test_scores_of_several_evaluation_sets_meet_in_one_checkpoint(tmp_path: Path) -> None:
    sets = {"near": sentences(8, seed=1), "far": sentences(8, seed=2)}
    folder, _ = trained(tmp_path, "none", {**EVERY_TWO, "max_steps": 2}, eval_dataset=sets)

    [saved] = events(folder, "checkpoint_saved")
    assert set(saved["metrics"]) == {"eval_near/loss", "eval_near/accuracy", "eval_far/loss", "eval_far/accuracy"}


def test_every_checkpoint_says_to_which_run_it_belongs(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, "none", {**EVERY_TWO, "max_steps": 4})

    for step in (2, 4):
        sidecar = json.loads((tmp_path / "out" / f"checkpoint-{step}" / "trackbridge.json").read_text())
        assert (sidecar["run_id"], sidecar["step"]) == (folder.name, step)


def test_rotated_checkpoints_are_recorded_as_deleted(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, "none", {**EVERY_TWO, "save_total_limit": 2})

    out = (tmp_path / "out").resolve()
    deleted = {event["step"]: event["path"] for event in events(folder, "checkpoint_deleted")}
    assert deleted == {step: str(out / f"checkpoint-{step}") for step in (2, 4, 6)}
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-8"]
    record = tb.open_store(tmp_path / "runs").run(folder.name)
    assert {one.step for one in record.checkpoints if one.deleted} == {2, 4, 6}


def test_the_deletion_at_the_very_end_is_recorded_too(tmp_path: Path) -> None:
    # With save_total_limit=1 Trainer deletes the last checkpoint after the last save, if another was better.
    args = {**UNSTEADY, "save_total_limit": 1, "load_best_model_at_end": True}
    folder, trainer = trained(tmp_path, "none", args)

    best = trainer.state.best_global_step
    assert best != 10
    assert {event["step"] for event in events(folder, "checkpoint_deleted")} == {2, 4, 6, 8, 10} - {best}


def test_all_kept_checkpoints_survive_rotation_and_load(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, "all", {**EVERY_TWO, "save_total_limit": 1})

    assert kept_steps(folder) == [2, 4, 6, 8, 10]
    assert next(event["kept"] for event in events(folder, "checkpoint_saved")) == "files/checkpoints/step-2"
    kept = folder / "files" / "checkpoints" / "step-2"
    assert BertForSequenceClassification.from_pretrained(kept).config.hidden_size == 16


def test_a_kept_checkpoint_shares_its_bytes_with_the_original(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, "all", {**EVERY_TWO, "max_steps": 2})

    original = tmp_path / "out" / "checkpoint-2" / "model.safetensors"
    assert original.samefile(folder / "files" / "checkpoints" / "step-2" / "model.safetensors")


def test_only_the_best_checkpoint_is_kept_and_it_is_the_best(tmp_path: Path) -> None:
    folder, trainer = trained(tmp_path, "best", {**UNSTEADY, "save_total_limit": 1})

    losses = points(folder, "eval/loss")
    best = min(losses, key=lambda step: losses[step])
    assert kept_steps(folder) == [best] == [trainer.state.best_global_step]
    assert best < 10


def test_a_better_checkpoint_replaces_the_one_kept_before(tmp_path: Path) -> None:
    # A steady fall of the loss: each checkpoint is the best so far.
    args = {**EVERY_TWO, "learning_rate": 1e-3, "lr_scheduler_type": "constant"}
    folder, _ = trained(tmp_path, "best", args, eval_dataset=sentences(16))

    losses = list(points(folder, "eval/loss").values())
    assert losses == sorted(losses, reverse=True)
    assert [event["kept"] is not None for event in events(folder, "checkpoint_saved")] == [True] * 5
    dropped = [event["path"] for event in events(folder, "checkpoint_deleted")]
    assert dropped == [f"files/checkpoints/step-{step}" for step in (2, 4, 6, 8)]
    assert kept_steps(folder) == [10]
    record = tb.open_store(tmp_path / "runs").run(folder.name)
    assert [(one.step, one.kept) for one in record.checkpoints if one.kept] == [(10, "files/checkpoints/step-10")]


def test_best_means_what_it_means_to_the_trainer(tmp_path: Path) -> None:
    sets = {"near": sentences(8, seed=1), "far": sentences(8, seed=2)}
    args = {**UNSTEADY, "metric_for_best_model": "eval_far_loss", "greater_is_better": True}
    folder, trainer = trained(tmp_path, "best", args, eval_dataset=sets)

    losses = points(folder, "eval_far/loss")
    assert kept_steps(folder) == [max(losses, key=lambda step: losses[step])] == [trainer.state.best_global_step]


def test_a_score_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    scores = iter([float("nan"), 0.1, 0.3, float("inf"), float("nan")])
    folder, _ = trained(
        tmp_path,
        "best",
        {**EVERY_TWO, "metric_for_best_model": "mcc"},
        compute_metrics=lambda prediction: {"mcc": next(scores)},
    )

    assert kept_steps(folder) == [6]


def test_saving_only_when_better_keeps_what_was_saved(tmp_path: Path) -> None:
    folder, trainer = trained(tmp_path, "best", {**UNSTEADY, "save_strategy": "best"})

    assert kept_steps(folder) == [trainer.state.best_global_step]


@pytest.mark.parametrize(("best_step", "is_told"), [(4, False), (3, True)])
def test_the_best_of_the_saved_steps_is_kept_and_a_better_unsaved_one_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, best_step: int, is_told: bool
) -> None:
    scores = iter([0.9 if step == best_step else step / 100 for step in range(1, 6)])
    folder, _ = trained(
        tmp_path,
        "best",
        {**EVERY_TWO, "eval_steps": 1, "max_steps": 4, "metric_for_best_model": "mcc"},
        compute_metrics=lambda prediction: {"mcc": next(scores)},
    )

    assert kept_steps(folder) == [4]
    assert ("eval_mcc was best at step 3, which was never saved" in caplog.text) == is_told


def test_keeping_the_best_without_any_score_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, _ = trained(tmp_path, "best", {"save_strategy": "steps", "save_steps": 5})

    assert kept_steps(folder) == []
    assert "checkpoints='best' kept nothing" in caplog.text


def test_training_again_into_the_same_folder_leaves_kept_checkpoints_as_they_were(tmp_path: Path) -> None:
    # Trainer rewrites optimizer.pt and trainer_state.json in place, through the hard link if there is one.
    first, _ = trained(tmp_path, "all", {**EVERY_TWO, "max_steps": 2})
    kept = first / "files" / "checkpoints" / "step-2"
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    second, _ = trained(tmp_path, "all", {**EVERY_TWO, "max_steps": 2, "learning_rate": 0.2}, model=tiny_model(9))

    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    other = second / "files" / "checkpoints" / "step-2" / "model.safetensors"
    weights, others = load_file(kept / "model.safetensors"), load_file(other)
    assert not torch.equal(weights["classifier.weight"], others["classifier.weight"])


def test_a_refused_copy_does_not_cost_the_best_one_kept_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_folder = files.keep_folder

    def full_after_the_first(source: Path, target: Path) -> Path | None:
        return keep_folder(source, target) if target.name == "step-2" else None

    monkeypatch.setattr(files, "keep_folder", full_after_the_first)
    args = {**EVERY_TWO, "learning_rate": 1e-3, "lr_scheduler_type": "constant"}
    folder, _ = trained(tmp_path, "best", args, eval_dataset=sentences(16))

    assert kept_steps(folder) == [2]


def test_a_checkpoint_that_cannot_be_found_does_not_stop_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", **EVERY_TWO), TrackingCallback(run))
        trainer._get_output_dir = lambda trial=None: str(tmp_path / "elsewhere")
        trainer.train()

    assert events(run.path, "checkpoint_saved") == []
    assert list(points(run.path, "train/loss")) == list(range(1, 11))
    assert "no checkpoint of step 2 found" in caplog.text


def test_an_unknown_policy_is_refused_at_once(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run, pytest.raises(MisuseError, match="did you mean 'best'"):
        TrackingCallback(run, checkpoints="bets")  # type: ignore[arg-type]  # that is the mistake

    assert config(run.path) == {}
