"""LoRA: low-rank adapters beside frozen weights, through `peft`."""

from __future__ import annotations

from transformers import PreTrainedModel

from trackbridge.finetune.blocks.techniques import Lora


def with_lora(model: PreTrainedModel, lora: Lora, *, init_seed: int) -> PreTrainedModel:
    """The model with adapters in it, of which they and the head learn."""
    raise NotImplementedError
