"""Weights are carried from one model into another bit for bit, part by part, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from classifiers_kit import ARCHITECTURES
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertLMHeadModel,
    PreTrainedModel,
    T5Config,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import Head
from trackbridge.finetune.techniques.carrying import carry_weights
from trackbridge.finetune.techniques.layers import layers_of
from trackbridge.finetune.techniques.pooling import PooledClassifier, config_with_head


def other_than(model: PreTrainedModel) -> PreTrainedModel:
    """The model with other weights, all of them."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(3.0)
    return model


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_embeddings_and_so_many_layers_are_the_sources_and_the_rest_is_untouched(
    tmp_path: Path, architecture: str
) -> None:
    source = ARCHITECTURES[architecture].classifier()
    source.save_pretrained(tmp_path)
    there = snapshot(source)
    for layers in (0, 1, None):
        model = other_than(ARCHITECTURES[architecture].classifier())
        before, parts = snapshot(model), layers_of(model)
        carried = carry_weights(model, tmp_path, layers=layers)

        wanted = {*parts.embeddings, *(name for layer in parts.layers[:layers] for name in layer)}
        wanted |= set(parts.top) if layers is None else set()
        told = {name for names in carried.carried.values() for name in names}
        assert told == wanted
        assert {name for names in carried.kept.values() for name in names} == set(before) - wanted
        for name, weights in snapshot(model).items():
            assert torch.equal(weights, (there if name in wanted else before)[name]), name


BERT = BertConfig(
    vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, num_labels=3
)


def decoder_config() -> BertConfig:
    config = BertConfig(**BERT.to_diff_dict())
    config.is_decoder = True
    return config


PRETRAINED = {
    "mlm": lambda: BertForMaskedLM(BERT),
    "clm": lambda: BertLMHeadModel(decoder_config()),
    "nsp": lambda: BertForNextSentencePrediction(BERT),
    "mlm+nsp": lambda: BertForPreTraining(BERT),
}


@pytest.mark.parametrize("objective", PRETRAINED)
def test_an_encoder_comes_out_of_a_model_with_any_pretraining_head(tmp_path: Path, objective: str) -> None:
    source = PRETRAINED[objective]()
    source.save_pretrained(tmp_path)
    model = BertForSequenceClassification(BERT)
    before = snapshot(model)

    carried = carry_weights(model, tmp_path, layers=None)

    has_pooler = "nsp" in objective
    there = snapshot(source.bert)
    for name, weights in snapshot(model).items():
        inner = name.removeprefix("bert.")
        is_own = name.startswith("classifier.") or (name.startswith("bert.pooler.") and not has_pooler)
        assert torch.equal(weights, before[name] if is_own else there[inner]), name
    assert carried.recorded() == {
        "carried": {"embeddings": 5, "layer 1": 16, "layer 2": 16} | ({"top": 2} if has_pooler else {}),
        "own": ({} if has_pooler else {"top": 2}) | {"head": 2},
    }
    assert model.config.is_decoder is False


def test_a_head_of_ours_receives_the_encoder_and_keeps_itself(tmp_path: Path) -> None:
    source = BertForSequenceClassification(BERT)
    source.save_pretrained(tmp_path)
    model = PooledClassifier(config_with_head(BertConfig(**BERT.to_diff_dict()), Head(layer=1)))
    head = model.classifier.weight.detach().clone()

    carried = carry_weights(model, tmp_path, layers=None)

    assert {part: len(names) for part, names in carried.carried.items()} == {"embeddings": 5, "layer 1": 16}
    assert torch.equal(
        model.backbone.encoder.layer[0].output.dense.weight, source.bert.encoder.layer[0].output.dense.weight
    )
    assert torch.equal(model.classifier.weight, head)


def test_a_head_of_ours_on_an_encoder_decoder_receives_its_encoder(tmp_path: Path) -> None:
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, num_labels=3)
    source = AutoModelForSequenceClassification.from_config(config)
    source.save_pretrained(tmp_path)
    model = other_than(PooledClassifier(config_with_head(T5Config(**config.to_diff_dict()), Head())))

    carry_weights(model, tmp_path, layers=None)

    there = source.transformer.encoder.state_dict()
    assert all(torch.equal(weights, there[name]) for name, weights in model.backbone.state_dict().items())


def test_no_random_number_is_drawn(tmp_path: Path) -> None:
    BertForMaskedLM(BERT).save_pretrained(tmp_path)
    model, state = BertForSequenceClassification(BERT), torch.get_rng_state()

    carry_weights(model, tmp_path, layers=None)

    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ({"vocab_size": 30}, r"there is bert with vocab_size 30, hidden_size 16, .* here bert with vocab_size 20, hid"),
        ({"hidden_size": 32}, r"there is bert with vocab_size 20, hidden_size 32, .* here .* hidden_size 16"),
        ({"num_hidden_layers": 1}, r"it has no layer 2 .* num_hidden_layers 1, here .* num_hidden_layers 2"),
    ],
)
def test_a_model_of_another_shape_is_refused_with_both_shapes(
    tmp_path: Path, there: dict[str, int], reason: str
) -> None:
    BertForMaskedLM(BertConfig(**{**BERT.to_diff_dict(), **there})).save_pretrained(tmp_path)

    with pytest.raises(PipelineConfigError, match=reason):
        carry_weights(BertForSequenceClassification(BERT), tmp_path, layers=None)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    ARCHITECTURES["gpt2"].classifier().save_pretrained(tmp_path)

    with pytest.raises(PipelineConfigError, match="it is a gpt2 model; there is gpt2 with vocab_size"):
        carry_weights(BertForSequenceClassification(BERT), tmp_path, layers=0)


def test_more_layers_than_there_are_cannot_be_carried(tmp_path: Path) -> None:
    model = BertForSequenceClassification(BERT)
    model.save_pretrained(tmp_path)

    with pytest.raises(PipelineConfigError, match="carry_layers: 3 is more than the 2 layers of the model"):
        carry_weights(model, tmp_path, layers=3)
