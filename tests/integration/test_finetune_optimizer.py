"""The optimizer: every parameter in one group at its part's rate, in every training, and Adam with or without bias."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from classifiers_kit import ARCHITECTURES
from finetune_kit import events_of, trained
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from trackbridge.finetune.blocks.techniques import LayerwiseDecay
from trackbridge.finetune.techniques.bert_adam import BertAdam
from trackbridge.finetune.techniques.layers import layers_of
from trackbridge.finetune.techniques.layerwise_decay import parameter_groups
from trackbridge.finetune.trainer import PipelineTrainer

PEAK = 0.001


def groups_of(model: PreTrainedModel, factor: float = 0.5) -> list[dict[str, Any]]:
    decaying = Trainer.get_decay_parameter_names(None, model)
    return parameter_groups(model, factor, learning_rate=PEAK, weight_decay=0.01, decaying=decaying)


def rates_by_name(model: PreTrainedModel, groups: list[dict[str, Any]]) -> dict[str, float]:
    """The rate of each parameter; each is in one group at most."""
    rates = [(parameter, group["lr"]) for group in groups for parameter in group["params"]]
    assert len({parameter for parameter, _ in rates}) == len(rates)
    by_parameter = dict(rates)
    return {name: by_parameter[p] for name, p in model.named_parameters() if p in by_parameter}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_learns_at_the_rate_of_its_part(architecture: str) -> None:
    model = ARCHITECTURES[architecture].classifier()
    parts, n_layers = layers_of(model), len(ARCHITECTURES[architecture].layers)

    groups = groups_of(model)
    rates = rates_by_name(model, groups)

    assert rates.keys() == dict(model.named_parameters()).keys()
    assert {rates[name] for name in (*parts.head, *parts.top)} == {PEAK}
    for index, layer in enumerate(parts.layers):
        assert {rates[name] for name in layer} == {PEAK * 0.5 ** (n_layers - index)}
    assert {rates[name] for name in parts.embeddings} == {PEAK * 0.5 ** (n_layers + 1)}
    assert groups[0]["lr"] == PEAK
    assert {group["part"] for group in groups} == {"head", "embeddings", *(f"layer_{n}" for n in range(n_layers))}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_decay_and_biases_and_norms_do_not(architecture: str) -> None:
    """Told by what holds them, and for vectors whatever holds them: names are how `Trainer` tells them."""
    model = ARCHITECTURES[architecture].classifier()

    groups = groups_of(model)

    decaying = {p for group in groups if group["weight_decay"] for p in group["params"]}
    linear = {module.weight for module in model.modules() if type(module).__name__ in ("Linear", "Conv1D")}
    norms = {p for module in model.modules() if "Norm" in type(module).__name__ for p in module.parameters()}
    assert linear <= decaying
    assert norms
    assert not norms & decaying
    assert all(parameter.ndim > 1 for parameter in decaying)
    assert {group["weight_decay"] for group in groups} == {0.0, 0.01}


def test_frozen_parameters_are_in_no_group_and_the_others_keep_their_rates() -> None:
    model = ARCHITECTURES["bert"].classifier()
    whole = rates_by_name(model, groups_of(model))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "layer.2" in name or "classifier" in name

    groups = groups_of(model)

    assert rates_by_name(model, groups) == {k: r for k, r in whole.items() if "layer.2" in k or "classifier" in k}
    assert all(group["params"] for group in groups)


def test_of_an_adapted_model_adapters_and_head_learn_at_the_rates_of_their_layers() -> None:
    model = get_peft_model(ARCHITECTURES["bert"].classifier(), LoraConfig(task_type="SEQ_CLS"))

    rates = rates_by_name(model, groups_of(model))

    assert rates.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {rate for name, rate in rates.items() if "layer.0" in name} == {PEAK / 8}
    assert {rate for name, rate in rates.items() if "classifier" in name} == {PEAK}


class Optimizers(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The groups of each training's optimizer at its beginning, and the weights around its first update."""

    def __init__(self) -> None:
        self.peaks: list[float] = []
        self.groups: list[list[dict[str, Any]]] = []
        self.names: list[set[str]] = []
        self.before: dict[str, torch.Tensor] = {}
        self.after: dict[str, torch.Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any) -> None:
        self.peaks.append(args.learning_rate)
        self.groups.append([{**group, "params": list(group["params"])} for group in optimizer.param_groups])
        grouped = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        self.names.append({name for name, parameter in model.named_parameters() if parameter in grouped})
        self.before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **others: Any) -> None:
        if state.global_step == 1:
            self.after = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def largest_change(self, name: str) -> float:
        """By how much the first update changed that number of a parameter that it changed most."""
        return (self.after[name] - self.before[name]).abs().max().item()


ONE_UPDATE = {
    "training.epochs": None,
    "training.max_steps": 1,
    "training.warmup": 0,
    "training.weight_decay": 0,
    "training.learning_rate": PEAK,
}
PARTS = {
    "classifier.weight": 0,
    "bert.pooler.dense.weight": 0,
    "bert.encoder.layer.1.output.dense.weight": 1,
    "bert.encoder.layer.0.output.dense.weight": 2,
    "bert.embeddings.word_embeddings.weight": 3,
}


def test_the_first_update_moves_each_part_by_its_rate(tmp_path: Path) -> None:
    """Adam's first step is its rate in the direction of the gradient's sign, however large the gradient."""
    seen = Optimizers()
    trained(tmp_path, overrides={**ONE_UPDATE, "layerwise_decay": {"factor": 0.5}}, callbacks=[seen])

    for name, depth in PARTS.items():
        assert seen.largest_change(name) == pytest.approx(PEAK * 0.5**depth, rel=0.01)


def test_without_bias_correction_the_first_update_is_three_times_as_large(tmp_path: Path) -> None:
    """By (1 - beta1) / sqrt(1 - beta2) = 3.16: the reason why it is unstable."""
    seen = Optimizers()
    trained(tmp_path, overrides={**ONE_UPDATE, "training.bias_correction": False}, callbacks=[seen])

    for name in PARTS:
        assert seen.largest_change(name) == pytest.approx(PEAK * 0.1 / math.sqrt(0.001), rel=0.01)


def test_the_rate_of_every_part_is_logged_under_its_name(tmp_path: Path) -> None:
    run = trained(tmp_path, overrides={"layerwise_decay": {"factor": 0.5}})

    points = [e["metrics"] for e in events_of(run.path, "metrics_logged") if "train/learning_rate" in e["metrics"]]
    assert len(points) == 26
    assert max(point["train/learning_rate"] for point in points) == 0.002
    for point in points:
        rates = {name.rpartition("/")[2]: rate for name, rate in point.items() if "learning_rate/" in name}
        assert list(rates) == ["head", "layer_1", "layer_0", "embeddings"]
        peak = point["train/learning_rate"]
        assert list(rates.values()) == pytest.approx([peak, peak / 2, peak / 4, peak / 8])


def test_without_the_technique_there_is_one_rate(tmp_path: Path) -> None:
    run = trained(tmp_path, overrides={**ONE_UPDATE})

    names = {name for e in events_of(run.path, "metrics_logged") for name in e["metrics"]}
    assert "train/learning_rate" in names
    assert not [name for name in names if "rate/" in name]


def test_a_factor_of_one_trains_bitwise_as_without(tmp_path: Path) -> None:
    plain = trained(tmp_path).evidence

    assert trained(tmp_path, overrides={"layerwise_decay": {"factor": 1.0}}).evidence == plain
    assert trained(tmp_path, overrides={"layerwise_decay": {"factor": 0.5}}).evidence != plain


@pytest.mark.parametrize("told", [{"layerwise_decay": {"factor": 0.8}}, {"training.bias_correction": False}], ids=str)
def test_a_resumed_training_is_bitwise_the_uninterrupted_one(tmp_path: Path, told: dict[str, Any]) -> None:
    told = {**told, "checkpoints.every": 5, "checkpoints.keep": "all"}
    whole = trained(tmp_path, overrides=told)
    losses, final = whole.evidence.losses, whole.evidence.final_weights

    resumed = trained(tmp_path, overrides=told, resume_from=whole.path / "training" / "checkpoint-15")

    assert resumed.evidence.losses == losses[15:]
    assert resumed.evidence.final_weights == final


def sentences() -> list[dict[str, Any]]:
    """16 examples: the label is whether the first token is odd."""
    return [{"input_ids": torch.tensor([3 + n, 7, 9]), "labels": n % 2} for n in range(16)]


def small_trainer(folder: Path, seen: Optimizers, **told: Any) -> PipelineTrainer:
    args = TrainingArguments(
        str(folder),
        max_steps=2,
        learning_rate=PEAK,
        weight_decay=0.01,
        per_device_train_batch_size=8,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    told |= {"train_dataset": sentences(), "eval_dataset": sentences()}
    return PipelineTrainer(args=args, callbacks=[seen], layerwise_decay=LayerwiseDecay(factor=0.5), **told)


def expected_rates(peak: float) -> list[float]:
    """Of the groups of a model of three layers: two a part, from the head down."""
    return [peak * 0.5**depth for depth in range(5) for _ in range(2)]


def initial_rates(groups: list[dict[str, Any]]) -> list[float]:
    return [group["initial_lr"] for group in groups]


@pytest.mark.parametrize(
    "model", [lambda: {"model": made()}, lambda: {"model_init": made}], ids=["the same model", "a new model"]
)
def test_the_second_training_of_a_trainer_has_the_groups_of_the_first(
    tmp_path: Path, model: Callable[[], dict[str, Any]]
) -> None:
    """A plain Trainer that is given groups trains a new model at one rate, and says nothing."""
    seen = Optimizers()
    trainer = small_trainer(tmp_path, seen, **model())

    trainer.train()
    trainer.train()

    assert [initial_rates(groups) for groups in seen.groups] == [pytest.approx(expected_rates(PEAK))] * 2
    assert seen.names == [set(dict(trainer.model.named_parameters()))] * 2


def made() -> PreTrainedModel:
    return ARCHITECTURES["bert"].classifier()


@pytest.fixture
def quiet_optuna() -> Iterator[None]:
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


@pytest.mark.usefixtures("quiet_optuna")
def test_each_trial_of_a_search_has_the_groups_at_its_own_rate(tmp_path: Path) -> None:
    seen = Optimizers()
    trainer = small_trainer(tmp_path, seen, model_init=made)

    trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 0.001, 0.01)},
        backend="optuna",
        n_trials=2,
    )

    assert seen.peaks[0] != seen.peaks[1]
    assert [initial_rates(groups) for groups in seen.groups] == [
        pytest.approx(expected_rates(peak)) for peak in seen.peaks
    ]
    assert seen.names == [set(dict(made().named_parameters()))] * 2


def test_epsilon_and_decay_are_those_of_the_config(tmp_path: Path) -> None:
    for bias_correction in (True, False):
        seen = Optimizers()
        told = {"training.epsilon": 1e-5, "training.weight_decay": 0.2, "training.bias_correction": bias_correction}
        trained(tmp_path, overrides={**ONE_UPDATE, **told}, callbacks=[seen])

        assert {group["eps"] for group in seen.groups[0]} == {1e-5}
        assert [group["weight_decay"] for group in seen.groups[0]] == [0.2, 0.0]


def test_bert_adam_is_what_one_computes_by_hand() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = BertAdam([weight], lr=0.1, betas=(0.9, 0.99), eps=0.5, weight_decay=0.3)
    by_hand, mean, square = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]

    for gradient in ([4.0, -1.0], [-2.0, 0.5], [0.25, 3.0]):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        for i, g in enumerate(gradient):
            mean[i] = 0.9 * mean[i] + 0.1 * g
            square[i] = 0.99 * square[i] + 0.01 * g * g
            by_hand[i] -= 0.1 * (mean[i] / (math.sqrt(square[i]) + 0.5) + 0.3 * by_hand[i])

    assert weight.tolist() == pytest.approx(by_hand, rel=1e-14)


def test_bert_adam_is_adamw_once_its_correction_has_vanished() -> None:
    told: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.1}
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 50, dtype=torch.float64)) for _ in range(2))
    bert_adam, adamw = BertAdam([ours], **told), torch.optim.AdamW([theirs], **told)
    # after a hundred thousand steps 1 - beta^t is 1 in double precision
    state = {"step": torch.tensor(1e5), "exp_avg": torch.zeros_like(theirs), "exp_avg_sq": torch.zeros_like(theirs)}
    adamw.state[theirs].update(state)

    for step in range(20):
        for weight in (ours, theirs):
            weight.grad = torch.sin(torch.arange(50, dtype=torch.float64) + step)
        bert_adam.step()
        adamw.step()

    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)


def test_bert_adam_passes_over_a_parameter_without_a_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = BertAdam([weight], lr=0.1, weight_decay=0.1)

    optimizer.step()

    assert torch.equal(weight, torch.ones(2))
