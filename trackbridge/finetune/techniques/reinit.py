"""Re-initialising the top layers, which are the most specialised to what the model was pre-trained on.

Source: Zhang, Wu, Katiyar, Weinberger and Artzi, "Revisiting Few-sample BERT Fine-tuning", 2021,
https://arxiv.org/abs/2006.05987. As there, the pooler is drawn anew with the layers. So is a last norm behind the
layers, which their BERT has not: it was learned for the output of the layers that are gone, and corresponds to the
norm in which BERT's last layer ends.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import PreTrainedModel

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.seeding import random_state_kept
from trackbridge.finetune.techniques.layers import base_of, layers_of
from trackbridge.run.seeds import derive


def reinitialise(model: PreTrainedModel, layers: int, *, init_seed: int) -> list[str]:
    """Give the top `layers` layers and what stands on them new weights; the names of the parameters that changed.

    In an encoder-decoder the top layers are the decoder's. The weights are those that the model's own initialiser
    would draw for them in a model made from nothing, so a layer gets the same ones however many are re-initialised.
    With 0 nothing changes. For a moment there is a second base model in memory.

    Raises:
        PipelineConfigError: there are fewer layers.
    """
    if layers == 0:
        return []
    parts = layers_of(model)
    stack = parts.layers[parts.n_encoder :]
    if layers > len(stack):
        where = "decoder" if parts.n_encoder else "model"
        raise PipelineConfigError(
            f"reinit.layers: {layers} is more than the {len(stack)} layers of the {where} ({type(model).__name__});"
            f" give at most {len(stack)}"
        )
    base = base_of(model)
    fresh = _drawn_anew(base, derive("reinit", init_seed))
    name_in_base = {parameter: name for name, parameter in base.named_parameters()}
    chosen = {name: parameter for part in (*stack[-layers:], parts.top) for name, parameter in part.items()}
    with torch.no_grad():
        for parameter in chosen.values():
            parameter.copy_(fresh[name_in_base[parameter]])
    return list(chosen)


def _drawn_anew(base: PreTrainedModel, seed: int) -> dict[str, nn.Parameter]:
    """The parameters of a model like this one, as its initialiser draws them.

    A whole one, because `_init_weights` does nothing to weights that were loaded (transformers 5 marks them), and
    because some initialisers (T5, GPT-2) set a weight from the module above the one it is in.
    """
    with random_state_kept():
        torch.manual_seed(seed)
        return dict(type(base)(copy.deepcopy(base.config)).named_parameters())
