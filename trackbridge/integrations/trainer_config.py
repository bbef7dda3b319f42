"""
What a `Trainer` was told, as config under one scope each: `training_arguments`, `model`, `peft`, `trial`, `trainer`.

Scopes keep equal keys apart (`hidden_dropout_prob` of two configs, `seed` of a search) that trackers with
one flat namespace let overwrite each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import TrainerState, TrainingArguments
from transformers.trainer_pt_utils import get_model_param_count

from trackbridge.run.seeds import Seeds

_TELLING = frozenset({"peft_type", "r", "alpha", "lora_alpha"})
"""Of an adapter always recorded."""


def trainer_config(args: TrainingArguments, state: TrainerState, model: object) -> dict[str, dict[str, Any]]:
    """The config of one training by scope; a scope without content is left out.

    `trainer` holds what changes results and stands in no argument: the number of threads changes the
    last bits of every sum on a CPU, the number of processes changes the batch.
    """
    readers: dict[str, Callable[[], dict[str, Any]]] = {
        "training_arguments": args.to_dict,
        "model": lambda: _model_config(model),
        "peft": lambda: _peft_config(model),
        "trial": lambda: dict(state.trial_params or {}),
        "trainer": lambda: {"torch_threads": torch.get_num_threads(), "processes": args.world_size},
    }
    scopes = {scope: _read(reader) for scope, reader in readers.items()}
    return {scope: config for scope, config in scopes.items() if config}


def seeds_in_force(args: TrainingArguments) -> Seeds:
    """The seeds this training draws from; `init` stays open, since the model may have been built before.

    Without a `data_seed` the order of the data follows the last `torch.manual_seed`, as dropout does,
    and that need not be `args.seed`: torch is asked, not the arguments.
    """
    last = torch.initial_seed()
    data = last if args.data_seed is None else args.data_seed
    return Seeds(data=_recordable(data), dropout=_recordable(last))


def _recordable(seed: int) -> int | None:
    # torch takes 64 bits, numpy and the record 32: a wider seed is left open rather than cut.
    return seed if 0 <= seed < 2**32 else None


def _read(reader: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return reader()
    except Exception as error:  # noqa: BLE001 - other people's `to_dict`; the record itself tells what went wrong
        return {"could_not_be_read": repr(error)}


def _model_config(model: object) -> dict[str, Any]:
    if not isinstance(model, torch.nn.Module):
        return {}
    return {
        **_as_mapping(getattr(model, "config", None)),
        "model_class": type(model).__name__,
        "parameters": get_model_param_count(model),
        "trainable_parameters": get_model_param_count(model, trainable_only=True),
    }


def _peft_config(model: object) -> dict[str, Any]:
    adapters = getattr(model, "peft_config", None)
    if not isinstance(adapters, Mapping):
        return {}
    return {name: _adapter_config(adapter) for name, adapter in adapters.items()}


def _adapter_config(adapter: Any) -> dict[str, Any]:
    """The kind and size of an adapter, and what else is not as peft has it by default, of some fifty options."""
    known = dataclasses.fields(adapter) if dataclasses.is_dataclass(adapter) else ()
    # a mutable default is made by a factory; peft's are all empty
    defaults = {field.name: None if field.default is dataclasses.MISSING else field.default for field in known}
    return {
        key: value
        for key, value in _as_mapping(adapter).items()
        if key in _TELLING or key not in defaults or (value or None) != (defaults[key] or None)
    }


def _as_mapping(config: Any) -> dict[str, Any]:
    to_dict = getattr(config, "to_dict", None)
    if callable(to_dict):
        return dict(to_dict())
    return dict(config) if isinstance(config, Mapping) else {}
