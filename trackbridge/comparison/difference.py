"""A difference: one key that is not the same in all runs, with a value for each, and what it can be blamed for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from trackbridge.comparison.canonical import MISSING, Path, canonical, dotted
from trackbridge.comparison.keys import KeyRole

Section: TypeAlias = Literal["config", "seeds", "code", "data", "environment"]

DifferenceKind: TypeAlias = Literal["changed", "missing", "type_only"]
"""`changed`: two runs hold different values. `missing`: those that have the key agree. `type_only`: `1` and `1.0`."""

Attribution: TypeAlias = Literal["nuisance", "candidate cause", "aliased"]
"""What a difference in scores can be put down to this one for.

`nuisance`: to nothing, or to no setting: volatile keys, types, and seeds that vary between replicates. `aliased`: a
candidate cause that varies together with others over these runs, so that none of them can be told from the others.
"""


@dataclass(frozen=True, slots=True)
class DistinctValue:
    """One of the values a key takes, and the indices of the runs that have it."""

    value: Any
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values are not all the same; `values` has one per run, `MISSING` where it has no such key.

    `aliases` are the keys that vary together with it, where it is `aliased`.
    """

    section: Section
    path: Path
    kind: DifferenceKind
    role: KeyRole
    values: tuple[Any, ...]
    attribution: Attribution = "candidate cause"
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The path as one string, with dots inside a key escaped."""
        return dotted(self.path)

    def is_changed(self, index: int, reference: int) -> bool:
        """True where this run has another value, or another type of value, than the reference."""
        return bool(identity(self.values[index]) != identity(self.values[reference]))

    def distinct(self) -> tuple[DistinctValue, ...]:
        """The distinct values, the most frequent first."""
        found: dict[Any, list[int]] = {}
        for index, value in enumerate(self.values):
            found.setdefault(identity(value), []).append(index)
        folded = [DistinctValue(self.values[runs[0]], tuple(runs)) for runs in found.values()]
        return tuple(sorted(folded, key=lambda distinct: -len(distinct.runs)))


def identity(value: Any) -> Any:
    """A hashable form of a value, or of none, that is equal exactly where nothing differs."""
    return MISSING if value is MISSING else canonical(value)
