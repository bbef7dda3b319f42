"""A head of ours: what it pools, that its kept weights are what was scored, and that the model's own is as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_kit import Trained, trained, write_learnable_data
from tiny_models_kit import tiny_model, tiny_tokenizer
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, Qwen2Config, set_seed

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.data import LocalData
from trackbridge.finetune.blocks.model import Head, PretrainedModel
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.model import load_classifier, load_model
from trackbridge.finetune.techniques.pooling import PooledClassifier, config_with_head, pooled
from trackbridge.run.seeds import derive

TEXTS = ["a cat", "the dog sees a very good bird", "cat"]


def classifier(model: dict[str, Any], head: Head | None, *, init_seed: int = 1) -> tuple[Any, Any]:
    block = PretrainedModel.model_validate(model)
    loaded, tokenizer = load_model(block, head=head, corpus=None, labels=Labels(("0", "1")), init_seed=init_seed)  # type: ignore[arg-type]  # only the built-in model reads a corpus
    return loaded.eval(), tokenizer


ROWS = [[[1.0, 9.0], [3.0, 5.0]], [[4.0, 0.0]]]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [[1.0, 9.0], [4.0, 0.0]]),
        ("last", [[3.0, 5.0], [4.0, 0.0]]),
        ("mean", [[2.0, 7.0], [4.0, 0.0]]),
        ("max", [[3.0, 9.0], [4.0, 0.0]]),
    ],
)
def test_pooling_sees_every_token_and_no_padding_on_either_side(
    side: str, pooling: str, expected: list[list[float]]
) -> None:
    states, mask = [], []
    for row in ROWS:
        padding = [[99.0, -99.0]] * (3 - len(row))
        states.append(row + padding if side == "right" else padding + row)
        mask.append([state not in padding for state in states[-1]])

    assert pooled(torch.tensor(states), torch.tensor(mask), pooling).tolist() == expected


@pytest.mark.parametrize("pooling", ["cls", "last", "mean", "max"])
def test_a_text_without_tokens_has_finite_features(pooling: str) -> None:
    features = pooled(torch.ones(2, 3, 4), torch.tensor([[True, True, False], [False, False, False]]), pooling)

    assert torch.equal(features, torch.ones(2, 4))


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, -3])
def test_the_pooled_layer_is_the_one_that_was_asked_for(layer: int, tmp_path: Path) -> None:
    block = tiny_model(tmp_path, "bert")
    model, tokenizer = classifier(block, Head(pooling="mean", layer=layer))
    whole = AutoModel.from_pretrained(block["path"]).eval()
    tokens = tokenizer(TEXTS[1], return_tensors="pt")

    states = whole(**tokens, output_hidden_states=True).hidden_states

    assert torch.equal(model.features(**tokens), states[layer].mean(dim=1))
    assert len(model.backbone.encoder.layer) == (layer if layer >= 0 else 3 + layer)
    assert model.backbone.pooler is None


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_the_model_does_not_have_is_refused_with_those_it_has(layer: int, tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=rf"^head\.layer: {layer} is no layer .* has 2: give 0 .* to 2, or"):
        classifier(tiny_model(tmp_path, "bert"), Head(layer=layer))


def test_a_model_that_cannot_do_without_layers_says_so_before_it_trains(tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=r"^head\.layer: 0: DebertaV2Model does not run without layers"):
        classifier(tiny_model(tmp_path, "deberta"), Head(layer=0))


def test_models_whose_layers_are_of_several_kinds_are_cut_as_well() -> None:
    config = Qwen2Config(vocab_size=9, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8)

    cut = config_with_head(config, Head(layer=2))

    assert len(AutoModel.from_config(cut).layers) == len(cut.layer_types) == 2


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_of_an_encoder_decoder_the_encoders_states_are_pooled(architecture: str, tmp_path: Path) -> None:
    block = tiny_model(tmp_path, architecture)
    model, tokenizer = classifier(block, Head(pooling="mean"))
    whole = AutoModel.from_pretrained(block["path"]).eval()
    tokens = tokenizer(TEXTS[1], return_tensors="pt")

    assert torch.equal(model.features(**tokens), whole.get_encoder()(**tokens).last_hidden_state.mean(dim=1))
    assert not [name for name, _ in model.named_parameters() if "decoder" in name]


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "t5"])
def test_the_init_seed_draws_the_head_and_touches_nothing_below_it(architecture: str, tmp_path: Path) -> None:
    block = tiny_model(tmp_path, architecture)
    one, same, other = (classifier(block, Head(), init_seed=seed)[0].state_dict() for seed in (1, 1, 2))

    differing = {name for name in one if not torch.equal(one[name], other[name])}

    assert differing == {"classifier.weight"}
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_without_a_head_the_model_is_bitwise_what_transformers_loads_under_the_init_seed(tmp_path: Path) -> None:
    block = tiny_model(tmp_path, "bert")

    model, _ = classifier(block, None, init_seed=5)

    set_seed(derive("init", 5))
    plain = AutoModelForSequenceClassification.from_pretrained(block["path"], num_labels=2)
    assert {name: weights.tolist() for name, weights in model.state_dict().items()} == {
        name: weights.tolist() for name, weights in plain.state_dict().items()
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_learnable_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=["cls", "mean", "max", "last"])
def learned(request: pytest.FixtureRequest, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    overrides = {"head": {"pooling": request.param, "dropout": 0.2}}
    return trained(tmp_path_factory.mktemp(request.param), base=data, overrides=overrides)


def test_every_pooling_learns_and_its_kept_weights_score_what_was_recorded(
    learned: Trained, data: dict[str, Any]
) -> None:
    weights = learned.result.weights
    assert weights is not None
    model = PooledClassifier.from_pretrained(weights).eval()
    dev = load_corpus(LocalData.model_validate(data["data"])).evals["dev"]
    encoded = AutoTokenizer.from_pretrained(weights)(dev.texts, padding=True, return_tensors="pt")

    scores = scores_of(model(**encoded).logits.detach().numpy(), np.array(dev.labels, dtype=int))

    assert learned.result.best["eval/mcc"] > 0.5
    assert {f"eval/{name}": score for name, score in scores.items()} == {
        name: score for name, score in learned.result.best.items() if name != "eval/loss"
    }
    assert (model.pooling, model.dropout.p) == (model.config.pooled_head["pooling"], 0.2)


def test_either_kind_of_head_is_loaded_by_the_same_call(tmp_path: Path) -> None:
    for head in (None, Head()):
        model, tokenizer = classifier(tiny_model(tmp_path, "bert"), head)
        model.save_pretrained(tmp_path / "kept")
        tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")

        loaded = load_classifier(tmp_path / "kept")

        assert type(loaded) is type(model)
        assert torch.equal(loaded(**tokens).logits, model(**tokens).logits)


def test_weights_that_were_kept_with_a_head_of_ours_go_on_with_one_and_are_refused_without(tmp_path: Path) -> None:
    model, tokenizer = classifier(tiny_model(tmp_path, "bert"), Head())
    model.save_pretrained(tmp_path / "kept")
    tokenizer.save_pretrained(tmp_path / "kept")
    kept = {"path": str(tmp_path / "kept")}

    again, _ = classifier(kept, Head())

    assert all(torch.equal(weights, again.state_dict()[name]) for name, weights in model.state_dict().items())
    with pytest.raises(PipelineConfigError, match="was trained with a `head`: give one to go on with"):
        classifier(kept, None)


def test_a_regression_with_a_head_of_ours_learns_the_mean_squared_error(tmp_path: Path) -> None:
    block = PretrainedModel.model_validate(tiny_model(tmp_path, "bert"))
    model, tokenizer = load_model(block, head=Head(), corpus=None, labels=Labels(()), init_seed=1)  # type: ignore[arg-type]  # only the built-in model reads a corpus
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")

    output = model.eval()(**tokens, labels=torch.tensor([1.0, 2.0, 4.0]))

    errors = output.logits.squeeze(-1) - torch.tensor([1.0, 2.0, 4.0])
    assert output.loss.item() == pytest.approx(errors.square().mean().item())


def test_soft_labels_are_learned_as_probabilities(tmp_path: Path) -> None:
    model, _ = classifier(tiny_model(tmp_path, "bert"), Head())
    tokens = tiny_tokenizer("bert")(TEXTS, padding=True, return_tensors="pt")
    hard = model(**tokens, labels=torch.tensor([0, 1, 1])).loss

    soft = model(**tokens, labels=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])).loss

    assert soft.item() == pytest.approx(hard.item())


def test_dropout_is_set_wherever_the_model_has_some(tmp_path: Path) -> None:
    """T5 calls it `dropout_rate`, and has a `classifier_dropout` beside it, which alone used to be found."""
    model, _ = classifier({**tiny_model(tmp_path, "t5"), "dropout": 0.3}, None)

    found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}

    assert found == {0.3}
