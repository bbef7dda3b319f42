"""Layer-wise learning-rate decay: what is near the head learns fast, what is near the words slowly.

Source: the discriminative fine-tuning of Howard and Ruder, "Universal Language Model Fine-tuning for Text
Classification", 2018, https://arxiv.org/abs/1801.06146, in the form in which Zhang et al. 2021
(https://arxiv.org/abs/2006.05987) examined it for BERT: with N layers, the head and the pooler learn at the full
rate, layer l = 1..N at factor^(N + 1 - l) of it, and the embeddings, last, at factor^(N + 1).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from trackbridge.finetune.techniques.layers import layers_of


def parameter_groups(
    model: PreTrainedModel, factor: float, *, learning_rate: float, weight_decay: float, decaying: Collection[str]
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: every parameter that learns, in exactly one of them, the full rate first.

    A part of the model (`head`, `layer_<index from 0>` from the top down, `embeddings`) is named in its groups by
    the key `part`. It has two: the parameters whose names are `decaying` have the weight decay, the others none.
    In an encoder-decoder the layers count on from the encoder's first to the decoder's last.

    Raises:
        PipelineConfigError: the model's layers cannot be found.
    """
    found = layers_of(model)
    layers = {f"layer_{index}": part for index, part in reversed([*enumerate(found.layers)])}
    parts = {"head": found.head | found.top, **layers, "embeddings": found.embeddings}
    groups = []
    for depth, (part, named) in enumerate(parts.items()):
        learning = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        for decays in (True, False):
            chosen = [parameter for name, parameter in learning.items() if (name in decaying) == decays]
            settings = {"lr": learning_rate * factor**depth, "weight_decay": weight_decay if decays else 0.0}
            groups.append({"params": chosen, **settings, "part": part})
    return [group for group in groups if group["params"]]
