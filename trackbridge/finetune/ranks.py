"""Agreement between the processes of a distributed training."""

from __future__ import annotations

from typing import TypeVar

from trackbridge.run.ranks import this_rank

Value = TypeVar("Value")


def is_first_rank() -> bool:
    """Whether this is the process that speaks for all."""
    return this_rank().rank == 0


def n_processes() -> int:
    """How many processes train each run together."""
    return this_rank().world_size


def of_first_rank(value: Value) -> Value:
    """Rank 0's value on every rank: what is read from disk may differ by the moment it was read at."""
    if n_processes() == 1:
        return value
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState()
    box: list[Value] = [value]
    broadcast_object_list(box)
    return box[0]
