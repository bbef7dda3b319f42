"""Several comparisons at once: the more are shown, the more often chance alone makes one of them look real."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being one family, in the same order: the chance of even one false claim stays below.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than the one before, or
    larger than 1. It holds however the tests depend on each other.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted
