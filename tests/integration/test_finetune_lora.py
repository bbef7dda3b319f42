"""LoRA: adapters and the head learn, the weights they stand beside do not, and what is kept has them merged in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_kit import Trained, events_of, trained, write_learnable_data
from tiny_models_kit import tiny_model
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from trackbridge.errors import MissingDependencyError, PipelineConfigError
from trackbridge.finetune.blocks.data import LocalData
from trackbridge.finetune.blocks.model import Head, PretrainedModel
from trackbridge.finetune.blocks.techniques import Lora
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.model import load_classifier, load_model
from trackbridge.finetune.techniques.lora import merged, with_lora

# for DistilBERT peft has no default
TARGETS = {"distilbert": ["q_lin", "v_lin"]}
TEXTS = ["a cat", "the dog sees a very good bird", "cat"]
ARCHITECTURES = ["bert", "roberta", "distilbert", "gpt2", "llama", "t5", "bart"]


def classifier(folder: Path, architecture: str, head: Head | None = None) -> tuple[Any, Any]:
    block = PretrainedModel.model_validate(tiny_model(folder, architecture))
    loaded, tokenizer = load_model(block, head=head, corpus=None, labels=Labels(("0", "1")), init_seed=1)  # type: ignore[arg-type]  # only the built-in model reads a corpus
    return loaded.eval(), tokenizer


def learning(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_adapters_change_nothing_at_first_and_merge_into_what_they_have_learned(
    architecture: str, tmp_path: Path
) -> None:
    model, tokenizer = classifier(tmp_path, architecture)
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    before = model(**tokens).logits

    adapted = with_lora(model, Lora(rank=2, targets=TARGETS.get(architecture)), init_seed=1).eval()

    assert torch.equal(adapted(**tokens).logits, before)
    for name, parameter in learning(adapted).items():
        parameter.add_(torch.linspace(-0.5, 0.5, parameter.numel()).view_as(parameter))
        assert "lora_" in name or "modules_to_save" in name
    learned = adapted(**tokens).logits
    assert not torch.allclose(learned, before, atol=0.1)
    merged(adapted).save_pretrained(tmp_path / "kept")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "kept").eval()
    torch.testing.assert_close(loaded(**tokens).logits, learned, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "head", "whole"),
    [
        ("bert", None, {"classifier", "bert.pooler"}),
        ("bert", Head(), {"classifier"}),
        ("roberta", None, {"classifier"}),
        ("distilbert", None, {"pre_classifier", "classifier"}),
        ("gpt2", None, {"score"}),
        ("t5", None, {"classification_head"}),
        ("bart", None, {"classification_head"}),
    ],
)
def test_the_head_with_its_pooler_learns_whole_and_else_adapters_alone(
    architecture: str, head: Head | None, whole: set[str], tmp_path: Path
) -> None:
    lora = Lora(targets=TARGETS.get(architecture))
    adapted = with_lora(classifier(tmp_path, architecture, head)[0], lora, init_seed=1)

    names = {name.removeprefix("base_model.model.") for name in learning(adapted)}

    assert {name.partition(".modules_to_save")[0] for name in names if "lora_" not in name} == whole
    assert any("lora_A" in name for name in names)


def test_the_init_seed_alone_draws_the_adapters(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    drawn = []
    for global_seed, init_seed in ((1, 1), (2, 1), (1, 2)):
        model, _ = classifier(tmp_path, "bert")
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        adapted = with_lora(model, Lora(), init_seed=init_seed)
        assert torch.equal(torch.get_rng_state(), state)
        drawn.append([weights.tolist() for name, weights in learning(adapted).items() if "lora_A" in name])

    assert drawn[0] == drawn[1] != drawn[2]


def test_rank_alpha_and_targets_are_those_that_were_asked_for(tmp_path: Path) -> None:
    lora = Lora(rank=3, alpha=6, dropout=0.25, targets=["key"])

    adapted = with_lora(classifier(tmp_path, "bert")[0], lora, init_seed=1)

    layers = {name: module for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    assert len(layers) == 2
    assert all(name.endswith("attention.self.key") for name in layers)
    assert {(m.lora_A["default"].out_features, m.scaling["default"]) for m in layers.values()} == {(3, 2.0)}
    assert {module.lora_dropout["default"].p for module in layers.values()} == {0.25}


def test_a_target_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    """Peft passes over it where it finds another."""
    with pytest.raises(PipelineConfigError, match=r"no linear layer 'valeu' \(known: dense, key, .*mean 'value'\?"):
        with_lora(classifier(tmp_path, "bert")[0], Lora(targets=["query", "valeu"]), init_seed=1)


def test_where_peft_has_no_default_the_layers_to_choose_from_are_named(tmp_path: Path) -> None:
    told = r"^lora\.targets: peft has no default for 'distilbert': name some .* \(known: k_lin, lin1, lin2, out_lin,"
    with pytest.raises(PipelineConfigError, match=told):
        with_lora(classifier(tmp_path, "distilbert")[0], Lora(), init_seed=1)


def test_without_peft_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MissingDependencyError, match=r"lora needs the peft package: pip install 'trackbridge\[lora\]'"):
        with_lora(classifier(tmp_path, "bert")[0], Lora(), init_seed=1)


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The learnable task with adapters in an encoder that knows it: beside random weights they find little."""
    folder = tmp_path_factory.mktemp("data")
    told = {**write_learnable_data(folder), "model": tiny_model(folder, "bert")}
    weights = trained(folder / "runs", base=told).result.weights
    assert weights is not None
    encoder = AutoModelForSequenceClassification.from_pretrained(weights).bert
    encoder.save_pretrained(told["model"]["path"])
    return {**told, "lora": {"rank": 4, "dropout": 0.1}}


class LastModel(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The model at the end of a training."""

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: Any, **others: Any) -> None:
        self.model = model


@pytest.fixture(scope="module")
def adapted(learnable: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Any]:
    last = LastModel()
    run = trained(
        tmp_path_factory.mktemp("adapted"),
        base=learnable,
        overrides={"checkpoints.every": 20, "checkpoints.keep": "all"},
        callbacks=[last],
    )
    return run, last.model


def test_the_task_is_learned_and_the_adapters_are_recorded(adapted: tuple[Trained, Any]) -> None:
    run, _ = adapted
    scopes = {event["scope"]: event["config"] for event in events_of(run.path, "config_logged")}

    assert run.result.best["eval/mcc"] > 0.5
    assert scopes["peft"]["default"]["r"] == 4
    assert scopes["model"]["model_type"] == "bert"


def test_the_weights_beside_the_adapters_are_bitwise_the_pretrained_ones(
    adapted: tuple[Trained, Any], learnable: dict[str, Any]
) -> None:
    pretrained = AutoModel.from_pretrained(learnable["model"]["path"]).state_dict()
    after = {
        name.removeprefix("base_model.model.bert.").replace(".base_layer", "").replace(".original_module", ""): weights
        for name, weights in adapted[1].state_dict().items()
    }

    assert set(pretrained) <= set(after)
    assert [name for name, weights in pretrained.items() if not torch.equal(weights, after[name])] == []


def test_the_kept_weights_have_the_adapters_in_them_and_score_what_was_recorded(
    adapted: tuple[Trained, Any], learnable: dict[str, Any]
) -> None:
    result = adapted[0].result
    assert result.weights is not None
    assert not list(result.weights.glob("adapter_*"))
    model = AutoModelForSequenceClassification.from_pretrained(result.weights).eval()
    dev = load_corpus(LocalData.model_validate(learnable["data"])).evals["dev"]
    encoded = AutoTokenizer.from_pretrained(result.weights)(dev.texts, padding=True, return_tensors="pt")

    scores = scores_of(model(**encoded).logits.detach().numpy(), np.array(dev.labels, dtype=int))

    assert {f"eval/{name}": score for name, score in scores.items()} == {
        name: score for name, score in result.best.items() if name != "eval/loss"
    }


def test_a_training_of_adapters_that_is_resumed_is_bitwise_the_uninterrupted_one(
    adapted: tuple[Trained, Any], learnable: dict[str, Any], tmp_path: Path
) -> None:
    whole, _ = adapted
    copy = tmp_path / "tests" / whole.path.name
    shutil.copytree(whole.path, copy)
    checkpoint = copy / "training" / "checkpoint-20"
    assert not (checkpoint / "model.safetensors").exists()

    resumed = trained(tmp_path, base=learnable, resume_from=checkpoint)

    assert resumed.evidence.losses == whole.evidence.losses[20:]
    assert resumed.evidence.final_weights == whole.evidence.final_weights
    assert resumed.result.best == whole.result.best


def test_adapters_below_a_head_of_ours_are_kept_merged_as_well(learnable: dict[str, Any], tmp_path: Path) -> None:
    told = {"head": {"pooling": "mean"}, "training.max_steps": 4, "training.epochs": None}

    run = trained(tmp_path, base=learnable, overrides=told)

    assert run.result.weights is not None
    names = set(load_classifier(run.result.weights).state_dict())
    assert names == set(classifier(tmp_path, "bert", Head())[0].state_dict())


class Rates(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The learning rate of each parameter at its height, by name."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any) -> None:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for group in optimizer.param_groups:
            self.of.update({names[id(parameter)]: group["initial_lr"] for parameter in group["params"]})


def test_adapters_take_the_learning_rate_of_the_layer_they_are_in(learnable: dict[str, Any], tmp_path: Path) -> None:
    rates = Rates()
    told = {"layerwise_decay": {"factor": 0.5}, "training.max_steps": 2, "training.epochs": None}

    trained(tmp_path, base=learnable, overrides=told, callbacks=[rates])

    full = learnable["training"]["learning_rate"]
    for name, rate in rates.of.items():
        below_the_head = 1 if ".layer.1." in name else 2 if ".layer.0." in name else 0
        assert rate == pytest.approx(full * 0.5**below_the_head), name
    assert sum("lora_" in name for name in rates.of) == 8
