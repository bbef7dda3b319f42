"""Carrying weights from one model into another: the encoder of an earlier stage into the next one's classifier.

After further pre-training (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964) all of it is carried over; after
an intermediate task (Phang et al. 2018, https://arxiv.org/abs/1811.01088) how much of it helps is to be tuned, because
the upper layers are those that learned the other task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.seeding import random_state_kept
from trackbridge.finetune.techniques.layers import Layers, base_of, layers_of


@dataclass(frozen=True)
class Carried:
    """Which weights came along, and which of the receiving model kept their own: names of parameters by part.

    Parts are `embeddings`, `layer 1` and so on from the bottom, `top` (a last norm, the pooler) and `head`.
    """

    carried: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, tuple[str, ...]]

    def recorded(self) -> dict[str, dict[str, int]]:
        """How many parameters of each part came along, and how many are the model's own."""
        return {
            "carried": {part: len(names) for part, names in self.carried.items()},
            "own": {part: len(names) for part, names in self.kept.items()},
        }


def carry_weights(model: PreTrainedModel, folder: Path, *, layers: int | None) -> Carried:
    """Copy the embeddings and the lowest `layers` layers of the model in `folder`; null: all, and the pooler.

    The folder may hold the model with any head: a classifier, or one of further pre-training. A decoder's layers fit
    an encoder, which a model that learned to predict the next token becomes again by that.

    Raises:
        PipelineConfigError: the two are not of one architecture, vocabulary and width, or have not that many layers.
    """
    parts = layers_of(model)
    if layers is not None and layers > len(parts.layers):
        raise PipelineConfigError(f"carry_layers: {layers} is more than the {len(parts.layers)} layers of the model")
    base = base_of(model)
    source = _weights_in(folder, base)
    name_in_base = {parameter: name for name, parameter in base.named_parameters()}
    carried: dict[str, tuple[str, ...]] = {}
    kept: dict[str, tuple[str, ...]] = {}
    for part, parameters in _named(parts).items():
        is_wanted = part in _wanted(parts, layers)
        # a stage that never used a pooler has none to give
        given = [name for name, one in parameters.items() if is_wanted and name_in_base[one] in source]
        if is_wanted and part != "top" and len(given) < len(parameters):
            raise _misfit(folder, base, f"it has no {part} of this kind")
        for name in given:
            _copy(parameters[name], source[name_in_base[parameters[name]]], folder, base)
        carried |= {part: tuple(given)} if given else {}
        own = tuple(name for name in parameters if name not in given)
        kept |= {part: own} if own else {}
    return Carried(carried, kept)


def _named(parts: Layers) -> dict[str, dict[str, nn.Parameter]]:
    numbered = {f"layer {number}": layer for number, layer in enumerate(parts.layers, start=1)}
    return {"embeddings": parts.embeddings, **numbered, "top": parts.top, "head": parts.head}


def _wanted(parts: Layers, layers: int | None) -> set[str]:
    n_layers = len(parts.layers) if layers is None else layers
    numbered = {f"layer {number}" for number in range(1, n_layers + 1)}
    return {"embeddings", *numbered, *(["top"] if layers is None else [])}


def _weights_in(folder: Path, base: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights in a folder by their names in the model without a head; none that the folder does not have."""
    # what is missing in the folder is drawn, to be left out again
    with random_state_kept():
        source, told = AutoModel.from_pretrained(folder, output_loading_info=True)
    if source.config.model_type != base.config.model_type:
        raise _misfit(folder, base, f"it is a {source.config.model_type} model")
    named = dict(source.named_parameters(remove_duplicate=False))
    drawn = {named[name] for name in told["missing_keys"] if name in named}
    if source.config.is_encoder_decoder and not base.config.is_encoder_decoder:
        # a head of ours stands on the encoder alone
        named = dict(source.get_encoder().named_parameters(remove_duplicate=False))
    return {name: parameter.detach() for name, parameter in named.items() if parameter not in drawn}


def _copy(own: nn.Parameter, source: torch.Tensor, folder: Path, base: PreTrainedModel) -> None:
    if own.shape != source.shape:
        raise _misfit(folder, base, f"a weight of shape {tuple(source.shape)} is {tuple(own.shape)} here")
    with torch.no_grad():
        own.copy_(source)


def _misfit(folder: Path, base: PreTrainedModel, reason: str) -> PipelineConfigError:
    there, here = AutoConfig.from_pretrained(folder), base.config
    return PipelineConfigError(
        f"the weights in {folder} do not fit the model: {reason};"
        f" there is {_shape_text(there)}, here {_shape_text(here)}:"
        " a stage and the training that builds on it need the same `model` and vocabulary"
    )


def _shape_text(config: Any) -> str:
    told = {name: getattr(config, name, None) for name in ("vocab_size", "hidden_size", "num_hidden_layers")}
    return f"{config.model_type} with " + ", ".join(f"{name} {number}" for name, number in told.items())
