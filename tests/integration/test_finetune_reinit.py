"""Re-initialising draws the top layers anew as the model's own initialiser would, and touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from classifiers_kit import ARCHITECTURES
from finetune_kit import trained
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import Head
from trackbridge.finetune.techniques.layers import layers_of
from trackbridge.finetune.techniques.pooling import PooledClassifier, config_with_head
from trackbridge.finetune.techniques.reinit import reinitialise


def pretrained(folder: Path, architecture: str, **told: float) -> PreTrainedModel:
    """A classifier that was loaded, and in which no weight is what an initialiser draws.

    Loading matters: transformers marks loaded weights, and its own initialising functions then pass them by.
    """
    model = ARCHITECTURES[architecture].classifier(**told)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(3.0)
    model.save_pretrained(folder)
    return AutoModelForSequenceClassification.from_pretrained(folder)


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The parameters of which no number is what it was; each of the others is bitwise what it was."""
    now = snapshot(model)
    different = {name for name in now if not torch.equal(now[name], before[name])}
    assert all((now[name] != before[name]).all() for name in different)
    return different


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exactly_the_top_layer_and_what_stands_on_it_change(tmp_path: Path, architecture: str) -> None:
    model = pretrained(tmp_path, architecture)
    before, state = snapshot(model), torch.get_rng_state()
    parts = layers_of(model)

    names = reinitialise(model, 1, init_seed=1)

    assert changed(model, before) == set(names) == {*parts.layers[-1], *parts.top}
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "t5", "bart"])
def test_below_a_head_of_ours_the_top_layers_are_those_that_are_there(architecture: str) -> None:
    """It pools the output of the second of three layers, so there is no third; of T5 and BART it keeps the encoder."""
    model = PooledClassifier(config_with_head(ARCHITECTURES[architecture].config(), Head(layer=2)))
    before, parts = snapshot(model), layers_of(model)

    names = reinitialise(model, 1, init_seed=1)

    assert len(parts.layers) == 2
    assert set(names) == {*parts.layers[-1], *parts.top}
    different = {name for name, parameter in snapshot(model).items() if not torch.equal(parameter, before[name])}
    assert different
    assert different <= set(names)


def test_with_no_layers_not_even_the_pooler_changes(tmp_path: Path) -> None:
    model = pretrained(tmp_path, "bert")
    before, state = snapshot(model), torch.get_rng_state()

    assert reinitialise(model, 0, init_seed=1) == []

    assert changed(model, before) == set()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_top_layers_of_an_encoder_decoder_are_the_decoders(tmp_path: Path) -> None:
    model = pretrained(tmp_path, "t5")

    names = reinitialise(model, 2, init_seed=1)

    assert all(name.startswith("transformer.decoder.") for name in names)
    assert any(".block.0." in name for name in names)


@pytest.mark.parametrize(
    ("architecture", "layers", "message"),
    [
        ("bert", 4, r"reinit\.layers: 4 is more than the 3 layers of the model \(BertForSequenceClassification\)"),
        ("bart", 3, r"reinit\.layers: 3 is more than the 2 layers of the decoder"),
        ("albert", 2, r"reinit\.layers: 2 is more than the 1 layers"),
    ],
)
def test_more_layers_than_there_are_is_an_error(architecture: str, layers: int, message: str) -> None:
    with pytest.raises(PipelineConfigError, match=message):
        reinitialise(ARCHITECTURES[architecture].classifier(), layers, init_seed=1)


def test_the_seed_decides_the_weights_and_their_number_does_not(tmp_path: Path) -> None:
    def top_layer(layers: int, seed: int) -> torch.Tensor:
        model = pretrained(tmp_path, "bert")
        reinitialise(model, layers, init_seed=seed)
        return snapshot(model)["bert.encoder.layer.2.output.dense.weight"]

    assert torch.equal(top_layer(1, seed=1), top_layer(1, seed=1))
    assert torch.equal(top_layer(1, seed=1), top_layer(3, seed=1))
    assert not torch.equal(top_layer(1, seed=1), top_layer(1, seed=2))


WIDE = {"hidden_size": 128, "intermediate_size": 128}


@pytest.mark.parametrize(
    ("architecture", "told", "weight", "std"),
    [
        ("bert", {**WIDE, "initializer_range": 0.05}, "bert.encoder.layer.2.output.dense.weight", 0.05),
        ("bert", {**WIDE, "initializer_range": 0.05}, "bert.pooler.dense.weight", 0.05),
        # GPT-2 divides by the root of the number of residual additions: 2 a layer
        ("gpt2", {"n_embd": 128}, "transformer.h.2.mlp.c_proj.weight", 0.02 / 6**0.5),
        ("gpt2", {"n_embd": 128}, "transformer.h.2.mlp.c_fc.weight", 0.02),
        # T5's queries make up for attention that is not scaled: 1 / sqrt(d_model d_kv)
        ("t5", {"d_model": 128}, "transformer.decoder.block.1.layer.0.SelfAttention.q.weight", (128 * 8) ** -0.5),
        ("llama", WIDE, "model.layers.2.mlp.up_proj.weight", 0.02),
        ("bart", {"d_model": 128, "init_std": 0.05}, "model.decoder.layers.1.fc1.weight", 0.05),
    ],
)
def test_new_weights_have_the_spread_of_the_models_own_initialiser(
    tmp_path: Path, architecture: str, told: dict[str, float], weight: str, std: float
) -> None:
    model = pretrained(tmp_path, architecture, **told)

    reinitialise(model, 1, init_seed=1)

    # of at least 2,048 numbers, whose sample sd is off by more than 5 % once in a thousand draws
    assert snapshot(model)[weight].std().item() == pytest.approx(std, rel=0.05)
    assert snapshot(model)[weight].mean().item() == pytest.approx(0, abs=std / 10)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "deberta-v2", "bart"])
def test_new_biases_are_zero_and_new_norms_one(tmp_path: Path, architecture: str) -> None:
    model = pretrained(tmp_path, architecture)

    names = reinitialise(model, 1, init_seed=1)

    vectors = {name: parameter for name, parameter in snapshot(model).items() if name in names and parameter.ndim == 1}
    assert {number for parameter in vectors.values() for number in parameter.tolist()} == {0.0, 1.0}


def test_in_a_training_only_the_first_weights_differ_and_zero_layers_are_no_difference(tmp_path: Path) -> None:
    plain = trained(tmp_path, overrides={"training.epochs": 1}).evidence
    none = trained(tmp_path, overrides={"training.epochs": 1, "reinit": {"layers": 0}}).evidence
    one = trained(tmp_path, overrides={"training.epochs": 1, "reinit": {"layers": 1}}).evidence

    assert none == plain
    assert one.initial_weights != plain.initial_weights
    assert one.batches == plain.batches
