"""Frozen weights do not move, and features computed once train the same head as those computed in every step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_kit import Trained, trained, write_learnable_data
from study_kit import TINY
from tiny_models_kit import tiny_model, tiny_tokenizer
from torch.nn.modules.module import register_module_forward_hook
from transformers import AutoModel, BertModel, DataCollatorWithPadding, TrainerCallback, TrainingArguments

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import Head, PretrainedModel
from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.encoding import Encoded, encode_texts
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.model import load_classifier, load_model
from trackbridge.finetune.techniques.features import FeatureExtractor
from trackbridge.finetune.techniques.freezing import freeze
from trackbridge.store.removal import leftovers
from trackbridge.store.store import open_store


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The learnable task with a BERT from a folder, whose weights no seed of a training changes."""
    folder = tmp_path_factory.mktemp("data")
    return {**write_learnable_data(folder), "model": tiny_model(folder, "bert"), "freezing": {"trained_layers": 0}}


def frozen(folder: Path, architecture: str, head: Head | None, trained_layers: int) -> Any:
    block = PretrainedModel.model_validate(tiny_model(folder, architecture))
    model, _ = load_model(block, head=head, corpus=None, labels=Labels(("0", "1")), init_seed=1)  # type: ignore[arg-type]  # only the built-in model reads a corpus
    freeze(model, trained_layers)
    return model


@pytest.mark.parametrize(
    ("architecture", "trained_layers", "learning"),
    [
        ("bert", 0, {"bert.pooler", "classifier"}),
        ("bert", 1, {"bert.encoder.layer.1", "bert.pooler", "classifier"}),
        ("bert", 2, {"bert.encoder.layer.0", "bert.encoder.layer.1", "bert.pooler", "classifier"}),
        ("roberta", 1, {"roberta.encoder.layer.1", "classifier"}),
        ("deberta", 1, {"deberta.encoder.layer.1", "pooler", "classifier"}),
        ("gpt2", 1, {"transformer.h.1", "transformer.ln_f", "score"}),
        ("llama", 1, {"model.layers.1", "model.norm", "score"}),
        ("bart", 1, {"model.decoder.layers.1", "classification_head"}),
        ("t5", 1, {"transformer.decoder.block.1", "transformer.decoder.final_layer_norm", "classification_head"}),
    ],
)
def test_the_head_and_the_top_layers_learn_and_nothing_below_them(
    architecture: str, trained_layers: int, learning: set[str], tmp_path: Path
) -> None:
    model = frozen(tmp_path, architecture, None, trained_layers)

    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == name.startswith(tuple(learning)), name


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "t5", "bart"])
def test_below_a_head_of_ours_with_no_layer_to_learn_nothing_learns(architecture: str, tmp_path: Path) -> None:
    model = frozen(tmp_path, architecture, Head(), 0)

    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    assert learning == {"classifier.weight", "classifier.bias"}


def test_more_layers_than_there_are_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=r"^freezing\.trained_layers: 3 are more layers than the model's 2"):
        frozen(tmp_path, "bert", None, 3)


@pytest.mark.parametrize(("trained_layers", "is_deterministic"), [(0, True), (1, False)])
def test_a_wholly_frozen_encoder_has_no_dropout_while_training(
    trained_layers: int, is_deterministic: bool, tmp_path: Path
) -> None:
    model = frozen(tmp_path, "bert", Head(), trained_layers)
    tokens = tiny_tokenizer("bert")(["a cat", "the dog"], return_tensors="pt")
    model.train()

    once, again = (model.features(**tokens) for _ in range(2))

    assert torch.equal(once, again) is is_deterministic
    assert model.dropout.training


class Optimized(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The names of the parameters the optimizer has, and so decays."""

    names: set[str]

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any) -> None:
        optimized = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self.names = {name for name, parameter in model.named_parameters() if id(parameter) in optimized}


@pytest.mark.parametrize(
    ("told", "learning"),
    [
        ({"freezing.trained_layers": 1, "training.weight_decay": 0.5}, ("bert.encoder.layer.1.", "bert.pooler.", "cl")),
        ({"training.weight_decay": 0.5}, ("bert.pooler.", "classifier.")),
        ({"head": {}, "training.weight_decay": 0.5}, ("classifier.",)),
    ],
    ids=["one layer learns", "own head", "features"],
)
def test_frozen_weights_are_bitwise_the_pretrained_ones_after_training(
    told: dict[str, Any], learning: tuple[str, ...], learnable: dict[str, Any], tmp_path: Path
) -> None:
    optimized = Optimized()
    told = {**told, "training.max_steps": 6, "training.epochs": None}

    run = trained(tmp_path, base=learnable, overrides=told, callbacks=[optimized])

    assert run.result.weights is not None
    kept = load_classifier(run.result.weights)
    pretrained = AutoModel.from_pretrained(learnable["model"]["path"]).state_dict()
    changed = {
        name for name, weights in kept.base_model.state_dict().items() if not torch.equal(weights, pretrained[name])
    }
    below = {name.removeprefix("bert.") for name in learning}
    assert {name for name in changed if not name.startswith(tuple(below))} == set()
    assert all(name.startswith(learning) for name in optimized.names)
    assert all(any(name.startswith(part) for name in changed) for part in below if not part.startswith("cl"))


@contextmanager
def encoder_calls() -> Iterator[list[int]]:
    """The sizes of the batches that a BERT encoder really computes, whoever makes it."""
    calls: list[int] = []

    def see(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, BertModel):
            calls.append(len(output.last_hidden_state))

    hook = register_module_forward_hook(see)
    try:
        yield calls
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def extracted(learnable: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A head trained on features, with a checkpoint of every update."""
    told = {"head": {}, "checkpoints.every": 1, "checkpoints.keep": "all"}
    with encoder_calls() as calls:
        run = trained(tmp_path_factory.mktemp("extracted"), base=learnable, overrides=told)
    # 60 dev and 100 training examples, in batches of evaluation.batch_size
    assert calls == [60, 64, 36]
    return run


def test_a_head_learns_on_the_features_of_a_random_encoder(extracted: Trained) -> None:
    losses = extracted.evidence.losses

    assert extracted.result.best["eval/mcc"] > 0.3
    assert sum(losses[-13:]) < 0.9 * sum(losses[:13])


def test_cached_features_train_bitwise_as_features_computed_anew_in_every_step(
    extracted: Trained, learnable: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PipelineConfig, "is_feature_extraction", False)
    with encoder_calls() as calls:
        anew = trained(tmp_path, base=learnable, overrides={"head": {}})

    # once per update and evaluation
    assert len(calls) == 52 + 26
    assert anew.evidence.losses == extracted.evidence.losses
    assert anew.evidence.final_weights == extracted.evidence.final_weights
    assert anew.result.best == extracted.result.best


def test_where_texts_differ_in_length_cached_features_train_the_same_up_to_rounding(
    learnable: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feature's last bits depend on the padding beside it, and the cache pads by length rather than as training."""
    told = {**TINY, "model": learnable["model"], "freezing": {"trained_layers": 0}, "head": {}}
    cached = trained(tmp_path / "cached", base=told)
    monkeypatch.setattr(PipelineConfig, "is_feature_extraction", False)

    anew = trained(tmp_path / "anew", base=told)

    assert cached.evidence.losses == pytest.approx(anew.evidence.losses, rel=0, abs=1e-6)


def test_another_run_of_the_study_computes_no_feature(extracted: Trained, learnable: dict[str, Any]) -> None:
    root = extracted.path.parents[1]
    told = {"head": {}, "seeds": {"init": 7, "data": 8, "dropout": 9}, "training.learning_rate": 0.02}

    with encoder_calls() as calls:
        other = trained(root, base=learnable, overrides=told)

    assert calls == []
    assert other.evidence.losses != extracted.evidence.losses


def test_a_training_on_features_that_is_resumed_is_bitwise_the_uninterrupted_one(
    extracted: Trained, learnable: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "tests" / extracted.path.name
    shutil.copytree(extracted.path, copy)

    resumed = trained(tmp_path, base=learnable, overrides={"head": {}}, resume_from=copy / "training" / "checkpoint-20")

    assert resumed.evidence.losses == extracted.evidence.losses[20:]
    assert resumed.evidence.final_weights == extracted.evidence.final_weights


def test_the_cache_is_no_run_and_can_be_cleaned_away(extracted: Trained) -> None:
    store = open_store(extracted.path.parents[1])

    assert {Path(run.path).parent.name for run in store.runs()} == {"tests"}
    assert [one.what for one in leftovers(store) if one.path.name == ".features"] == [
        "features of frozen encoders, computed anew when needed"
    ]


TEXTS = ["the cat sees a dog", "a bird", "the man hears a very good person"]


def examples_of(texts: list[str], *, max_length: int = 20) -> Encoded:
    encoded = encode_texts(texts, None, tiny_tokenizer("bert"), max_length=max_length)
    return [{**tokens, "labels": 0} for tokens in encoded]


Extract = Callable[..., list[torch.Tensor]]


def extractor(folder: Path, *, head: Head | None = None, bf16: bool = False, nudge: float = 0) -> FeatureExtractor:
    """One that has a frozen tiny BERT, and its cache below the folder."""
    model = frozen(folder, "bert", head or Head(), 0)
    with torch.no_grad():
        model.backbone.encoder.layer[0].output.dense.weight[3, 3] += nudge
    arguments = TrainingArguments(output_dir=str(folder / "out"), use_cpu=True, bf16=bf16)
    return FeatureExtractor(model, DataCollatorWithPadding(tiny_tokenizer("bert")), arguments, root=folder)


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Features of texts; the cache is below `tmp_path`."""

    def features_of(texts: list[str] = TEXTS, *, max_length: int = 20, **told: Any) -> list[torch.Tensor]:
        examples = examples_of(texts, max_length=max_length)
        return [example["features"] for example in extractor(tmp_path, **told).extract(examples)]

    return features_of


@pytest.mark.parametrize(
    "change",
    [
        {"texts": [*TEXTS[:2], "the man hears a very bad person"]},
        {"head": Head(layer=1)},
        {"head": Head(pooling="max")},
        {"max_length": 5},
        {"bf16": True},
        {"nudge": 1e-6},
    ],
    ids=["a text", "the layer", "the pooling", "the length", "the precision", "one weight"],
)
def test_what_changes_a_feature_misses_the_cache(change: dict[str, Any], extract: Extract) -> None:
    extract()

    with encoder_calls() as calls:
        changed = extract(**change)

    assert calls == [3]
    with encoder_calls() as calls:
        again = extract(**change)
    assert calls == []
    assert all(torch.equal(one, other) for one, other in zip(changed, again, strict=True))


def test_features_do_not_depend_on_how_long_their_neighbours_are(extract: Extract) -> None:
    together, alone = extract(TEXTS), [extract([text])[0] for text in TEXTS]

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_damaged_file_is_computed_anew_and_replaced(
    extract: Extract, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = extract()
    (file,) = (tmp_path / ".features").iterdir()
    intact = file.read_bytes()
    file.write_bytes(intact[: len(intact) // 2])

    anew = extract()

    assert all(torch.equal(one, other) for one, other in zip(whole, anew, strict=True))
    assert file.read_bytes() == intact
    assert "not readable, its features are computed anew" in caplog.text


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    extract: Extract, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".features").write_text("in the way", encoding="utf-8")

    assert len(extract()) == 3
    assert "other runs must compute the same features again" in caplog.text


def test_two_that_compute_the_same_features_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    # made one after the other: transformers patches torch while it loads a model, and in two threads does so for good
    extractors = [extractor(tmp_path) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda each: each.extract(examples_of(TEXTS)), extractors)

    assert all(torch.equal(mine["features"], theirs["features"]) for mine, theirs in zip(one, other, strict=True))
    assert [file.suffix for file in (tmp_path / ".features").iterdir()] == [".safetensors"]
