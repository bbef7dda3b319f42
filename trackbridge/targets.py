"""
Where runs can be delivered to: a target is the name of an adapter and how it is used, such as `wandb` or
`comet:offline`. Names are known here without importing any adapter, so that a run can refuse a wrong one at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast, get_args

from trackbridge.errors import NotFoundError, SettingsError, nearest

Mode = Literal["online", "offline"]
ENTRY_POINT_GROUP = "trackbridge.adapters"
BUILT_IN = {
    "comet": "trackbridge.adapters.comet:CometAdapter",
    "memory": "trackbridge.adapters.memory:MemoryAdapter",
    "mlflow": "trackbridge.adapters.mlflow:MlflowAdapter",
    "neptune": "trackbridge.adapters.neptune:NeptuneAdapter",
    "tensorboard": "trackbridge.adapters.tensorboard:TensorboardAdapter",
    "wandb": "trackbridge.adapters.wandb:WandbAdapter",
}

_TO_KNOW = {
    "neptune": "Neptune's hosted service closed on 5 March 2026. What still exists: self-hosted servers and others with"
    " the 2.x API, and the client's offline directories (neptune:offline)"
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where runs are delivered to."""

    adapter: str
    mode: Mode = "online"

    def __str__(self) -> str:
        return self.adapter if self.mode == "online" else f"{self.adapter}:{self.mode}"


def adapter_names() -> list[str]:
    """Every adapter that can be asked for by name, sorted: the built-in ones and those of installed packages."""
    from importlib.metadata import entry_points

    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def parse_target(text: str) -> Target:
    """The target a user wrote.

    Raises:
        NotFoundError: no such adapter; names the known ones.
        SettingsError: a mode other than `online` and `offline`.
    """
    name, _, mode = text.strip().partition(":")
    if name not in BUILT_IN and name not in adapter_names():
        raise NotFoundError(f"no adapter named {name!r}{nearest(name, adapter_names())}")
    if mode not in ("", *get_args(Mode)):
        raise SettingsError(f"target {text!r} has the mode {mode!r}; expected {name!r} or '{name}:offline'")
    return Target(name, cast(Mode, mode or "online"))


def parse_targets(texts: Iterable[str]) -> list[Target]:
    """The targets a user wrote, each once.

    Raises:
        NotFoundError, SettingsError: as for one.
    """
    return list(dict.fromkeys(parse_target(text) for text in texts))


@cache
def tell_what_to_know(adapter: str) -> None:
    """Say, once in a process, what whoever delivers by this adapter has to know beforehand."""
    if adapter in _TO_KNOW:
        _log.warning("trackbridge: %s", _TO_KNOW[adapter])
