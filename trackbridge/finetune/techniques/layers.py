"""A model taken apart from bottom to top: embeddings, layers, what stands on them, and the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Layers:
    """The parts of a model, bottom to top; every parameter is in exactly one of them.

    `layers` are the transformer layers in the order of the computation (of an encoder-decoder, the encoder's first);
    `top` is what follows them inside the encoder (a last norm, the pooler); `head` is what no checkpoint provides.
    Parts hold parameters by their name in the model.
    """

    embeddings: dict[str, nn.Parameter]
    layers: tuple[dict[str, nn.Parameter], ...]
    top: dict[str, nn.Parameter]
    head: dict[str, nn.Parameter]


def layers_of(model: PreTrainedModel) -> Layers:
    """The parts of a model, found by its structure: its longest list of equal modules is its stack of layers.

    Raises:
        PipelineConfigError: no such list is found; names what the model has.
    """
    raise NotImplementedError
