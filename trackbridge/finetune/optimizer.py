"""The optimizer of a training: AdamW, corrected for its start or not, over groups with rates of their own or not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch.optim import Optimizer
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.blocks.techniques import LayerwiseDecay
from trackbridge.finetune.techniques.bert_adam import BertAdam
from trackbridge.finetune.techniques.layerwise_decay import parameter_groups


def optimizer_of(
    model: PreTrainedModel,
    args: TrainingArguments,
    *,
    bias_correction: bool,
    layerwise_decay: LayerwiseDecay | None,
    decaying: Collection[str],
) -> tuple[type[Optimizer], dict[str, Any]]:
    """The optimizer's class and its keyword arguments, as `Trainer.optimizer_cls_and_kwargs` takes them.

    The groups are among them, under `params`, where the technique makes them; else `Trainer` makes its own two.
    Rates and weight decay are those of `args`, which a hyperparameter search changes from trial to trial. `decaying`
    names the parameters that `Trainer` decays: a training with the technique differs in its rates from one without,
    and in nothing else.

    Raises:
        PipelineConfigError: the model's layers cannot be found.
    """
    optimizer_class, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)
    if not bias_correction:
        optimizer_class, settings = BertAdam, {name: settings[name] for name in ("lr", "betas", "eps")}
    if layerwise_decay:
        settings["params"] = parameter_groups(
            model,
            layerwise_decay.factor,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            decaying=decaying,
        )
    return optimizer_class, settings


class PartRates(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Remembers the rate each part of the model had in the last update, as `learning_rate/<part>`."""

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, optimizer: Any, **kwargs: Any
    ) -> None:
        """Called after the update and before the schedule moves on."""
        groups = (group for group in optimizer.param_groups if "part" in group)
        self.rates = {f"learning_rate/{group['part']}": group["lr"] for group in groups}
