"""The `Trainer` of the pipeline: as Hugging Face made it, but for a wrong loss scale and evaluation's side effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainingArguments
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from trackbridge.finetune.blocks.techniques import LayerwiseDecay
from trackbridge.finetune.config import PipelineConfig, PretrainingConfig
from trackbridge.finetune.optimizer import PartRates, optimizer_of
from trackbridge.finetune.seeding import data_order_seed, random_state_kept
from trackbridge.finetune.techniques.averaging import WeightAveraging, plain_prefix
from trackbridge.run.seeds import Seeds


class PipelineTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """A `Trainer` whose updates do not depend on how often it evaluates, accumulates or on how many ranks."""

    control: TrainerControl

    def __init__(
        self,
        *,
        bias_correction: bool = True,
        layerwise_decay: LayerwiseDecay | None = None,
        averaging: WeightAveraging | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **kwargs: Any,
    ) -> None:
        # before the other callbacks: what they record of a checkpoint, and as scores, has the average in it
        super().__init__(callbacks=[*([averaging] if averaging else []), *callbacks], **kwargs)
        self._averaging = averaging
        self._bias_correction = bias_correction
        self._layerwise_decay = layerwise_decay
        self._part_rates = PartRates()
        self.add_callback(self._part_rates)
        # Classifiers take **kwargs in forward, from which the Trainer concludes that their loss is already
        # divided by the number of accumulated batches and ranks; it is not (transformers 5.23; related:
        # https://github.com/huggingface/transformers/issues/37766). Only the loss of causal language models is.
        self.model_accepts_loss_kwargs = type(self.model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        # prints every log as a dict when the progress bar is off
        self.remove_callback(PrinterCallback)

    def create_optimizer(self, model: PreTrainedModel | None = None) -> Optimizer:
        """The optimizer, made where there is none yet: at the first `train()`, and for each new model of a search."""
        learner = self.model if model is None else model
        if self.optimizer is None:
            # anew each time, because Trainer takes the groups out of the dict and would not find them again
            self.optimizer_cls_and_kwargs = optimizer_of(
                learner,
                self.args,
                bias_correction=self._bias_correction,
                layerwise_decay=self._layerwise_decay,
                decaying=self.get_decay_parameter_names(learner),
            )
        optimizer: Optimizer = super().create_optimizer(model)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and beside the highest learning rate those of the model's parts where they differ."""
        super().log({**logs, **self._part_rates.rates} if "learning_rate" in logs else logs, start_time)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """The learning rates that the arguments ask for, or that averaging puts in their place."""
        scheduler: LambdaLR = super().create_scheduler(num_training_steps, optimizer)
        if self._averaging:
            self.lr_scheduler = scheduler = self._averaging.schedule(scheduler, num_training_steps)
        return scheduler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], **kwargs: Any) -> Any:
        """The model's own loss, or the cross-entropy with soft labels, which are a probability for each class."""
        labels = inputs.get("labels")
        if labels is None or labels.dim() < 2 or not labels.is_floating_point():
            return super().compute_loss(model, inputs, **kwargs)
        # no model of transformers takes soft labels: each would take their columns for so many more examples
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = cross_entropy(outputs["logits"].float(), labels)
        return (loss, outputs) if kwargs.get("return_outputs") else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The scores, leaving the random state as it was.

        With averaging they are those of the averaged model; those of the plain one are under `eval_plain`.
        """
        is_several = isinstance(self.eval_dataset if eval_dataset is None else eval_dataset, dict)
        with random_state_kept():
            # Trainer scores several sets by calling this method for each of them
            if self._averaging is None or is_several:
                return dict(super().evaluate(eval_dataset, ignore_keys, metric_key_prefix))
            plain = dict(super().evaluate(eval_dataset, ignore_keys, plain_prefix(metric_key_prefix)))
            if not self._averaging.has_begun:
                return plain | self._told_as_averaged(plain, metric_key_prefix)
            with self._averaging.lent_to(self.model):
                return plain | dict(super().evaluate(eval_dataset, ignore_keys, metric_key_prefix))

    def _told_as_averaged(self, plain: Mapping[str, float], prefix: str) -> dict[str, float]:
        """The plain model's scores once more, under the averaged one's names: before averaging begins they are one."""
        scores = {key.replace(plain_prefix(prefix), prefix, 1): value for key, value in plain.items()}
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores


def training_arguments(config: PipelineConfig | PretrainingConfig, folder: Path, seeds: Seeds) -> TrainingArguments:
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
        adam_epsilon=training.epsilon,
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


def logits_alone(outputs: torch.Tensor | tuple[torch.Tensor, ...], labels: torch.Tensor) -> torch.Tensor:
    """The logits among what a model gives in evaluation: encoder-decoders give the encoder's states along with them."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


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
