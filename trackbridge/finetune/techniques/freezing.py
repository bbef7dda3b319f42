"""Freezing: only the head and the top layers learn, down to none of them, which is feature extraction.

Peters et al. 2019, "To Tune or Not to Tune?" (arXiv 1903.05987), compare the two ends; Lee et al. 2019, "What Would
Elsa Do?" (arXiv 1911.03090), freeze all but some of the top layers.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.techniques.layers import base_of, layers_of
from trackbridge.finetune.techniques.pooling import PooledClassifier


def freeze(model: PreTrainedModel, trained_layers: int) -> None:
    """Stop all learning below the head and the top `trained_layers` layers; frozen weights are not decayed either.

    What stands on the layers (a last norm, the pooler) learns as well, except below a head of ours with no layer to
    learn: there the encoder is a fixed function of the text. With no layer to learn it has no dropout.

    Raises:
        PipelineConfigError: the model has fewer layers.
    """
    for parameter in _frozen(model, trained_layers):
        parameter.requires_grad_(False)
    if not trained_layers:
        base_of(model).register_forward_pre_hook(_without_dropout)


def _frozen(model: PreTrainedModel, trained_layers: int) -> Iterable[nn.Parameter]:
    if isinstance(model, PooledClassifier) and not trained_layers:
        return list(model.backbone.parameters())
    parts = layers_of(model)
    if trained_layers > len(parts.layers):
        raise PipelineConfigError(
            f"freezing.trained_layers: {trained_layers} are more layers than the model's {len(parts.layers)};"
            " to train all of it leave `freezing` out"
        )
    below = parts.layers[: len(parts.layers) - trained_layers]
    return [parameter for part in (parts.embeddings, *below) for parameter in part.values()]


def _without_dropout(module: nn.Module, inputs: object) -> None:
    # Trainer puts the whole model into training mode before every batch
    if module.training:
        module.eval()
