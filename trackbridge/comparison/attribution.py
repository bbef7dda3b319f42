"""Attribution: which differences could have made runs score differently, and which of them cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trackbridge.comparison.aliases import merged, partition
from trackbridge.comparison.difference import Attribution, Difference

_MADE_BY_THE_PIPELINE = ("training_arguments", "model")


def attributed(differences: Sequence[Difference]) -> list[Difference]:
    """The differences, each with its attribution and aliases over the runs they were found in.

    A seed is a nuisance where it varies between replicates, as it is meant to; where each setting has seeds of its
    own, seed and setting cannot be told apart.
    """
    told = [index for index, one in enumerate(differences) if not _is_nuisance(one)]
    setting = _settings([differences[index] for index in told])
    causes = [index for index in told if not _varies_between_replicates(differences[index], setting)]
    found = [replace(one, attribution="nuisance") for one in differences]
    # Config and environment may have keys of one name: the index tells these apart.
    paths = {(differences[index].section, *differences[index].path, str(index)): index for index in causes}
    for keys in merged({path: differences[index].values for path, index in paths.items()}):
        together = [paths[path] for path in keys]
        independent = _independent([differences[index] for index in together])
        for index in together:
            others = tuple(differences[other].key for other in sorted(together) if other != index)
            if len(independent) == 1:
                others = ()
            attribution: Attribution = "aliased" if others else "candidate cause"
            found[index] = replace(differences[index], attribution=attribution, aliases=others)
    return found


def _independent(differences: Sequence[Difference]) -> list[Difference]:
    """Those that do not merely follow from another one: from what a pipeline is told, it makes arguments and model."""
    if not any(one.path[0] == "pipeline" for one in differences):
        return list(differences)
    return [one for one in differences if one.section != "config" or one.path[0] not in _MADE_BY_THE_PIPELINE]


def _is_nuisance(difference: Difference) -> bool:
    # What is `1` in one run and `1.0` in another splits no replicates either.
    return difference.role == "volatile" or difference.kind == "type_only"


def _settings(differences: Sequence[Difference]) -> tuple[tuple[int, ...], ...] | None:
    """For each run the values of all that makes a setting: config and data; None where nothing of it differs."""
    parts = [one for one in differences if one.role == "config" and one.section in ("config", "data")]
    return tuple(zip(*(partition(one.values) for one in parts), strict=True)) or None


def _varies_between_replicates(difference: Difference, setting: Sequence[tuple[int, ...]] | None) -> bool:
    """Whether it is a seed of which two runs of one setting have different values."""
    if difference.role != "seed":
        return False
    if setting is None:
        return True
    codes = partition(difference.values)
    return len(set(zip(setting, codes, strict=True))) > len(set(setting))
