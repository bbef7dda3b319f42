"""Aliases: keys that vary together, so that nothing can tell their effects apart.

The one definition of it, for the diff of runs and for the importance of parameters.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trackbridge.comparison.canonical import MISSING, PLAIN_TYPES, Missing, Path, untyped


def level(value: Any) -> Hashable:
    """What a value counts as: `1`, `1.0` and `"1"` are one level, a key that is not there is a level of its own."""
    if value is MISSING:
        return Missing.MISSING
    if type(value) not in PLAIN_TYPES:
        return untyped(value)
    # The type is a part of what is looked up, since 1 == 1.0 == True.
    return _plain_level((type(value), value))


def partition(values: Sequence[Any]) -> tuple[int, ...]:
    """Which of the values are alike: the number of its level for each, counted from 0 in order of appearance."""
    codes: dict[Hashable, int] = {}
    return tuple(codes.setdefault(level(value), len(codes)) for value in values)


def number_of(value: Any) -> int | float | None:
    """The number that a value is, or is written as; None for anything else, NaN among it."""
    found = level(value)
    return found[1] if isinstance(found, tuple) and found[0] == "number" and found[1] != "NaN" else None


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether every value that is there is a number or written as one."""
    return all(number_of(value) is not None for value in values if value is not MISSING)


def merged(columns: Mapping[Path, Sequence[Any]]) -> list[list[Path]]:
    """The keys in lists of aliases: those that split the runs alike and, as numbers, put them in one order.

    The order, or its reverse, has to be the same too: where every run draws its numbers anew, as in a random search,
    each key splits all runs from each other, and is yet told from the next one.
    """
    alike: dict[tuple[int, ...], dict[tuple[int, ...] | None, list[Path]]] = {}
    for key, values in columns.items():
        split = partition(values)
        alike.setdefault(split, {}).setdefault(_order(values, split), []).append(key)
    found: list[list[Path]] = []
    for by_order in alike.values():
        words = by_order.pop(None, [])
        # A word that follows two numbers in different orders is an alias of both; it is told with the first by name.
        numbers = sorted(by_order.values(), key=min)
        found += [[*numbers[0], *words], *numbers[1:]] if numbers else [words]
    return found


def _order(values: Sequence[Any], split: Sequence[int]) -> tuple[int, ...] | None:
    """The levels in the order of their numbers, the same for an order and its reverse; None for anything else."""
    if MISSING in values or not are_numbers(values):
        return None
    numbers = {code: number_of(value) or 0 for code, value in zip(split, values, strict=True)}
    upwards = tuple(sorted(numbers, key=numbers.__getitem__))
    return min(upwards, upwards[::-1])


# A thousand runs have few values of a key, and what a value counts as is slow to work out.
@lru_cache(maxsize=16_384)
def _plain_level(typed: tuple[type[Any], Any]) -> Hashable:
    return untyped(typed[1])
