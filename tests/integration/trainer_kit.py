"""A tiny real BERT, synthetic data and a real Trainer, and the raw lines of what a run wrote."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

# Each train() runs a full garbage collection. Without what the imports made, it takes 10 ms instead of 300.
gc.collect()
gc.freeze()

N_CLASSES = 2
SENTENCE_LENGTH = 6


def tiny_model(seed: int = 0, **settings: Any) -> BertForSequenceClassification:
    """One layer, 16 wide: a training of ten steps takes a fraction of a second."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=8, num_labels=N_CLASSES, **settings,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def sentences(n: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Random token ids; the label says whether the first is above the middle of the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 32, (n, SENTENCE_LENGTH), generator=generator)
    return [{"input_ids": row, "labels": (row[0] > 15).long()} for row in ids]


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    """Ten steps, each logged, on the CPU, without a progress bar; `settings` win."""
    defaults: dict[str, Any] = {
        "output_dir": str(folder), "max_steps": 10, "logging_steps": 1, "per_device_train_batch_size": 4,
        "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "report_to": "none",
        "dataloader_pin_memory": False, "learning_rate": 1e-2,
    }  # fmt: skip
    return TrainingArguments(**{**defaults, **settings})


def trainer_for(args: TrainingArguments, *callbacks: Any, **settings: Any) -> Trainer:
    """A Trainer over 16 training and 8 evaluation sentences; `settings` win."""
    defaults: dict[str, Any] = {
        "train_dataset": sentences(16), "eval_dataset": sentences(8, seed=1), "compute_metrics": accuracy,
    }  # fmt: skip
    if "model_init" not in settings:
        defaults["model"] = tiny_model()
    return Trainer(args=args, callbacks=list(callbacks), **{**defaults, **settings})


def run_folders(root: Path) -> list[Path]:
    """The folders of all runs below the root, oldest first (run ids sort by time)."""
    return sorted({path.parent for path in root.glob("*/*/journal-*.jsonl")}, key=lambda folder: folder.name)


def events(run_folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The journal lines of a run over all its writers, in the order of time, of one kind or of all."""
    lines = [
        json.loads(line)
        for path in run_folder.glob("journal-*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    lines.sort(key=lambda event: event["t"])
    return [event for event in lines if kind is None or event["kind"] == kind]


def points(run_folder: Path, name: str) -> dict[int, float]:
    """Step to value of one metric, as written: `"NaN"` and the infinities become floats."""
    return {
        event["step"]: float(event["metrics"][name])
        for event in events(run_folder, "metrics_logged")
        if name in event["metrics"]
    }


def config(run_folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The logged config by scope."""
    return {event["scope"]: event["config"] for event in events(run_folder, "config_logged")}


class Crash(TrainerCallback):
    """Fails at one step, as a training does that runs out of memory."""

    def __init__(self, at_step: int) -> None:
        self.at_step = at_step

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.at_step:
            raise RuntimeError(f"out of memory after step {self.at_step}")
