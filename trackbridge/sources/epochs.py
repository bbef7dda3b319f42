"""Epochs that a tracker keeps as a series of their own: given back to the points of their steps."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict


class Epochs:
    """Epochs by step. Points of one step share its epoch: the last one told by then, else the first."""

    def __init__(self) -> None:
        self._told: dict[int, list[tuple[int, float]]] = defaultdict(list)

    def tell(self, step: int, t: int, epoch: float) -> None:
        """The epoch at a step and a time."""
        insort(self._told[step], (t, epoch))

    def at(self, step: int, t: int) -> float | None:
        """The epoch of what was logged at a step and a time."""
        told = self._told.get(step)
        return told[max(0, bisect_right(told, (t, float("inf"))) - 1)][1] if told else None
