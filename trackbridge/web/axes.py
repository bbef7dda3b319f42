"""Axes: the config keys of runs that are worth one, in a picture of parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trackbridge.comparison.aliases import are_numbers, level, merged
from trackbridge.comparison.canonical import MISSING, dotted
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.keys import causes

MAX_NAMES = 12
# What a person chose comes before what followed from it.
_CHOSEN = ("pipeline", "script", "training_arguments")


def parameter_axes(groups: Sequence[ReplicateGroup]) -> list[str]:
    """The keys that could be causes and take two values or more; one of those that vary together.

    A text that has many values, such as a path, is a name and no parameter.
    """
    configs = [causes(group.runs[0]) for group in groups]
    columns = {}
    for path in dict.fromkeys(path for config in configs for path in config):
        values = tuple(config.get(path, MISSING) for config in configs)
        n_levels = len({level(value) for value in values if value is not MISSING})
        if n_levels > 1 and (n_levels <= MAX_NAMES or are_numbers(values)) and path[0] != "data":
            columns[path] = values
    # Of aliases the first number leads: a picture says more of it than of names.
    leading = [min(members, key=lambda path: not are_numbers(columns[path])) for members in merged(columns)]
    leading.sort(key=lambda path: _CHOSEN.index(path[0]) if path[0] in _CHOSEN else len(_CHOSEN))
    return [dotted(path) for path in leading]


def short_titles(keys: Sequence[str]) -> list[str]:
    """Per key, as few of its last parts as tell it apart from the others."""
    ends = {key: [key.split(".")[-n:] for n in range(1, key.count(".") + 2)] for key in keys}
    uses = Counter(tuple(end) for key in dict.fromkeys(keys) for end in ends[key])
    return [".".join(next((end for end in ends[key] if uses[tuple(end)] == 1), ends[key][-1])) for key in keys]
