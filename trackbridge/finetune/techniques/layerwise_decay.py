"""Layer-wise learning-rate decay: what is near the head learns fast, what is near the words slowly.

Source: the discriminative fine-tuning of Howard and Ruder, "Universal Language Model Fine-tuning for Text
Classification", 2018, https://arxiv.org/abs/1801.06146, in the form in which Zhang et al. 2021
(https://arxiv.org/abs/2006.05987) examined it for BERT: with N layers, the head and the pooler learn at the full
rate, layer l = 1..N at factor^(N + 1 - l) of it, and the embeddings, last, at factor^(N + 1).
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from trackbridge.finetune.techniques.layers import layers_of


def parameter_groups(
    model: PreTrainedModel, factor: float, *, learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: every parameter that learns, in exactly one of them, the full rate first.

    A part of the model (`head`, `layer_<index from 0>` from the top down, `embeddings`) is named in its groups by
    the key `part`. It has two, because biases and the weights of norms, which are the parameters that are vectors,
    are not decayed. In an encoder-decoder the layers count on from the encoder's first to the decoder's last.

    Raises:
        PipelineConfigError: the model's layers cannot be found.
    """
    found = layers_of(model)
    layers = {f"layer_{index}": part for index, part in reversed([*enumerate(found.layers)])}
    parts = {"head": found.head | found.top, **layers, "embeddings": found.embeddings}
    groups = []
    for depth, (part, named) in enumerate(parts.items()):
        learning = [parameter for parameter in named.values() if parameter.requires_grad]
        rate = learning_rate * factor**depth
        matrices = [parameter for parameter in learning if parameter.ndim > 1]
        vectors = [parameter for parameter in learning if parameter.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": weight_decay, "part": part})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0, "part": part})
    return [group for group in groups if group["params"]]
