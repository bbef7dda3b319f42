"""The `Trainer` of the pipeline: as Hugging Face made it, but for a wrong loss scale and evaluation's side effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.seeding import data_order_seed, random_state_kept
from trackbridge.run.seeds import Seeds


class PipelineTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """A `Trainer` whose updates do not depend on how often it evaluates, accumulates or on how many ranks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Classifiers take **kwargs in forward, from which the Trainer concludes that their loss is already
        # divided by the number of accumulated batches and ranks; it is not (transformers 5.23; related:
        # https://github.com/huggingface/transformers/issues/37766).
        self.model_accepts_loss_kwargs = False
        # prints every log as a dict when the progress bar is off
        self.remove_callback(PrinterCallback)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The scores, leaving the random state as it was."""
        with random_state_kept():
            scores: dict[str, float] = super().evaluate(*args, **kwargs)
        return scores


def training_arguments(config: PipelineConfig, folder: Path, seeds: Seeds) -> TrainingArguments:
    """The config in the Trainer's words; checkpoints go into `folder`, the last two of them stay."""
    training = config.training
    on_cpu = training.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return TrainingArguments(
        output_dir=str(folder),
        seed=seeds.dropout,
        data_seed=data_order_seed(seeds),
        num_train_epochs=training.epochs or 1,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=config.evaluation.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type="constant_with_warmup" if training.schedule == "constant" else training.schedule,
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_gradient_norm,
        bf16=_computes_in_bf16(on_cpu=on_cpu) if training.bf16 == "auto" else training.bf16,
        use_cpu=on_cpu,
        logging_steps=training.log_every,
        # a loss that became NaN is what one wants to see, not the mean of those before it
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=config.evaluation.every,
        save_strategy="steps",
        save_steps=config.checkpoints.every,
        # killed between rotation and the record of the new one, the older is the one to resume from
        save_total_limit=None if config.checkpoints.keep == "all" else 2,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
    )


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """A stretch of code in which torch computes with this many threads, if a number is given."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _computes_in_bf16(*, on_cpu: bool) -> bool:
    """Whether bfloat16 is computed by the hardware; emulated, it is slower than float32."""
    if not on_cpu:
        return torch.cuda.is_available() and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # private in torch 2.13, hence guarded: without it float32 is right, only slower
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
