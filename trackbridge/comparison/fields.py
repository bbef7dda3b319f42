"""
Fields: everything a table of runs can show, sort by or filter on, under the name a person would type.

`status`, `took`, `seed.dropout` are facts of a run; `eval/mcc` or `best(eval/mcc)` and `last(eval/mcc)` are its scores;
`script.lr`, or `lr` where no other key ends so, is a key of its config.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from trackbridge.comparison.canonical import dotted, flatten
from trackbridge.comparison.run_scores import best_point
from trackbridge.errors import MisuseError, NotFoundError, nearest
from trackbridge.store.records import RunRecord

Kind: TypeAlias = Literal["fact", "best", "last", "config"]

_SCORE = re.compile(r"(best|last)\((.+)\)")
_FACTS: dict[str, Callable[[RunRecord], Any]] = {
    "name": lambda run: run.name,
    "status": lambda run: run.status,
    "project": lambda run: run.project,
    "group": lambda run: run.group,
    "id": lambda run: run.run_id,
    "notes": lambda run: run.notes,
    "tag": lambda run: list(run.tags) or None,
    "started": lambda run: run.started_ns / 1e9 or None,
    "took": lambda run: run.duration_s,
    "steps": lambda run: max((one.last_step for one in run.metrics.values()), default=0),
    "seed.all": lambda run: run.seeds.all,
    "seed.init": lambda run: run.seeds.init,
    "seed.data": lambda run: run.seeds.data,
    "seed.dropout": lambda run: run.seeds.dropout,
    "problems": lambda run: len(run.problems) + sum(run.dropped.values()),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to know of each run. `key` names it for ever, `read` gives a run's value, None where it has none."""

    key: str
    title: str
    kind: Kind
    read: Callable[[RunRecord], Any]


class Fields:
    """The fields of the runs it was shown last. Keeps what it flattened of configs that did not change."""

    def __init__(self) -> None:
        self._configs: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self._metrics: set[str] = set()
        self._keys: dict[str, str] = {}

    def learn(self, runs: Iterable[RunRecord]) -> None:
        """Take these runs as all there are."""
        configs: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        metrics: set[str] = set()
        for run in runs:
            known = self._configs.get(run.run_id)
            is_same = known is not None and known[0] is run.config
            configs[run.run_id] = known if known and is_same else (run.config, _leaves(run.config))
            metrics.update(run.metrics)
        # Whole at once: another thread may be reading.
        self._configs, self._metrics = configs, metrics
        self._keys = _titles({key for _, leaves in configs.values() for key in leaves})

    @property
    def metrics(self) -> set[str]:
        """The names of all metrics."""
        return self._metrics

    def varying(self, runs: Sequence[RunRecord]) -> list[str]:
        """The config keys in which these runs are not all equal, in alphabetical order."""
        leaves = [self._of(run) for run in runs]
        keys = sorted({key for one in leaves for key in one})
        return [key for key in keys if _differ(one.get(key) for one in leaves)]

    def config_keys(self) -> list[str]:
        """All config keys, in alphabetical order."""
        return sorted(self._keys)

    def named(self, name: str) -> Field:
        """The field of this name.

        Raises:
            NotFoundError: there is none; names the nearest.
            MisuseError: it is the end of several config keys; names these.
        """
        if name in _FACTS:
            return Field(name, name, "fact", _FACTS[name])
        asked = _SCORE.fullmatch(name)
        if asked and asked[2] in self._metrics:
            return _last(asked[2]) if asked[1] == "last" else _best(asked[2])
        if name in self._metrics:
            return _best(name)
        ending = [name] if name in self._keys else [key for key in self._keys if key.endswith(f".{name}")]
        if len(ending) == 1:
            return self._config_field(ending[0])
        if ending:
            raise MisuseError(f"{name!r} could be {', '.join(sorted(ending)[:6])}: write one of them out")
        raise NotFoundError(f"no run has a field {name!r}{nearest(name, [*_FACTS, *self._metrics, *self._keys])}")

    def _config_field(self, key: str) -> Field:
        return Field(key, self._keys[key], "config", lambda run: self._of(run).get(key))

    def _of(self, run: RunRecord) -> dict[str, Any]:
        known = self._configs.get(run.run_id)
        return known[1] if known else _leaves(run.config)


def _best(metric: str) -> Field:
    def read(run: RunRecord) -> float | None:
        point = best_point(run.metrics[metric]) if metric in run.metrics else None
        return point.value if point else None

    return Field(f"best({metric})", f"best {metric}", "best", read)


def _last(metric: str) -> Field:
    def read(run: RunRecord) -> float | None:
        return run.metrics[metric].last if metric in run.metrics else None

    return Field(f"last({metric})", f"last {metric}", "last", read)


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    # The same few hundred keys occur in thousands of runs.
    return {sys.intern(dotted(path)): value for path, value in flatten(config).items()}


def _titles(keys: set[str]) -> dict[str, str]:
    """Per key, its last part where that is told apart from all others', else all of it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    uses: dict[str, int] = {}
    for part in last.values():
        uses[part] = uses.get(part, 0) + 1
    return {key: part if uses[part] == 1 else key for key, part in last.items()}


def _differ(values: Iterable[Any]) -> bool:
    iterator = iter(values)
    first = next(iterator, None)
    return any(value is not first and repr(value) != repr(first) for value in iterator)
