"""Parameters: the config keys that differ between settings, as columns of numbers that scores can be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.aliases import are_numbers, level, merged, number_of, partition
from trackbridge.comparison.canonical import MISSING, Path, dotted
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.keys import causes


@dataclass(frozen=True)
class Parameter:
    """A config key that takes several values.

    `values` has one per setting, `MISSING` where it has no such key. `aliases` are keys that split the settings
    exactly alike, so that nothing can tell their effects apart. `basis` is float[settings, k]: orthonormal columns of
    mean 0 that hold whatever shape its effect may have.
    """

    key: str
    values: tuple[Any, ...]
    aliases: tuple[str, ...]
    is_numeric: bool
    basis: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A config key that differs and yet can tell nothing, and why."""

    key: str
    reason: str


def parameters_of(groups: Sequence[ReplicateGroup]) -> tuple[list[Parameter], list[Dropped]]:
    """The parameters that vary between settings, aliases merged, and the keys that are of no use.

    Which key leads among aliases: the first one in the config that is a number.
    """
    columns = _columns([causes(group.runs[0]) for group in groups])
    parameters: list[Parameter] = []
    dropped: list[Dropped] = []
    for members in merged(columns):
        leading, *others = sorted(members, key=lambda path: not are_numbers(columns[path]))
        values, is_numeric = columns[leading], are_numbers(columns[leading])
        basis = orthonormal(_numeric_columns(values) if is_numeric else _indicators(values))
        if basis.shape[1] == 0 or (not is_numeric and basis.shape[1] > len(values) / 2):
            dropped += [Dropped(dotted(path), "it names nearly every setting") for path in members]
        else:
            aliases = tuple(map(dotted, others))
            parameters.append(Parameter(dotted(leading), values, aliases, is_numeric, basis))
    return parameters, dropped


def orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """An orthonormal basis of mean 0 for what the columns of float[n, k] span beside a constant."""
    centred = columns - columns.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))], dtype=np.float64)


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The ranks from 1 on, ties at their mean rank: float[n]."""
    numbers = np.asarray(values, dtype=np.float64)
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places], dtype=np.float64)


def _columns(configs: Sequence[Mapping[Path, Any]]) -> dict[Path, tuple[Any, ...]]:
    found: dict[Path, tuple[Any, ...]] = {}
    for path in dict.fromkeys(path for config in configs for path in config):
        values = tuple(config.get(path, MISSING) for config in configs)
        if len({level(value) for value in values}) > 1:
            found[path] = values
    return found


def _numeric_columns(values: Sequence[Any]) -> NDArray[np.float64]:
    """Rank and squared rank, which see a U as well as a slope; where a key is absent, a column of its own."""
    present = np.array([value is not MISSING for value in values])
    placed = ranks([number_of(value) or 0 for value in values if value is not MISSING])
    centred = np.zeros(len(values))
    centred[present] = (placed - placed.mean()) / len(values)
    squared = np.where(present, centred**2, 0.0)
    absent = [] if present.all() else [(~present).astype(np.float64)]
    return np.column_stack([centred, squared, *absent])


def _indicators(values: Sequence[Any]) -> NDArray[np.float64]:
    codes = np.array(partition(values))
    return np.asarray(np.eye(int(codes.max()) + 1)[codes], dtype=np.float64)
