"""Trainings small enough for tests, and a witness of everything in them that must repeat exactly."""

from __future__ import annotations

import gc
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from study_kit import TINY
from transformers import TrainerCallback

from trackbridge.finetune.config import parse_config
from trackbridge.finetune.data import Corpus, load_corpus
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.train import TrainingResult, train
from trackbridge.run.lifecycle import start_run

# Trainer collects garbage at the start of every training. Without the modules of torch and transformers among
# what it looks through, a tiny training takes half the time.
gc.freeze()

LEARNABLE: dict[str, Any] = {
    **TINY,
    "data": {"folder": ".", "train": "train.tsv", "eval": {"dev": "dev.tsv"}},
    "training": {**TINY["training"], "learning_rate": 0.01, "epochs": 4},
    "evaluation": {"metric": "mcc", "every": 2},
}


def write_learnable_data(folder: Path) -> dict[str, Any]:
    """A task that 52 updates learn up to its noise: is there a cat in it? The config for it."""
    chance = random.Random(5)
    for name, count in (("train", 100), ("dev", 60)):
        lines = ["text\tlabel"]
        for _ in range(count):
            label = chance.random() < 0.5
            words = [chance.choice(("a", "dog", "bird", "sees", "hears", "the")) for _ in range(4)]
            words[chance.randrange(4)] = "cat" if label else "dog"
            lines.append(f"{' '.join(words)}\t{int(label != (chance.random() < 0.1))}")
        (folder / f"{name}.tsv").write_text("\n".join(lines), encoding="utf-8")
    return with_overrides(LEARNABLE, {"data.folder": str(folder)})


def write_counting_data(folder: Path) -> dict[str, Any]:
    """A regression whose score rises and falls within 40 updates: how often does it say `very`? The config for it."""
    rows = [f"{'very ' * (i % 5)}good{' thing' * (i % 3)}\t{i % 5 + 0.5}" for i in range(40)]
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    told = {"data.folder": str(folder), "evaluation.metric": "pearson"}
    return with_overrides(LEARNABLE, {**told, "training.learning_rate": 0.02, "training.epochs": 8})


@dataclass
class Evidence:
    """What one training saw and did: digests of weights and batches, and the exact loss of every batch."""

    initial_weights: str = ""
    final_weights: str = ""
    batches: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)


class Witness(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Looks through a forward hook, which draws no random number and changes no value."""

    def __init__(self) -> None:
        self.evidence = Evidence()

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: torch.nn.Module, **others: Any) -> None:
        self.evidence.initial_weights = digest_of(model)
        model.register_forward_hook(self._see, with_kwargs=True)

    def on_log(self, args: Any, state: Any, control: Any, *, logs: dict[str, float], **others: Any) -> None:
        if "grad_norm" in logs:
            self.evidence.gradient_norms.append(logs["grad_norm"])

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: torch.nn.Module, **others: Any) -> None:
        self.evidence.final_weights = digest_of(model)

    def _see(self, model: torch.nn.Module, args: Any, inputs: dict[str, torch.Tensor], output: Any) -> None:
        if model.training:
            batch = inputs["features"] if "features" in inputs else inputs["input_ids"]
            self.evidence.batches.append(hashlib.sha256(batch.numpy().tobytes()).hexdigest()[:12])
            if output.loss is not None:  # of soft labels the model knows no loss
                self.evidence.losses.append(output.loss.item())


def digest_of(model: torch.nn.Module) -> str:
    """One digest over all weights, bit for bit."""
    sha256 = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        sha256.update(name.encode())
        sha256.update(weights.numpy().tobytes())
    return sha256.hexdigest()[:12]


@dataclass
class Trained:
    """A training that was run, and where it lies."""

    evidence: Evidence
    result: TrainingResult
    path: Path


def trained(
    root: Path,
    *,
    overrides: dict[str, Any] | None = None,
    base: dict[str, Any] = TINY,
    corpus: Corpus | None = None,
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **given: Any,
) -> Trained:
    """Really train the tiny config, changed by dotted overrides, as a run below `root`.

    `corpus` is by default what the config names; `given` goes on to `train`.
    """
    config = parse_config(with_overrides(base, overrides or {}))
    corpus = corpus or load_corpus(config.data)
    witness = Witness()
    with start_run(config.project, root=root, resume_from=resume_from) as run:
        result = train(config, corpus, run, resume_from=resume_from, callbacks=[witness, *callbacks], **given)
    return Trained(witness.evidence, result, run.path)


def events_of(run_folder: Path, kind: str) -> list[dict[str, Any]]:
    """The events of one kind in all journals of a run; a line that is being written is not there yet."""
    journals = sorted(run_folder.glob("journal-*.jsonl"))
    whole = [line for journal in journals for line in journal.read_text(encoding="utf-8").split("\n")[:-1]]
    lines = [json.loads(line) for line in whole]
    return [line for line in lines if line["kind"] == kind]
