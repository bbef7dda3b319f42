"""
The diff of any number of runs: config by scope, seeds and environment, differences only.

One run is the reference that the others are read against. There is no cap on runs: a difference carries
one value per run, and `distinct` folds them for a table that has no room for all.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from trackbridge.comparison.canonical import Path, canonical, dotted, flatten, untyped
from trackbridge.comparison.keys import KeyRole, key_role
from trackbridge.errors import MisuseError
from trackbridge.store.records import RunRecord

Section: TypeAlias = Literal["config", "seeds", "environment"]

DifferenceKind: TypeAlias = Literal["changed", "missing", "type_only"]
"""`changed`: two runs hold different values. `missing`: those that have the key agree. `type_only`: `1` and `1.0`."""


class Missing(enum.Enum):
    """The mark of a key that a run does not have, which is not the same as a key that is null."""

    MISSING = "missing"


MISSING = Missing.MISSING


@dataclass(frozen=True, slots=True)
class DistinctValue:
    """One of the values a key takes, and the indices of the runs that have it."""

    value: Any
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values are not all the same; `values` has one per run, `MISSING` where it has no such key."""

    section: Section
    path: Path
    kind: DifferenceKind
    role: KeyRole
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The path as one string, with dots inside a key escaped."""
        return dotted(self.path)

    def is_changed(self, index: int, reference: int) -> bool:
        """True where this run has another value, or another type of value, than the reference."""
        return bool(_identity(self.values[index]) != _identity(self.values[reference]))

    def distinct(self) -> tuple[DistinctValue, ...]:
        """The distinct values, the most frequent first."""
        found: dict[Any, list[int]] = {}
        for index, value in enumerate(self.values):
            found.setdefault(_identity(value), []).append(index)
        folded = [DistinctValue(self.values[runs[0]], tuple(runs)) for runs in found.values()]
        return tuple(sorted(folded, key=lambda distinct: -len(distinct.runs)))


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What differs between runs. `reference` indexes the run the others are read against.

    `n_equal` counts the keys that all runs agree on, which are left out.
    """

    names: tuple[str, ...]
    reference: int
    differences: tuple[Difference, ...]
    n_equal: int

    @property
    def visible(self) -> tuple[Difference, ...]:
        """The differences that say something about the training: all but the volatile ones."""
        return tuple(difference for difference in self.differences if difference.role != "volatile")

    @property
    def n_volatile(self) -> int:
        """How many differences `visible` leaves out."""
        return len(self.differences) - len(self.visible)

    def in_section(self, section: Section) -> tuple[Difference, ...]:
        """The visible differences of one section."""
        return tuple(difference for difference in self.visible if difference.section == section)


def diff_runs(runs: Sequence[RunRecord], *, reference: int = 0) -> RunDiff:
    """What differs between two or more runs.

    Args:
        runs: any number of runs; one alone differs in nothing.
        reference: the index of the run that the others are read against.

    Raises:
        MisuseError: there is no run, or `reference` is none of them.
    """
    if not 0 <= reference < len(runs):
        raise MisuseError(f"the reference is run {reference} of {len(runs)}: expected an index of one of the runs")
    differences: list[Difference] = []
    n_equal = 0
    for section, trees in _sections(runs):
        leaves = [flatten(tree) for tree in trees]
        for path in dict.fromkeys(path for one in leaves for path in one):
            difference = _compare_key(section, path, leaves)
            if difference is None:
                n_equal += 1
            else:
                differences.append(difference)
    order = {"config": 0, "seeds": 1, "environment": 2}
    differences.sort(key=lambda difference: order[difference.section])
    return RunDiff(tuple(unique_names(runs)), reference, tuple(differences), n_equal)


def unique_names(runs: Sequence[RunRecord]) -> list[str]:
    """The runs' names, with the end of the id where several runs share one."""
    uses = Counter(run.name for run in runs)
    return [f"{run.name} ({run.run_id[-6:]})" if uses[run.name] > 1 else run.name for run in runs]


def _sections(runs: Sequence[RunRecord]) -> list[tuple[Section, list[Mapping[str, Any]]]]:
    seeds = [{"seeds": _known(dataclasses.asdict(run.seeds))} for run in runs]
    return [
        ("config", [run.config for run in runs]),
        ("seeds", [tree if tree["seeds"] else {} for tree in seeds]),
        ("environment", [run.environment for run in runs]),
    ]


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _compare_key(section: Section, path: Path, leaves: Sequence[Mapping[Path, Any]]) -> Difference | None:
    values = tuple(one.get(path, MISSING) for one in leaves)
    if _are_plainly_equal(values) or len({_identity(value) for value in values}) == 1:
        return None
    present = [value for value in values if value is not MISSING]
    kind: DifferenceKind = "changed"
    if len({untyped(value) for value in present}) == 1:
        kind = "missing" if len(present) < len(values) else "type_only"
    roles = {_role(section, path, one) for one in leaves if path in one}
    # A key counts as a seed only where it looks like one in every run.
    role: KeyRole = roles.pop() if len(roles) == 1 else "config"
    return Difference("seeds" if role == "seed" else section, path, kind, role, values)


def _are_plainly_equal(values: Sequence[Any]) -> bool:
    """Whether all are one and the same text or number, which needs no canonical form to be seen."""
    first = values[0]
    kind = type(first)
    return kind in (str, int, float, bool) and all(type(value) is kind and value == first for value in values)


def _role(section: Section, path: Path, leaves: Mapping[Path, Any]) -> KeyRole:
    if section != "environment":
        return key_role(path, leaves[path], leaves)
    return key_role(("environment", *path), leaves[path], {("environment", *known) for known in leaves})


def _identity(value: Any) -> Any:
    return MISSING if value is MISSING else canonical(value)
