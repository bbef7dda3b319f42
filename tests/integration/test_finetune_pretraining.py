"""Further pre-training: what is masked and paired, exact seeds and resumes, and the right loss for every objective."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_kit import Evidence, Witness, digest_of
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import PretrainingConfig
from trackbridge.finetune.model import word_tokenizer
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.pretrain import pretrain
from trackbridge.finetune.text import load_texts
from trackbridge.run.lifecycle import start_run
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

OBJECTIVES = ("mlm", "clm", "nsp", "mlm+nsp")

# 120 sentences in 38 documents: 26 blocks in batches of 4 are 7 updates an epoch, the last batch short
TINY: dict[str, Any] = {
    "project": "tests",
    "model": {"builtin": "tiny-bert", "hidden_size": 16, "heads": 2, "max_length": 32},
    "pretraining": {
        "objective": "mlm",
        "text": {"builtin": "acceptability", "sentences": 120},
        "training": {
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 0.005,
            "log_every": 1,
            "bf16": False,
            "device": "cpu",
        },
        "evaluate_every": 5,
    },
    "seeds": {"init": 1, "data": 2, "dropout": 3},
}

ONE_UPDATE: dict[str, Any] = {"pretraining.training.epochs": None, "pretraining.training.max_steps": 1}


class PretrainingWitness(Witness):
    """Sees the labels of each batch as well: masked tokens, or who follows whom."""

    def __init__(self) -> None:
        super().__init__()
        self.masked: list[str] = []

    def _see(self, model: torch.nn.Module, args: Any, inputs: dict[str, torch.Tensor], output: Any) -> None:
        super()._see(model, args, inputs, output)
        if model.training:
            self.masked.append(str(inputs["labels"].tolist()))


class Pretrained:
    """A pre-training that was run: its evidence, its run and the folder of the weights it kept."""

    def __init__(self, evidence: Evidence, masked: list[str], record: RunRecord) -> None:
        self.evidence = evidence
        self.masked = masked
        self.record = record
        (self.weights,) = Path(record.path, "files", "checkpoints").iterdir()


def pretrained(
    root: Path,
    overrides: dict[str, Any] | None = None,
    *,
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Pretrained:
    """Really pre-train the tiny config, changed by dotted overrides, as a run below `root`."""
    config = PretrainingConfig.model_validate(with_overrides(TINY, overrides or {}))
    witness = PretrainingWitness()
    with start_run(config.project, root=root, resume_from=resume_from) as run:
        texts = load_texts(config.pretraining.text)
        pretrain(config, texts, run, resume_from=resume_from, callbacks=[witness, *callbacks])
    return Pretrained(witness.evidence, witness.masked, open_store(root).run(run.run_id))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return pretrained(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_and_is_scored_on_held_out_documents(tmp_path: Path, objective: str) -> None:
    record = pretrained(
        tmp_path, {"pretraining.objective": objective, "pretraining.training.epochs": 3, "pretraining.held_out": 0.2}
    ).record

    expected = {"eval/loss", *(["eval/perplexity"] if objective != "nsp" else [])}
    expected |= {"eval/nsp_accuracy"} if "nsp" in objective else set()
    assert expected == {name for name in record.metrics if name.endswith(("eval/loss", "perplexity", "accuracy"))}
    losses = record.series("eval/loss").values
    assert losses[-1] < losses[0]
    assert record.summary["final/eval/loss"] == losses[-1]
    if "nsp" in objective:
        assert 0 <= record.summary["final/eval/nsp_accuracy"] <= 1


def test_next_sentences_are_told_from_others_by_what_a_document_is_about(tmp_path: Path) -> None:
    chance = random.Random(1)
    lines = []
    for document in range(300):
        # one of eight topics, each with two words of its own
        lines += [" ".join(f"w{document % 8}x{chance.randrange(2)}" for _ in range(3)) for _ in range(5)]
        lines.append("")
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    told = {
        "model": {"builtin": "tiny-bert", "hidden_size": 32, "heads": 2, "max_length": 16, "dropout": 0.0},
        "pretraining.objective": "nsp",
        "pretraining.held_out": 0.2,
        "pretraining.text": {"folder": str(tmp_path), "files": ["texts.txt"]},
        "pretraining.evaluate_every": 180,
    }
    length = {"epochs": 6, "batch_size": 16, "learning_rate": 0.003}

    record = pretrained(tmp_path, told | {f"pretraining.training.{key}": value for key, value in length.items()}).record

    # .80 to .90 with other initial weights; a pair of the same topic by chance is what keeps it from 1
    assert record.summary["final/eval/nsp_accuracy"] > 0.7


@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_perplexity_is_the_exponential_of_the_mean_loss_of_a_token(tmp_path: Path, objective: str) -> None:
    told = {"pretraining.objective": objective, "pretraining.training.batch_size": 64, **ONE_UPDATE}

    record = pretrained(tmp_path, told).record

    # in one batch, in which Trainer's loss is that mean, too
    assert record.summary["final/eval/perplexity"] == pytest.approx(math.exp(record.summary["final/eval/loss"]))


def test_the_run_records_its_config_data_seeds_and_last_weights(reference: Pretrained) -> None:
    record = reference.record

    assert record.config["pipeline"]["pretraining"]["objective"] == "mlm"
    text = record.config["data"]["text"]
    assert len(text["sha256"]) == 64
    assert (text["texts"], text["documents"], text["held_out_documents"]) == (120, 36, 2)
    assert (record.seeds.init, record.seeds.data, record.seeds.dropout) == (1, 2, 3)
    steps = len(reference.evidence.losses)
    assert record.summary["best_step"] == steps == record.metrics["train/loss"].last_step
    assert "chosen_by" not in record.summary
    assert digest_of(AutoModelForMaskedLM.from_pretrained(reference.weights)) == reference.evidence.final_weights
    assert AutoTokenizer.from_pretrained(reference.weights).mask_token == "[MASK]"
    assert not Path(record.path, "training").exists()


def test_masks_change_from_epoch_to_epoch(reference: Pretrained) -> None:
    half = len(reference.masked) // 2

    assert len(set(reference.masked)) == 2 * half
    assert len(set(reference.evidence.batches)) == 2 * half


def test_equal_seeds_give_bitwise_equal_masks_losses_and_weights(reference: Pretrained, tmp_path: Path) -> None:
    again = pretrained(tmp_path)

    assert again.evidence == reference.evidence
    assert again.masked == reference.masked


def test_each_seed_decides_its_own_alone(reference: Pretrained, tmp_path: Path) -> None:
    dropout, data, init = (pretrained(tmp_path / name, {f"seeds.{name}": 9}) for name in ("dropout", "data", "init"))

    first = reference.evidence
    assert dropout.masked == reference.masked
    assert dropout.evidence.initial_weights == data.evidence.initial_weights == first.initial_weights
    assert init.masked == reference.masked
    assert init.evidence.initial_weights != first.initial_weights
    assert not set(data.masked) & set(reference.masked)
    assert len({one.evidence.final_weights for one in (reference, dropout, data, init)}) == 4


@pytest.mark.parametrize("every", [1, 1000])
def test_how_often_one_evaluates_changes_no_mask_and_no_weight(
    reference: Pretrained, tmp_path: Path, every: int
) -> None:
    other = pretrained(tmp_path, {"pretraining.evaluate_every": every})

    assert other.masked == reference.masked
    assert other.evidence == reference.evidence


def test_held_out_scores_depend_on_no_seed_but_through_the_weights(reference: Pretrained, tmp_path: Path) -> None:
    """The same weights, as nothing is learned, are scored on the same masks at every evaluation and for every seed."""
    still = {"pretraining.training.learning_rate": 1e-30, "pretraining.training.weight_decay": 0.0}
    one = pretrained(tmp_path / "one", still).record.series("eval/loss").values
    other = pretrained(tmp_path / "other", {**still, "seeds.data": 9, "seeds.dropout": 9}).record

    assert len(one) > 2
    assert len({*one, *other.series("eval/loss").values}) == 1


class KeepAll(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Copies every checkpoint, with the sidecar that says whose it is, before it is rotated away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        name = f"checkpoint-{state.global_step}"
        shutil.copytree(Path(args.output_dir, name), self._folder / name)


def test_a_resume_from_any_checkpoint_ends_with_the_same_masks_losses_and_weights(tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "pretraining.objective": "mlm+nsp",
        "pretraining.text.sentences": 60,
        "checkpoints.every": 1,
    }
    told["pretraining.held_out"] = 0.2
    whole = pretrained(tmp_path / "root", told, callbacks=[KeepAll(tmp_path)])
    steps = len(whole.evidence.losses)
    # the first, one within and one at the end of an epoch, and the last but one
    for step in sorted({1, steps // 2 - 1, steps // 2, steps - 1}):
        resumed = pretrained(tmp_path / "root", told, resume_from=tmp_path / f"checkpoint-{step}")

        assert resumed.masked == whole.masked[step:]
        assert resumed.evidence.losses == whole.evidence.losses[step:]
        assert resumed.evidence.final_weights == whole.evidence.final_weights
        assert resumed.record.run_id == whole.record.run_id


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_accumulated_batches_are_one_large_batch(tmp_path: Path, objective: str) -> None:
    """In a plain Trainer the loss and gradient of two accumulated batches are twice those of one, but for CLM."""
    told = {"pretraining.objective": objective, "model.dropout": 0.0, **ONE_UPDATE}
    large = pretrained(tmp_path / "large", {**told, "pretraining.training.batch_size": 16}).record
    small = {"pretraining.training.batch_size": 8, "pretraining.training.gradient_accumulation": 2}
    accumulated = pretrained(tmp_path / "small", {**told, **small}).record

    for name in ("train/loss", "train/grad_norm"):
        assert accumulated.series(name).values == pytest.approx(large.series(name).values, rel=0.03)


# checkpoints of others


def test_the_heads_of_a_checkpoint_are_used(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(load_texts_of_tiny(), max_length=32)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    source = BertForPreTraining(config)
    source.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")

    initial: dict[str, dict[str, torch.Tensor]] = {}

    class Snapshot(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
        def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, **others: Any) -> None:
            initial[type(model).__name__] = {name: one.clone() for name, one in model.state_dict().items()}

    for objective in OBJECTIVES:
        told = {"model": {"path": str(tmp_path / "model")}, "pretraining.objective": objective}
        pretrained(tmp_path / "root", {**told, **ONE_UPDATE}, callbacks=[Snapshot()])

    assert set(initial) == {
        "BertForMaskedLM",
        "BertLMHeadModel",
        "BertForNextSentencePrediction",
        "BertForPreTraining",
    }
    there = source.state_dict()
    for weights in initial.values():
        assert all(torch.equal(one, there[name]) for name, one in weights.items() if name in there)
        assert any(name.startswith("cls.") and name in there for name in weights)


def load_texts_of_tiny() -> list[str]:
    texts = load_texts(PretrainingConfig.model_validate(TINY).pretraining.text)
    return [text for document in texts.documents for text in document]


def gpt2_in(folder: Path) -> str:
    tokenizer = word_tokenizer(load_texts_of_tiny(), max_length=32)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(folder)
    decoder = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="[SEP]")
    decoder.save_pretrained(folder)
    return str(folder)


def test_a_decoder_learns_to_predict_the_next_token(tmp_path: Path) -> None:
    told = {"model": {"path": gpt2_in(tmp_path / "gpt2"), "max_length": 32}, "pretraining.objective": "clm"}

    done = pretrained(tmp_path / "root", told)

    losses = done.record.series("eval/loss").values
    assert losses[-1] < losses[0]


def test_an_objective_without_a_head_is_refused_with_those_there_are(tmp_path: Path) -> None:
    told = {"model": {"path": gpt2_in(tmp_path / "gpt2")}, "pretraining.objective": "mlm"}

    with pytest.raises(PipelineConfigError, match=r"a gpt2 model has no head for mlm \(it has one for: clm\)"):
        pretrained(tmp_path / "root", told)
