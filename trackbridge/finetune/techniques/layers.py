"""A model taken apart from bottom to top: embeddings, layers, what stands on them, and the head.

Nothing here knows a model by name. The layers are the modules of the longest list of equal ones. What stands outside
of that list is told apart by watching when a forward pass of four tokens uses it, because models do not declare their
parts in the order they compute them in: BART declares the norm of its embeddings behind its layers, and so does
DeBERTa with its relative positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from trackbridge.errors import PipelineConfigError


@dataclass(frozen=True)
class Layers:
    """The parts of a model, bottom to top; every parameter is in exactly one of them, a shared one in the lowest.

    `embeddings` is all that is computed before the first layer (in an encoder-decoder, before either stack's first),
    positions and the norm of embeddings included. `layers` are the transformer layers in the order of the
    computation, the encoder's first; what is computed between two layers belongs to the lower one. `top` is what
    follows the last layer inside the base model (a last norm, the pooler), and `head` what is outside of it.

    A layer that is used several times, as in ALBERT, is one layer. `n_encoder` of the layers belong to the encoder
    of an encoder-decoder; it is 0 where there is one stack. Parts hold parameters by their name in the model.
    """

    embeddings: dict[str, nn.Parameter]
    layers: tuple[dict[str, nn.Parameter], ...]
    top: dict[str, nn.Parameter]
    head: dict[str, nn.Parameter]
    n_encoder: int = 0


def layers_of(model: PreTrainedModel) -> Layers:
    """The parts of a model, found by its structure: its longest list of equal modules is its stack of layers.

    A model wrapped by `peft` is taken apart like the one inside, adapters included.

    Raises:
        PipelineConfigError: no such list is found, or the model does not run on token ids; names what the model has.
    """
    base = base_of(model)
    towers = [base.get_encoder(), base.get_decoder()] if base.config.is_encoder_decoder else [base]
    stacks = [_stack_of(tower) for tower in towers]
    place_of = _places(base, towers, stacks)
    n_layers = sum(len(stack) for stack in stacks)
    parts: list[dict[str, nn.Parameter]] = [{} for _ in range(n_layers + 3)]
    for name, parameter in model.named_parameters():
        parts[place_of.get(parameter, n_layers + 2)][name] = parameter
    embeddings, *layers, top, head = parts
    return Layers(embeddings, tuple(layers), top, head, n_encoder=len(stacks[0]) if len(stacks) > 1 else 0)


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its head, and without what `peft` wrapped around it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.base_model


def _stack_of(tower: nn.Module) -> list[nn.Module]:
    stacks = [list(stack) for stack in _outermost_lists(tower)]
    if not stacks:
        children = ", ".join(f"{name} ({type(child).__name__})" for name, child in tower.named_children())
        raise PipelineConfigError(
            f"{type(tower).__name__} has no list of equal modules that could be its layers (it has: {children});"
            " freezing, reinit, layerwise_decay and carry_layers need one: leave them out for this model"
        )
    return max(stacks, key=len)


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """Lists of equal modules; lists inside of those, such as the experts of a layer, are passed over."""
    for child in module.children():
        if isinstance(child, nn.ModuleList) and len({type(one) for one in child}) == 1:
            yield child
        else:
            yield from _outermost_lists(child)


def _places(
    base: PreTrainedModel, towers: Sequence[nn.Module], stacks: Sequence[Sequence[nn.Module]]
) -> dict[nn.Parameter, int]:
    """Where each parameter of the base model stands: 0 for the embeddings, the layers from 1, then the top."""
    layers = [layer for stack in stacks for layer in stack]
    places: dict[nn.Parameter, int] = {}
    for number, layer in enumerate(layers, start=1):
        for parameter in layer.parameters():
            places.setdefault(parameter, number)
    first_use = _first_uses(base)
    # what belongs to neither the encoder nor the decoder is measured against the layers of both
    for module, stack in zip([*towers, base], [*stacks, layers], strict=True):
        ends = [_end_of(layer, first_use) for layer in stack]
        for parameter in module.parameters():
            n_done = sum(end < first_use.get(parameter, math.inf) for end in ends)
            place = layers.index(stack[0]) + n_done if n_done else 0
            places.setdefault(parameter, place + (place == len(layers)))
    return places


def _end_of(layer: nn.Module, first_use: Mapping[nn.Parameter, int]) -> float:
    """When a layer is done, the first time it is run: when the last of its parameters came into use."""
    return max((first_use[parameter] for parameter in layer.parameters() if parameter in first_use), default=math.inf)


def _first_uses(base: PreTrainedModel) -> dict[nn.Parameter, int]:
    """In which order the parameters come into use when the model runs; those it does not use are left out."""
    tokens = torch.ones(1, 4, dtype=torch.long, device=base.device)
    inputs = {"input_ids": tokens}
    if base.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens
    modes = [(module, module.training) for module in base.modules()]
    # without dropout nothing is drawn from torch's generator
    base.eval()
    try:
        with torch.no_grad(), _Watch() as watch:
            base(**inputs)
    except Exception as error:
        raise PipelineConfigError(f"{type(base).__name__} does not run on token ids alone: {error}") from error
    finally:
        for module, was_training in modes:
            module.training = was_training
    return {parameter: number for number, parameter in enumerate(watch.used)}


class _Watch(TorchFunctionMode):
    """Notes each parameter that a torch function is given, in the order of the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[nn.Parameter, None] = {}

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # to ask for a property, such as the dtype, is no use
        if getattr(function, "__name__", "") != "__get__":
            for given in (*args, *kwargs.values()):
                for value in given if isinstance(given, list | tuple) else [given]:
                    if isinstance(value, nn.Parameter):
                        self.used.setdefault(value)
        return function(*args, **kwargs)
