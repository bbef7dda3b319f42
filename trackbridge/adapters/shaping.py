"""What several adapters decide or reshape in the same way."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trackbridge.adapters.base import Rejection, Row
from trackbridge.events.models import CheckpointSaved
from trackbridge.events.names import lower_is_better

_log = logging.getLogger(__name__)

CheckpointPolicy: TypeAlias = Literal["none", "best", "all"]
"""Which checkpoints are uploaded: `best` means each that beats all before it by its first metric."""


class CheckpointChoice:
    """Decides which checkpoints of a run are uploaded. `best` is the score to beat, higher is better; a tracker
    that can keep it gives it back after a restart.
    """

    def __init__(self, policy: CheckpointPolicy, *, best: float | None = None) -> None:
        self._policy = policy
        self.best = best

    def wants(self, checkpoint: CheckpointSaved) -> bool:
        """True when this one is to be uploaded; ask once per checkpoint, in order."""
        if self._policy != "best":
            return self._policy == "all"
        for metric, value in checkpoint.metrics.items():
            score = -value if lower_is_better(metric) else value
            if self.best is None or score > self.best:
                self.best = score
                return True
            return False
        return False


def checkpoint_folder(run_folder: Path, checkpoint: CheckpointSaved) -> Path:
    """Where the bytes of a checkpoint are: the run's own copy while there is one, else where it was saved."""
    kept = run_folder / checkpoint.kept if checkpoint.kept else None
    return kept if kept is not None and kept.is_dir() else run_folder / checkpoint.path


def leaves(nested: Mapping[str, Any], prefix: str = "", *, separator: str = "/") -> Iterator[tuple[str, Any]]:
    """The values of a nested config by path, such as `optimizer/lr`; a list or an empty object becomes JSON text."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}{separator}", separator=separator)
        elif isinstance(value, (Mapping, list)):
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)
        else:
            yield f"{prefix}{key}", value


def read_table(content: bytes) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a table's file; numbers that are not finite are the texts NaN, Infinity and -Infinity.

    Raises:
        ValueError: the content is no table.
    """
    table = json.loads(content)
    if not isinstance(table, dict) or not {"columns", "rows"} <= table.keys():
        raise ValueError("it is no table: expected an object with columns and rows")
    return table["columns"], [[_spelled(value) for value in row] for row in table["rows"]]


def table_as_csv(content: bytes) -> bytes:
    """A table's file as CSV; nested cells are JSON.

    Raises:
        ValueError: the content is no table.
    """
    columns, rows = read_table(content)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def files_of(path: Path) -> dict[str, Path]:
    """A file by its name, or the files of a folder by their paths in it; none when there is nothing."""
    if path.is_file():
        return {path.name: path}
    return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}


def spelled(value: float) -> float | str:
    """The value; "NaN", "Infinity" and "-Infinity" where JSON has no number for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def warn_if_untested(package: str, version: str, tested: tuple[str, str]) -> None:
    """Say so, in the log, when the installed SDK lies outside of the first and last tested version."""
    first, last = tested
    if not version_numbers(first) <= version_numbers(version) <= version_numbers(last):
        told = "%s %s is installed; its adapter is tested with %s to %s. If it fails: pip install %s==%s"
        _log.warning(told, package, version, first, last, package, last)


def version_numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare, such as (0, 31, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def unknown_kind(row: Row) -> Rejection:
    """The rejection of an event that this version does not know."""
    kind = getattr(row.event, "kind", type(row.event).__name__)
    return Rejection(row.number, kind, "event", "this version of trackbridge does not know the kind")


def _spelled(value: Any) -> Any:
    return value["$float"] if isinstance(value, dict) and list(value) == ["$float"] else value


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
