"""Which rank this process has, and how ranks agree on one run id."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, TypeVar

from trackbridge.settings import launcher_rank

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of this process among those that train together."""

    rank: int
    world_size: int


def this_rank() -> Rank:
    """From torch.distributed when it is running, else from torchrun's variables, else rank 0 of 1.

    SLURM's and MPI's own variables are not consulted: `srun -n 4` also starts four runs that have nothing to
    do with each other, and the last three would silently record nothing.
    """
    distributed = _running_distributed()
    if distributed is not None:
        return Rank(distributed.get_rank(), distributed.get_world_size())
    rank, size = launcher_rank()
    return Rank(rank, size)


def agree_on(mine: T) -> T | None:
    """Rank 0's value on every rank, or None where the ranks cannot talk."""
    distributed = _running_distributed()
    if distributed is None:
        return None
    box = [mine]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def _running_distributed() -> Any:
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed
    return None
