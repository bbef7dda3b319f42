"""What a `.wandb` file says of its run before the first row: enough to know whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbridge.sources.base import SourceProblem
from trackbridge.sources.wandb_file import read_records
from trackbridge.sources.wandb_records import (
    Changes,
    Kind,
    RunTold,
    changes,
    kind_and_message,
    run_told,
)

# The field number 17 of a run record, as it stands in the bytes of one.
_RUN_FIELD = b"\x8a\x01"


@dataclass(slots=True)
class Head:
    """The run, as it was called when its first row was logged, and its config then."""

    told: RunTold
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for every file of the run: entity, project and id."""
        return "/".join(part for part in (self.told.entity, self.told.project, self.told.run_id) if part)


def read_head(path: Path) -> Head | None:
    """The head of a file; None when it holds no run.

    Raises:
        SourceRefused: it was made to do harm.
        OSError: it cannot be read.
    """
    head: Head | None = None
    for record in read_records(path):
        if isinstance(record, SourceProblem):
            continue
        try:
            kind, message = kind_and_message(record)
            if kind == Kind.RUN:
                head = Head(run_told(message), head.config if head else {})
                apply(head.config, head.told.config)
            elif kind == Kind.CONFIG and head:
                apply(head.config, changes(message))
            elif kind == Kind.HISTORY:
                break
        except ValueError:
            continue
    return head


def last_run_told(path: Path) -> RunTold | None:
    """The last run record of a file: what the run was called in the end."""
    last: RunTold | None = None
    for record in read_records(path):
        # Told from the bytes: taking every record apart to find a handful would take as long as reading them.
        if isinstance(record, bytes) and _RUN_FIELD in record[:16]:
            try:
                kind, message = kind_and_message(record)
                last = run_told(message) if kind == Kind.RUN else last
            except ValueError:
                continue
    return last


def apply(config: dict[str, Any], told: Changes) -> list[str]:
    """Apply what a record says to a config; the first names of what has changed.

    A number that comes again with another type (W&B's later records say 3 for 3.0) is the same number.
    """
    changed = []
    for path, value in told.updates:
        if path and path[0] != "_wandb" and _put(config, path, value):
            changed.append(path[0])
    for path in told.removed:
        if path and path[0] in config:
            _remove(config, path)
            changed.append(path[0])
    return list(dict.fromkeys(changed))


def _put(config: dict[str, Any], path: tuple[str, ...], value: Any) -> bool:
    place = config
    for name in path[:-1]:
        below = place.get(name)
        if not isinstance(below, dict):
            below = place[name] = {}
        place = below
    if path[-1] in place and place[path[-1]] == value and isinstance(value, bool) == isinstance(place[path[-1]], bool):
        return False
    place[path[-1]] = value
    return True


def _remove(config: dict[str, Any], path: tuple[str, ...]) -> None:
    place: Any = config
    for name in path[:-1]:
        place = place.get(name)
        if not isinstance(place, dict):
            return
    place.pop(path[-1], None)
