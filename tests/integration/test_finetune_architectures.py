"""Encoders, decoders and encoder-decoders go through one pipeline: they pad rightly, learn, resume and load again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_kit import Trained, trained, write_learnable_data
from tiny_models_kit import tiny_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.data import LocalData
from trackbridge.finetune.blocks.model import Head, PretrainedModel
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.model import load_model

ARCHITECTURES = ["bert", "gpt2", "llama", "t5", "bart", "xlnet"]
TEXTS = ["a cat", "the dog sees a very good bird", "cat", "the man hears a person"]


def classifier(model: dict[str, Any], head: Head | None = None) -> tuple[Any, Any]:
    block = PretrainedModel.model_validate(model)
    loaded, tokenizer = load_model(block, head=head, corpus=None, labels=Labels(("0", "1")), init_seed=1)  # type: ignore[arg-type]  # only the built-in model reads a corpus
    return loaded.eval(), tokenizer


@pytest.mark.parametrize("head", [None, Head(pooling="last")], ids=["own head", "head of ours"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_a_batch_of_mixed_lengths_has_the_logits_of_each_text_alone(
    architecture: str, head: Head | None, tmp_path: Path
) -> None:
    model, tokenizer = classifier(tiny_model(tmp_path, architecture), head)
    batch = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits

    alone = torch.cat([model(**tokenizer([text], return_tensors="pt")).logits for text in TEXTS])

    torch.testing.assert_close(batch, alone, rtol=0, atol=1e-5)
    assert batch.std(dim=0).min() > 1e-2


@pytest.mark.parametrize("head", [None, Head(pooling="last"), Head()], ids=["own head", "last", "mean"])
@torch.no_grad()
def test_where_positions_are_relative_padding_on_either_side_gives_the_same_logits(
    head: Head | None, tmp_path: Path
) -> None:
    model, tokenizer = classifier(tiny_model(tmp_path, "llama"), head)
    right = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits

    left = model(**tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")).logits

    torch.testing.assert_close(left, right, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_tokenizer_that_pads_on_the_left_pads_on_the_right_here(tmp_path: Path) -> None:
    """GPT-2 counts positions from the left, padding included: there padding on the left changes every logit."""
    block = tiny_model(tmp_path, "gpt2")
    assert AutoTokenizer.from_pretrained(block["path"]).padding_side == "left"
    model, tokenizer = classifier(block)
    right = tokenizer(TEXTS, padding=True, return_tensors="pt")

    left = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")

    assert right["attention_mask"][:, 0].all()
    assert not torch.allclose(model(**left).logits, model(**right).logits, atol=1e-3)


def test_a_decoder_without_a_padding_token_pads_with_its_end_of_text(tmp_path: Path) -> None:
    model, tokenizer = classifier(tiny_model(tmp_path, "gpt2"))

    assert tokenizer.pad_token == "</s>"
    assert model.config.pad_token_id == tokenizer.pad_token_id == tokenizer.eos_token_id


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tmp_path: Path) -> None:
    block = tiny_model(tmp_path, "gpt2")
    _change(Path(block["path"]) / "tokenizer_config.json", eos_token=None)

    with pytest.raises(PipelineConfigError, match="neither a pad_token nor an eos_token to pad with: add one to its"):
        classifier(block)


def test_an_encoder_decoder_whose_texts_do_not_end_in_its_end_token_is_refused(tmp_path: Path) -> None:
    block = tiny_model(tmp_path, "bart")
    _change(Path(block["path"]) / "tokenizer.json", post_processor=None)

    with pytest.raises(PipelineConfigError, match=r"does not end a text with the model's eos token \(3\), which the"):
        classifier(block)


def _change(file: Path, **keys: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, **keys}), encoding="utf-8")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_that_were_published_in_half_precision_train_in_float32(dtype: str, tmp_path: Path) -> None:
    block = tiny_model(tmp_path, "t5", dtype=dtype)
    assert json.loads((Path(block["path"]) / "config.json").read_text(encoding="utf-8"))["dtype"] == dtype

    model, _ = classifier(block)

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_learnable_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5", "bart"])
def learned(request: pytest.FixtureRequest, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    told = {"model": tiny_model(folder, request.param), "checkpoints.every": 20, "checkpoints.keep": "all"}
    return trained(folder, base=data, overrides=told)


def test_every_architecture_learns_the_task(learned: Trained) -> None:
    assert learned.result.best["eval/mcc"] > 0.5


def test_the_kept_weights_of_every_architecture_score_what_was_recorded(learned: Trained, data: dict[str, Any]) -> None:
    weights = learned.result.weights
    assert weights is not None
    model = AutoModelForSequenceClassification.from_pretrained(weights).eval()
    dev = load_corpus(LocalData.model_validate(data["data"])).evals["dev"]
    encoded = AutoTokenizer.from_pretrained(weights)(dev.texts, padding=True, return_tensors="pt")

    scores = scores_of(model(**encoded).logits.detach().numpy(), np.array(dev.labels, dtype=int))

    assert {f"eval/{name}": score for name, score in scores.items()} == {
        name: score for name, score in learned.result.best.items() if name != "eval/loss"
    }


def test_every_architecture_resumes_bitwise(learned: Trained, data: dict[str, Any], tmp_path: Path) -> None:
    copy = tmp_path / "tests" / learned.path.name
    shutil.copytree(learned.path, copy)
    model = {"path": str(next(learned.path.parents[1].glob("*/config.json")).parent), "max_length": 20}

    resumed = trained(tmp_path, base=data, overrides={"model": model}, resume_from=copy / "training" / "checkpoint-40")

    assert resumed.evidence.losses == learned.evidence.losses[40:]
    assert resumed.evidence.final_weights == learned.evidence.final_weights


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_text_pairs_train_an_encoder_decoder_with_its_own_head(architecture: str, tmp_path: Path) -> None:
    """Its head wants as many end tokens in every text of a batch: here there are two."""
    rows = ["premise\thypothesis\tlabel", *(f"a man\t{'very ' * (i % 3)}good\t{i % 2}" for i in range(24))]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows), encoding="utf-8")
    pairs = {"folder": str(tmp_path), "train": "train.tsv", "eval": {"dev": "dev.tsv"}}

    run = trained(
        tmp_path,
        overrides={
            "model": tiny_model(tmp_path, architecture),
            "data": {**pairs, "text": "premise", "text_pair": "hypothesis"},
            "training.epochs": 1,
        },
    )

    assert len(run.evidence.losses) == 3
