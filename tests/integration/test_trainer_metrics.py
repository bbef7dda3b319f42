"""What a Trainer logs, under which name and at which step a run has it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from trainer_kit import accuracy, arguments, events, points, run_folders, sentences, tiny_model, trainer_for
from transformers import Trainer, TrainerCallback

import trackbridge as tb
from trackbridge.events.trainer_names import metric_name, metrics_of
from trackbridge.integrations.transformers import TrackingCallback


def tracked(tmp_path: Path, args: dict[str, Any] | None = None, **settings: Any) -> tuple[Path, Trainer]:
    """The folder of a finished run, and its Trainer, after one train() inside a run of ours."""
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", **(args or {})), TrackingCallback(run), **settings)
        trainer.train()
    return run.path, trainer


def test_every_logged_loss_has_its_true_step_and_epoch(tmp_path: Path) -> None:
    folder, trainer = tracked(tmp_path, {"logging_steps": 3, "max_steps": 7})

    logged = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    assert points(folder, "train/loss") == logged
    assert list(logged) == [3, 6]
    assert {event["step"]: event["epoch"] for event in events(folder, "metrics_logged")} == {3: 0.75, 6: 1.5}
    assert "train/grad_norm" in events(folder, "metrics_logged")[0]["metrics"]


def test_a_step_counts_updates_not_batches(tmp_path: Path) -> None:
    folder, _ = tracked(tmp_path, {"gradient_accumulation_steps": 2, "max_steps": 4})

    assert list(points(folder, "train/loss")) == [1, 2, 3, 4]


def test_every_evaluation_is_recorded(tmp_path: Path) -> None:
    folder, trainer = tracked(tmp_path, {"eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True})

    logged = {entry["step"]: entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry}
    assert points(folder, "eval/loss") == logged
    assert list(logged) == [0, 2, 4, 6, 8, 10]
    assert set(points(folder, "eval/accuracy")) == set(logged)


def test_each_of_several_evaluation_sets_is_a_split_of_its_own(tmp_path: Path) -> None:
    sets = {"in_domain": sentences(8, seed=1), "out_of_domain": sentences(8, seed=2)}
    folder, _ = tracked(tmp_path, {"eval_strategy": "steps", "eval_steps": 5}, eval_dataset=sets)

    for name in ("eval_in_domain/loss", "eval_out_of_domain/accuracy", "eval_in_domain/samples_per_second"):
        assert list(points(folder, name)) == [5, 10]


def test_the_totals_at_the_end_are_a_summary_and_not_on_the_loss_curve(tmp_path: Path) -> None:
    folder, trainer = tracked(tmp_path)

    [summary] = events(folder, "summary_logged")
    final = trainer.state.log_history[-1]
    assert {"train_runtime", "train_loss", "total_flos", "train_samples_per_second"} <= set(summary["values"])
    assert summary["values"]["train_loss"] == final["train_loss"]
    assert len(points(folder, "train/loss")) == 10


def test_token_counts_and_speed_are_curves_of_the_training(tmp_path: Path) -> None:
    # With this argument Trainer adds `train_runtime` to every log, as it otherwise does only at the end.
    folder, _ = tracked(
        tmp_path, {"include_num_input_tokens_seen": "all", "eval_strategy": "steps", "eval_steps": 6, "max_steps": 6}
    )

    assert points(folder, "train/num_input_tokens_seen") == {step: 24.0 * step for step in range(1, 7)}
    assert list(points(folder, "train/tokens_per_second")) == [1, 2, 3, 4, 5, 6]
    # An evaluation carries the same counter, which is not a number of the evaluation.
    [evaluation] = [event for event in events(folder, "metrics_logged") if "eval/loss" in event["metrics"]]
    assert not any(name.startswith("train/") for name in evaluation["metrics"])
    assert list(points(folder, "train/loss")) == [1, 2, 3, 4, 5, 6]


def test_predict_after_training_is_in_the_same_run(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out"), TrackingCallback(run))
        trainer.train()
        scores = trainer.predict(sentences(8, seed=3)).metrics
        trainer.predict(sentences(8, seed=4), metric_key_prefix="test_far")

    assert points(run.path, "test/loss") == {10: scores["test_loss"]}
    assert list(points(run.path, "test_far/accuracy")) == [10]
    assert len(run_folders(tmp_path / "runs")) == 1


def test_scores_of_reloaded_best_weights_stand_at_the_step_of_those_weights(tmp_path: Path) -> None:
    # After load_best_model_at_end, Trainer still reports the last step for whatever is evaluated.
    settings = {
        "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2,
        "load_best_model_at_end": True, "metric_for_best_model": "loss", "learning_rate": 0.3,
    }  # fmt: skip
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", **settings), TrackingCallback(run))
        trainer.train()
        last_of_training = points(run.path, "eval/loss")[10]
        again = trainer.evaluate()["eval_loss"]
        tested = trainer.predict(sentences(8, seed=3)).metrics["test_loss"]

    best = trainer.state.best_global_step
    assert best < 10
    assert trainer.state.global_step == 10
    assert points(run.path, "eval/loss")[10] == last_of_training != again
    assert points(run.path, "eval/loss")[best] == pytest.approx(again)
    assert points(run.path, "test/loss") == {best: tested}


def test_evaluation_before_training_stands_at_step_zero(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out"), TrackingCallback(run))
        before = trainer.evaluate()["eval_loss"]
        trainer.train()

    assert points(run.path, "eval/loss") == {0: before}


def test_a_loss_that_is_not_a_number_is_recorded_as_such(tmp_path: Path) -> None:
    model = tiny_model()
    torch.nn.init.constant_(model.classifier.weight, math.inf)
    folder, _ = tracked(tmp_path, {"logging_nan_inf_filter": False, "max_steps": 2}, model=model)

    assert [math.isnan(value) for value in points(folder, "train/loss").values()] == [True, True]


def test_trainers_own_filter_hides_a_loss_that_is_not_a_number(tmp_path: Path) -> None:
    """The reason why docs/trainer.md tells to set `logging_nan_inf_filter=False`."""
    model = tiny_model()
    torch.nn.init.constant_(model.classifier.weight, math.inf)
    folder, _ = tracked(tmp_path, {"max_steps": 2}, model=model)

    assert all(math.isfinite(value) for value in points(folder, "train/loss").values())


class Logs(TrainerCallback):
    """Puts things into the logs, before and after the tracking callback sees them."""

    def __init__(self, extra: dict[str, Any]) -> None:
        self.extra = extra
        self.seen: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        self.seen.append(dict(logs))
        logs.update(self.extra)


def test_tracking_changes_nothing_in_the_training(tmp_path: Path) -> None:
    args = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}
    folder, tracked_trainer = tracked(tmp_path, args)
    plain_trainer = trainer_for(arguments(tmp_path / "plain", **args))
    plain_trainer.train()

    losses = [entry["loss"] for entry in plain_trainer.state.log_history if "loss" in entry]
    assert list(points(folder, "train/loss").values()) == losses
    weights = tracked_trainer.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in plain_trainer.model.state_dict().items())


def test_bools_and_texts_are_no_metrics_and_tensors_of_one_element_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"is_warm": True, "phase": "warm-up", "margin": torch.tensor(0.5), "nothing": None, "rewards": [1.0, 2.0]}
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        callbacks = [Logs(extra), TrackingCallback(run)]
        trainer_for(arguments(tmp_path / "out", max_steps=2), *callbacks).train()

    assert set(points(run.path, "train/margin").values()) == {0.5}
    for left_out in ("is_warm", "phase", "nothing", "rewards"):
        assert points(run.path, f"train/{left_out}") == {}
        assert sum(left_out in record.getMessage() for record in caplog.records) == 1


def test_logs_are_copied_and_left_as_they_were(tmp_path: Path) -> None:
    before, after = Logs({}), Logs({"late": 1.0})
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer_for(arguments(tmp_path / "out", max_steps=2), before, TrackingCallback(run), after).train()

    assert before.seen == after.seen
    assert points(run.path, "train/late") == {}


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("loss", None, "train/loss"),
        ("learning_rate", None, "train/learning_rate"),
        ("train_loss", None, "train/loss"),
        ("eval_loss", "eval", "eval/loss"),
        ("eval_dev_set_mcc", "eval_dev_set", "eval_dev_set/mcc"),
        ("eval_mcc_at_k", "eval", "eval/mcc_at_k"),
        ("test_accuracy", "test", "test/accuracy"),
        ("far_accuracy", "far", "far/accuracy"),
        ("rewards/margins", None, "train/rewards/margins"),
        ("eval_rewards/margins", "eval", "eval/rewards/margins"),
        ("eval/rewards/margins", None, "eval/rewards/margins"),
        ("train/rewards/margins", None, "train/rewards/margins"),
        ("evaluations", None, "train/evaluations"),
    ],
)
def test_the_prefix_becomes_the_split_and_the_name_stays(key: str, prefix: str | None, name: str) -> None:
    assert metric_name(key, prefix) == name


def test_underscores_in_set_and_metric_names_do_not_confuse_the_split() -> None:
    logs = {"eval_a_b_f1_macro": 0.5, "eval_a_b_runtime": 1.0, "eval_a_b_x_runtime": 3.0, "epoch": 2.0}

    assert metrics_of(logs) == {"eval_a_b/f1_macro": 0.5, "eval_a_b/runtime": 1.0, "eval_a_b/x_runtime": 3.0}


def test_metrics_computed_by_the_user_arrive(tmp_path: Path) -> None:
    def compute(prediction: Any) -> dict[str, Any]:
        return {**accuracy(prediction), "f1/macro": 0.25, "confusion": [[1, 2], [3, 4]]}

    folder, _ = tracked(tmp_path, {"eval_strategy": "steps", "eval_steps": 5}, compute_metrics=compute)

    assert points(folder, "eval/f1/macro") == {5: 0.25, 10: 0.25}
