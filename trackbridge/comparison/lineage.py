"""Descent: which runs a run builds on, at which step, and the digest of what it took from them.

The pipeline records it in the config scope `lineage`, with that of the runs it names, so that it can be told without
them. Whatever else somebody logged under that name is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackbridge.store.records import RunRecord


@dataclass(frozen=True, slots=True)
class Descent:
    """The run `run_id` took `role` (weights, or the labels of a teacher) from the weights another kept at `step`.

    `sha256` is that of these weights. Of weights, `carried` and `own` count the parameters that came along and that the
    run drew itself, by the part of the model they are in.
    """

    run: str
    run_id: str
    builds_on: str
    builds_on_id: str
    role: str
    step: int
    sha256: str
    carried: Mapping[str, int]
    own: Mapping[str, int]

    @property
    def layers(self) -> tuple[int, int] | None:
        """How many layers came along, and of how many; None where no weights were taken."""
        parts = {part for part in (*self.carried, *self.own) if part.startswith("layer ")}
        came = [part for part in parts if part in self.carried and part not in self.own]
        return (len(came), len(parts)) if parts else None


def lineage_of(runs: Sequence[RunRecord], names: Sequence[str]) -> tuple[Descent, ...]:
    """What each run builds on, and behind it, once, what those build on in turn; empty where none builds on any."""
    found: dict[tuple[str, str, str], Descent] = {}
    generation = [
        (run.run_id, name, run.config["lineage"])
        for run, name in zip(runs, names, strict=True)
        if "lineage" in run.config
    ]
    while generation:
        earlier = []
        for run_id, name, lineage in generation:
            for role, told in lineage.items():
                if _is_descent(told):
                    found.setdefault((run_id, role, told["run_id"]), _descent(run_id, name, role, told))
                    earlier.append((told["run_id"], told["run"], told.get("lineage", {})))
        generation = earlier
    return tuple(found.values())


def _descent(run_id: str, run: str, role: str, told: Mapping[str, Any]) -> Descent:
    carried, own = told.get("carried", {}), told.get("own", {})
    return Descent(run, run_id, told["run"], told["run_id"], role, told["step"], told["sha256"], carried, own)


def _is_descent(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    texts = [value.get(name) for name in ("run", "run_id", "sha256")]
    blocks = [value.get(name, {}) for name in ("carried", "own", "lineage")]
    return (
        isinstance(value.get("step"), int)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(block, Mapping) for block in blocks)
    )
