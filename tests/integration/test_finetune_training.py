"""What one training leaves behind: the best weights, the record of it, and a loss of the right scale."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_kit import Trained, events_of, trained, write_learnable_data
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.data import LocalData
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.metrics import scores_of


class PowerCut(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends a training with an exception after an update."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.step:
            raise RuntimeError("the lights went out")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_learnable_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def learned(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """52 updates, scored every 2 and checkpointed every 16: the best step has no resume checkpoint."""
    return trained(tmp_path_factory.mktemp("learned"), base=data, overrides={"checkpoints.every": 16})


def test_the_task_is_learned_and_its_best_step_is_no_checkpoint(learned: Trained) -> None:
    assert learned.result.best["eval/mcc"] > 0.5
    assert learned.result.best_step is not None
    assert learned.result.best_step % 16 != 0


def test_best_weights_score_what_was_recorded(learned: Trained, data: dict[str, Any]) -> None:
    weights = learned.result.weights
    assert weights == learned.path / "files" / "checkpoints" / f"step-{learned.result.best_step}"
    model = AutoModelForSequenceClassification.from_pretrained(weights).eval()
    dev = load_corpus(LocalData.model_validate(data["data"])).evals["dev"]
    encoded = AutoTokenizer.from_pretrained(weights)(dev.texts, padding=True, return_tensors="pt")

    scores = scores_of(model(**encoded).logits.detach().numpy(), np.array(dev.labels, dtype=int))

    assert {f"eval/{name}": score for name, score in scores.items()} == {
        name: score for name, score in learned.result.best.items() if name != "eval/loss"
    }


def test_what_only_a_resume_needs_is_removed_at_the_end(learned: Trained) -> None:
    saved = {event["path"] for event in events_of(learned.path, "checkpoint_saved")}
    deleted = {event["path"] for event in events_of(learned.path, "checkpoint_deleted")}

    assert {Path(path).name for path in saved} >= {"checkpoint-16", "checkpoint-32", "checkpoint-48"}
    assert saved == deleted
    assert not (learned.path / "training").exists()


def test_the_record_has_data_seeds_scores_and_where_they_were_best(learned: Trained) -> None:
    scopes = {event["scope"]: event["config"] for event in events_of(learned.path, "config_logged")}
    summary = {k: v for event in events_of(learned.path, "summary_logged") for k, v in event["values"].items()}
    (seeds,) = events_of(learned.path, "seeds_logged")
    points = {name: point["step"] for point in events_of(learned.path, "metrics_logged") for name in point["metrics"]}

    assert scopes["data"]["train"]["examples"] == 100
    assert sum(scopes["data"]["eval_dev"]["labels"].values()) == 60
    assert scopes["trainer"]["torch_threads"] >= 1
    assert (seeds["init"], seeds["data"], seeds["dropout"]) == (1, 2, 3)
    assert points["train/loss"] == points["eval/mcc"] == 52
    assert summary["chosen_by"] == "eval/mcc"
    assert summary["best_step"] == learned.result.best_step
    assert summary["best/eval/mcc"] == learned.result.best["eval/mcc"]
    assert summary["final/eval/mcc"] == learned.result.final["eval/mcc"]


def test_a_crashed_training_goes_on_to_the_same_weights_and_the_same_best(
    learned: Trained, data: dict[str, Any], tmp_path: Path
) -> None:
    """It crashes after better weights than those its last checkpoint knows were already on disk."""
    with pytest.raises(RuntimeError, match="the lights went out"):
        trained(tmp_path, base=data, overrides={"checkpoints.every": 16}, callbacks=[PowerCut(47)])
    (crashed,) = (tmp_path / "tests").iterdir()
    assert len(list((crashed / "training").glob("best-*"))) > 1

    resumed = trained(
        tmp_path,
        base=data,
        overrides={"checkpoints.every": 16},
        resume_from=crashed / "training" / "checkpoint-32",
    )

    assert resumed.path == crashed
    assert resumed.evidence.final_weights == learned.evidence.final_weights
    assert (resumed.result.best, resumed.result.best_step) == (learned.result.best, learned.result.best_step)
    assert resumed.result.weights is not None
    assert not (crashed / "training").exists()


def test_a_loss_that_is_not_a_number_is_recorded_as_such(data: dict[str, Any], tmp_path: Path) -> None:
    diverged = {"training.learning_rate": 1e30, "training.max_gradient_norm": 0, "training.warmup": 0}

    run = trained(tmp_path, base=data, overrides=diverged)

    assert any(math.isnan(loss) for loss in run.evidence.losses)
    losses = [e["metrics"]["train/loss"] for e in events_of(run.path, "metrics_logged") if "train/loss" in e["metrics"]]
    assert "NaN" in losses


def write_rows(folder: Path, rows: list[str]) -> dict[str, Any]:
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("\n".join(rows), encoding="utf-8")
    return {"folder": str(folder), "train": "train.tsv", "eval": {"dev": "dev.tsv"}}


def test_text_pairs_and_three_named_labels_train(tmp_path: Path) -> None:
    kinds = ("entailment", "neutral", "contradiction")
    rows = ["premise\thypothesis\tlabel", *(f"a man {i}\ta person {i}\t{kinds[i % 3]}" for i in range(30))]
    pairs = {**write_rows(tmp_path, rows), "text": "premise", "text_pair": "hypothesis"}

    run = trained(tmp_path, overrides={"data": pairs, "training.epochs": 1})

    assert run.result.weights is not None
    model = AutoModelForSequenceClassification.from_pretrained(run.result.weights)
    encoded = AutoTokenizer.from_pretrained(run.result.weights)("a man", "a person")
    assert model.config.id2label == {0: "contradiction", 1: "entailment", 2: "neutral"}
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]


def test_real_numbers_train_a_regression_scored_by_pearson(tmp_path: Path) -> None:
    rows = ["text\tlabel", *(f"{'very ' * (i % 5)}good\t{i % 5 + 0.5}" for i in range(40))]

    told = {"evaluation.metric": "pearson", "training.learning_rate": 0.01, "training.epochs": 20}

    run = trained(tmp_path, overrides={**told, "data": write_rows(tmp_path, rows)})

    assert run.result.best["eval/pearson"] > 0.9
    assert set(run.result.best) == {"eval/loss", "eval/pearson"}


def test_a_pretrained_model_loads_from_a_local_folder_with_only_its_head_drawn_anew(
    learned: Trained, data: dict[str, Any], tmp_path: Path
) -> None:
    pretrained = AutoModelForSequenceClassification.from_pretrained(learned.result.weights)
    pretrained.bert.save_pretrained(tmp_path / "encoder")
    AutoTokenizer.from_pretrained(learned.result.weights).save_pretrained(tmp_path / "encoder")
    told = {
        "model": {"path": str(tmp_path / "encoder"), "dropout": 0.0},
        "training.max_steps": 2,
        "training.epochs": None,
    }

    one = trained(tmp_path, base=data, overrides={**told, "seeds.dropout": 7})
    same = trained(tmp_path, base=data, overrides={**told, "seeds.dropout": 8})
    other = trained(tmp_path, base=data, overrides={**told, "seeds.init": 9})

    assert one.evidence == same.evidence
    assert other.evidence.initial_weights != one.evidence.initial_weights
    model = events_of(one.path, "config_logged")
    assert next(e["config"]["hidden_dropout_prob"] for e in model if e["scope"] == "model") == 0.0


def test_a_model_that_cannot_be_had_is_named(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        PipelineConfigError, match=r"model\.path: cannot load 'nobody/nothing' \(there is no local folder"
    ):
        trained(tmp_path, base=data, overrides={"model": {"path": "nobody/nothing"}})


SIX_UPDATES = {
    "model.dropout": 0.0,
    "training.max_steps": 6,
    "training.epochs": None,
    "training.learning_rate": 0.002,
    "evaluation.select": "last",
}


def last_weights(run: Trained) -> dict[str, torch.Tensor]:
    assert run.result.weights is not None
    weights: dict[str, torch.Tensor] = load_file(run.result.weights / "model.safetensors")
    return weights


@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 2), (4, 4)])
@pytest.mark.parametrize("told", [{}, {"layerwise_decay": {"factor": 0.8}}], ids=["plain", "layer-wise decay"])
def test_accumulated_updates_are_those_of_one_batch(
    tmp_path: Path, batch_size: int, accumulation: int, told: dict[str, Any]
) -> None:
    """Twice and four times the loss and gradient in a plain Trainer of transformers 5.23.

    The order of the sums differs, so not all bits are equal: after six updates at a rate of .002 no weight is further
    off than half a percent of one update.
    """
    parted = {"training.batch_size": batch_size, "training.gradient_accumulation": accumulation}
    whole = trained(tmp_path, overrides={**SIX_UPDATES, **told, "training.batch_size": 16})
    parts = trained(tmp_path, overrides={**SIX_UPDATES, **told, **parted})

    assert losses_and_gradients(parts) == pytest.approx(losses_and_gradients(whole), rel=1e-5)
    torch.testing.assert_close(last_weights(parts), last_weights(whole), rtol=0, atol=1e-5)


def losses_and_gradients(run: Trained) -> list[float]:
    """The loss and the gradient's norm of each update, as recorded."""
    points = [event["metrics"] for event in events_of(run.path, "metrics_logged")]
    return [point[name] for name in ("train/loss", "train/grad_norm") for point in points if name in point]
