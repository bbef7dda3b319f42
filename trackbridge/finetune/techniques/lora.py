"""LoRA: low-rank adapters beside frozen weights, through `peft`.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685): the weights W stay as they are,
and W + B A alpha / rank takes their place, of which only A and B learn; B begins at 0, so nothing changes at first.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from trackbridge.errors import MissingDependencyError, PipelineConfigError, nearest
from trackbridge.finetune.blocks.techniques import Lora
from trackbridge.finetune.seeding import random_state_kept
from trackbridge.run.seeds import derive

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel


def with_lora(model: PreTrainedModel, lora: Lora, *, init_seed: int) -> PeftModel:
    """The model with adapters in it, of which they and the head (with the pooler, where there is one) learn.

    The adapters are drawn from a random stream of their own that `init_seed` alone decides.

    Raises:
        MissingDependencyError: `peft` is not installed.
        PipelineConfigError: the model has no linear layer of such a name, or `peft` knows no default for it.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError.for_extra("lora", "peft", "lora") from error
    layers = _linear_layers(model)
    _check_targets(lora.targets or (), layers)
    with random_state_kept(), warnings.catch_warnings():
        # peft 0.21 asks the model for a property that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        torch.manual_seed(derive("lora", init_seed))
        try:
            adapted = peft.get_peft_model(model, _settings(model, lora))
        except ValueError as error:
            raise PipelineConfigError(
                f"lora.targets: peft has no default for {model.config.model_type!r}: name some of its linear layers"
                f"{nearest('', layers)}"
            ) from error
    # else every checkpoint asks the hub whether the vocabulary is still the published one
    adapted.peft_config["default"].base_model_name_or_path = None
    return adapted


def merged(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """A model without adapters in it that computes the same up to rounding: itself if it has none, else a copy."""
    if isinstance(model, PreTrainedModel):
        return model
    # in the copy: taking a merged adapter out again would leave other bits in the frozen weights
    plain: PreTrainedModel = copy.deepcopy(model).merge_and_unload()
    return plain


def _settings(model: PreTrainedModel, lora: Lora) -> LoraConfig:
    from peft import LoraConfig, TaskType

    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        modules_to_save=_head_modules(model),
        # GPT-2 keeps its weights transposed
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )


def _linear_layers(model: PreTrainedModel) -> set[str]:
    """The names, within their blocks, of what an adapter can stand beside."""
    modules = model.base_model.named_modules()
    return {name.rpartition(".")[2] for name, module in modules if isinstance(module, (nn.Linear, Conv1D))}


def _check_targets(targets: Iterable[str], layers: set[str]) -> None:
    """Peft passes over a name that it does not find, if it finds another."""
    for target in targets:
        if target.rpartition(".")[2] not in layers:
            raise PipelineConfigError(
                f"lora.targets: the model has no linear layer {target!r}{nearest(target, layers)}"
            )


def _head_modules(model: PreTrainedModel) -> list[str]:
    """The modules that learn whole: those outside of the base model that have weights, and the pooler."""
    base = model.base_model
    outside = [
        name for name, child in model.named_children() if child is not base and any(True for _ in child.parameters())
    ]
    return [*outside, *(["pooler"] if getattr(base, "pooler", None) is not None else [])]
