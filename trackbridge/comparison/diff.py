"""
The diff of any number of runs: config by scope, seeds, code, data and environment, differences only.

One run is the reference that the others are read against. There is no cap on runs: a difference carries
one value per run, and `distinct` folds them for a table that has no room for all.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from trackbridge.comparison.attribution import attributed
from trackbridge.comparison.canonical import MISSING, Path, flatten, untyped
from trackbridge.comparison.data_notes import notes_on_data
from trackbridge.comparison.difference import Difference, DifferenceKind, Section, identity
from trackbridge.comparison.keys import KeyRole, key_role
from trackbridge.comparison.note import Note
from trackbridge.errors import MisuseError
from trackbridge.store.records import RunRecord

# Scopes of the config and parts of the environment that are sections of their own.
_SECTION_OF: Mapping[str, Section] = {"data": "data", "git": "code"}


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What differs between runs. `reference` indexes the run the others are read against.

    `n_equal` counts the keys that are identical in all runs, which are left out. `notes` warn of data that differ.
    """

    names: tuple[str, ...]
    reference: int
    differences: tuple[Difference, ...]
    n_equal: int
    notes: tuple[Note, ...] = ()

    @property
    def visible(self) -> tuple[Difference, ...]:
        """The differences that say something about the training: all but the volatile ones."""
        return tuple(difference for difference in self.differences if difference.role != "volatile")

    @property
    def n_volatile(self) -> int:
        """How many differences `visible` leaves out."""
        return len(self.differences) - len(self.visible)

    @property
    def causes(self) -> tuple[tuple[Difference, ...], ...]:
        """The candidate causes; those that cannot be told apart are one of several keys."""
        found: dict[Hashable, list[Difference]] = {}
        for index, one in enumerate(self.differences):
            if one.attribution != "nuisance":
                # Config and environment may have keys of one name, which are no aliases for that.
                found.setdefault(frozenset((one.key, *one.aliases)) if one.aliases else index, []).append(one)
        return tuple(map(tuple, found.values()))

    def in_section(self, *sections: Section) -> tuple[Difference, ...]:
        """The visible differences of these sections."""
        return tuple(difference for difference in self.visible if difference.section in sections)


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
    for origin, leaves in _leaves(runs):
        for path in dict.fromkeys(path for one in leaves for path in one):
            difference = _compare_key(origin, path, leaves)
            if difference is None:
                n_equal += 1
            else:
                differences.append(difference)
    order = get_args(Section)
    differences.sort(key=lambda difference: order.index(difference.section))
    names = unique_names(runs)
    return RunDiff(tuple(names), reference, tuple(attributed(differences)), n_equal, tuple(notes_on_data(runs, names)))


def unique_names(runs: Sequence[RunRecord]) -> list[str]:
    """The runs' names, with the end of the id where several runs share one."""
    uses = Counter(run.name for run in runs)
    return [f"{run.name} ({run.run_id[-6:]})" if uses[run.name] > 1 else run.name for run in runs]


def _leaves(runs: Sequence[RunRecord]) -> Iterator[tuple[Section, list[Mapping[Path, Any]]]]:
    """Every run's values by path, one list for each place they were recorded in."""
    yield "config", [flatten(run.config) for run in runs]
    yield "seeds", [flatten({"seeds": _known(dataclasses.asdict(run.seeds))}) for run in runs]
    # The rules on keys know those of the environment by this word before them.
    yield "environment", [flatten(_filled(run.environment), ("environment",)) for run in runs]


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _filled(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts but those that hold nothing, which are as good as not recorded."""
    return {name: part for name, part in parts.items() if not (isinstance(part, Mapping) and not part)}


def _compare_key(origin: Section, path: Path, leaves: Sequence[Mapping[Path, Any]]) -> Difference | None:
    values = tuple(one.get(path, MISSING) for one in leaves)
    if _are_plainly_equal(values) or len({identity(value) for value in values}) == 1:
        return None
    present = [value for value in values if value is not MISSING]
    kind: DifferenceKind = "changed"
    if len({untyped(value) for value in present}) == 1:
        kind = "missing" if len(present) < len(values) else "type_only"
    roles = {key_role(path, one[path], one) for one in leaves if path in one}
    # A key counts as a seed only where it looks like one in every run.
    role: KeyRole = roles.pop() if len(roles) == 1 else "config"
    shown = path[1:] if origin == "environment" else path
    section = "seeds" if role == "seed" else _SECTION_OF.get(shown[0], origin)
    return Difference(section, shown, kind, role, values)


def _are_plainly_equal(values: Sequence[Any]) -> bool:
    """Whether all are one and the same text or number, which needs no canonical form to be seen."""
    first = values[0]
    kind = type(first)
    return kind in (str, int, float, bool) and all(type(value) is kind and value == first for value in values)
