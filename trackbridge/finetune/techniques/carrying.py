"""Carrying weights from one model into another: the encoder of an earlier stage into the next one's classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel


@dataclass(frozen=True)
class Carried:
    """Which weights came along, and which of the receiving model kept their own; names of parameters."""

    carried: tuple[str, ...]
    kept: tuple[str, ...]


def carry_weights(model: PreTrainedModel, folder: Path, *, layers: int | None) -> Carried:
    """Copy the embeddings and the lowest `layers` layers (null: all, and the pooler) of the model in `folder`."""
    raise NotImplementedError
