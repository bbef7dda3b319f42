"""The parts of a model, bottom to top, are found in every architecture, each parameter in exactly one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest
import torch
from classifiers_kit import ARCHITECTURES
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import BertForPreTraining, BertModel, PreTrainedModel, ViTConfig, ViTForImageClassification

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import Head
from trackbridge.finetune.techniques.layers import Layers, base_of, layers_of
from trackbridge.finetune.techniques.pooling import PooledClassifier, config_with_head


def begin_with(names: Iterable[str], prefixes: Collection[str]) -> bool:
    """Whether each name begins with one of the prefixes and each prefix begins a name."""
    begun = {prefix for name in names for prefix in prefixes if name.startswith(prefix)}
    return begun == set(prefixes) and all(name.startswith(tuple(prefixes)) for name in names)


def all_names(parts: Layers) -> list[str]:
    return [name for part in (parts.embeddings, *parts.layers, parts.top, parts.head) for name in part]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parts_are_told_apart_in_every_architecture(name: str) -> None:
    expected, model = ARCHITECTURES[name], ARCHITECTURES[name].classifier()

    parts = layers_of(model)

    assert begin_with(parts.embeddings, expected.embeddings)
    assert len(parts.layers) == len(expected.layers)
    for layer, prefixes in zip(parts.layers, expected.layers, strict=True):
        assert begin_with(layer, prefixes)
    assert begin_with(parts.top, expected.top)
    assert begin_with(parts.head, expected.head)
    assert parts.n_encoder == expected.n_encoder
    assert sorted(all_names(parts)) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("name", ["bert", "bart"])
def test_looking_changes_neither_the_model_nor_the_random_state(name: str) -> None:
    model = ARCHITECTURES[name].classifier().train()
    base_of(model).get_input_embeddings().eval()
    modes = [module.training for module in model.modules()]
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.get_rng_state()

    layers_of(model)

    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_tied_weights_are_embeddings_and_only_once() -> None:
    model = BertForPreTraining(ARCHITECTURES["bert"].config())
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight

    parts = layers_of(model)

    assert "bert.embeddings.word_embeddings.weight" in parts.embeddings
    assert begin_with(parts.head, ["cls."])
    assert len(all_names(parts)) == len(list(model.parameters()))


def test_a_model_without_a_head_has_an_empty_one() -> None:
    parts = layers_of(BertModel(ARCHITECTURES["bert"].config()))

    assert parts.head == {}
    assert begin_with(parts.top, ["pooler."])


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "bart"])
def test_a_head_of_ours_is_the_head_of_whatever_it_stands_on(name: str) -> None:
    parts = layers_of(PooledClassifier(config_with_head(ARCHITECTURES[name].config(), Head())))

    assert begin_with(parts.head, ["classifier."])
    assert len(parts.layers) == 3
    assert parts.n_encoder == 0
    assert begin_with(all_names(parts), ["backbone.", "classifier."])


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_adapters_belong_to_the_layers_they_are_in(name: str) -> None:
    plain = layers_of(ARCHITECTURES[name].classifier())
    adapted = get_peft_model(
        ARCHITECTURES[name].classifier(), LoraConfig(task_type="SEQ_CLS", fan_in_fan_out=name == "gpt2")
    )

    parts = layers_of(adapted)

    assert len(parts.embeddings) == len(plain.embeddings)
    assert len(parts.top) == len(plain.top)
    for number, layer in enumerate(parts.layers):
        adapters = [name for name in layer if "lora_" in name]
        assert adapters
        assert all(f".{number}." in name for name in adapters)
    assert sorted(all_names(parts)) == sorted(name for name, _ in adapted.named_parameters())
    assert any("modules_to_save" in name for name in parts.head)


class Bag(PreTrainedModel):  # type: ignore[misc]  # transformers ships no types
    """A bag of words: no layers at all."""

    def __init__(self) -> None:
        super().__init__(ARCHITECTURES["bert"].config())
        self.words = nn.EmbeddingBag(20, 8)
        self.classifier = nn.Linear(8, 2)


def test_a_model_without_layers_is_refused_by_what_it_has() -> None:
    with pytest.raises(PipelineConfigError, match=r"Bag has no list.*words \(EmbeddingBag\), classifier \(Linear\)"):
        layers_of(Bag())


def test_a_model_that_does_not_read_text_is_refused() -> None:
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    sees = ViTForImageClassification(ViTConfig(image_size=32, **size))

    with pytest.raises(PipelineConfigError, match="ViTModel does not run on token ids alone"):
        layers_of(sees)
