"""
Fine-tune a tiny BERT three times with a Trainer, and read back what each run recorded.

    python examples/trainer_callback.py [OUTPUT_FOLDER]

Nothing is downloaded: the model is small and starts from random weights, and the task, "is the first token
greater than the last?", is made on the spot. It takes a few seconds on a laptop.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

import trackbridge as tb
from trackbridge.integrations.transformers import TrackingCallback

VOCABULARY = 64


def sentences(n: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """`n` sentences of eight tokens, and whether the first token is greater than the last."""
    tokens = torch.randint(1, VOCABULARY, (n, 8), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "labels": (row[0] > row[-1]).long()} for row in tokens]


def accuracy(prediction: Any) -> dict[str, float]:
    """What Trainer will log as `eval_accuracy`, and the run as `eval/accuracy`."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def train(folder: Path, seed: int) -> str:
    """Train once inside a run of our own; returns the run's id."""
    args = TrainingArguments(
        output_dir=str(folder / "checkpoints" / f"seed-{seed}"),
        seed=seed,
        max_steps=120,
        per_device_train_batch_size=16,
        learning_rate=5e-3,
        logging_steps=5,
        logging_nan_inf_filter=False,  # else a loss that is not a number is hidden from every tracker
        eval_strategy="steps",
        eval_steps=20,
        save_strategy="best",
        save_total_limit=1,
        metric_for_best_model="accuracy",
        load_best_model_at_end=True,
        use_cpu=True,
        disable_tqdm=True,
        report_to="none",
    )
    torch.manual_seed(0)  # the same initial weights every time: only the seed of Trainer differs
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
        )
    )
    with tb.start_run("trainer-example", name=f"seed {seed}", group="seeds", root=folder / "runs") as run:
        trainer = Trainer(
            model=model,
            args=args,
            train_dataset=sentences(512, seed=1),
            eval_dataset=sentences(128, seed=2),
            compute_metrics=accuracy,
            callbacks=[TrackingCallback(run, checkpoints="best")],
        )
        trainer.remove_callback(PrinterCallback)  # the table at the end says enough
        trainer.train()
        trainer.predict(sentences(128, seed=3))  # still the same run
    return run.run_id


def main(folder: Path) -> None:
    """Three seeds, then a line for each run."""
    for seed in (1, 2, 3):
        train(folder, seed)

    print("run     status    best eval/accuracy  test/accuracy  kept checkpoint")
    for record in tb.open_store(folder / "runs").runs(project="trainer-example"):
        best, test = record.metrics["eval/accuracy"], record.metrics["test/accuracy"]
        kept = next(checkpoint.kept for checkpoint in record.checkpoints if checkpoint.kept)
        score = f"{best.maximum:.3f} at step {best.maximum_step}"
        print(f"{record.name:7} {record.status:9} {score:18}  {test.last:<13.3f}  {kept}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "trainer-example"))
