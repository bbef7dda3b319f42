"""A target: the name of an adapter and how it is used, as a user writes it: `wandb`, `comet:offline`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from trackbridge.adapters.registry import adapter_names
from trackbridge.errors import NotFoundError, SettingsError, nearest

Mode = Literal["online", "offline"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where runs are delivered to."""

    adapter: str
    mode: Mode = "online"

    def __str__(self) -> str:
        return self.adapter if self.mode == "online" else f"{self.adapter}:{self.mode}"

    @property
    def file_stem(self) -> str:
        """The target as part of a file name."""
        return str(self).replace(":", "-")


def parse_target(text: str) -> Target:
    """The target a user wrote.

    Raises:
        NotFoundError: no such adapter; names the known ones.
        SettingsError: a mode other than `online` and `offline`.
    """
    name, _, mode = text.strip().partition(":")
    if name not in adapter_names():
        raise NotFoundError(f"no adapter named {name!r}{nearest(name, adapter_names())}")
    if mode not in ("", *get_args(Mode)):
        raise SettingsError(f"target {text!r} has the mode {mode!r}; expected {name!r} or '{name}:offline'")
    return Target(name, cast(Mode, mode or "online"))
