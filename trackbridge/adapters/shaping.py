"""What several adapters decide or reshape in the same way."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from trackbridge.adapters.base import Rejection, Row
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import (
    AnyEvent,
    ArtifactLogged,
    CheckpointSaved,
    EnvironmentCaptured,
    EventsDropped,
    MediaLogged,
    UnknownEvent,
)

_log = logging.getLogger(__name__)


Made = TypeVar("Made")
Translations: TypeAlias = Mapping[type, Callable[[int, Any], Iterator[Made | Rejection]]]
"""By the type of an event, what a tracker makes of it; the number is the row's."""


def translated(
    row: Row, run_folder: Path, translations: Translations[Made], upload: Callable[[int, Files], Iterator[Made]]
) -> Iterator[Made | Rejection]:
    """What a tracker makes of a row and of the files that go with it, and what of it it cannot carry."""
    if isinstance(row.event, UnknownEvent):
        yield unknown_kind(row)
    elif translation := translations.get(type(row.event)):
        yield from translation(row.number, row.event)
    files = files_with(row, run_folder)
    if isinstance(files, Rejection):
        yield files
    elif files:
        yield from upload(row.number, files)


@dataclass(frozen=True, slots=True)
class Files:
    """The files that go with a row: those of an artifact, or of a checkpoint that is to be uploaded.

    Attributes:
        event: what they come from.
        what: `artifact` or `checkpoint`.
        name: the artifact's name, or `step-<n>`.
        path: the file, or the folder of them all.
    """

    event: ArtifactLogged | CheckpointSaved
    what: Literal["artifact", "checkpoint"]
    name: str
    path: Path

    def inside(self) -> dict[str, Path]:
        """The file by its name, or the files of the folder by their paths in it; none when there is nothing."""
        if self.path.is_file():
            return {self.path.name: self.path}
        files = (file for file in sorted(self.path.rglob("*")) if file.is_file())
        return {file.relative_to(self.path).as_posix(): file for file in files}


def files_with(row: Row, run_folder: Path) -> Files | Rejection | None:
    """What is to be uploaded with a row; a rejection when it is gone."""
    event = row.event
    if isinstance(event, ArtifactLogged):
        files = Files(event, "artifact", event.name, run_folder / event.path)
    elif isinstance(event, CheckpointSaved) and row.upload is not None:
        files = Files(event, "checkpoint", f"step-{event.step}", checkpoint_folder(run_folder, event))
    else:
        return None
    if files.inside():
        return files
    return Rejection(row.number, kind_of(event), files.name, f"{files.path} is gone")


def checkpoint_folder(run_folder: Path, checkpoint: CheckpointSaved) -> Path:
    """Where the bytes of a checkpoint are: the run's own copy while there is one, else where it was saved."""
    kept = run_folder / checkpoint.kept if checkpoint.kept else None
    return kept if kept is not None and kept.is_dir() else run_folder / checkpoint.path


def patch_of(event: EnvironmentCaptured, run_folder: Path) -> Path | None:
    """The file of the changes that were not committed, where there is one."""
    git = event.environment.get("git")
    patch = run_folder / str(git.get("patch") or "") if isinstance(git, dict) else None
    return patch if patch is not None and patch.is_file() else None


def told_dropped(event: EventsDropped) -> str:
    """What the disk refused, as a sentence such as `7 metrics_logged: disk full`."""
    return f"{', '.join(f'{count} {kind}' for kind, count in event.counts.items())}: {event.reason}"


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


def spelled(value: float) -> float | str:
    """The value; "NaN", "Infinity" and "-Infinity" where JSON has no number for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def warn_if_untested(package: str, version: str, tested: tuple[str, str]) -> None:
    """Say so, in the log, when the installed SDK lies outside of the first and last tested version."""
    if told := told_if_untested(package, version, tested):
        _log.warning(told)


def told_if_untested(package: str, version: str, tested: tuple[str, str]) -> str:
    """A sentence, when the installed SDK lies outside of the first and last tested version; else nothing."""
    first, last = tested
    if version_numbers(first) <= version_numbers(version) <= version_numbers(last):
        return ""
    versions = first if first == last else f"{first} to {last}"
    way_out = f"If it fails: pip install {package}=={last}"
    return f"{package} {version} is installed; its adapter is tested with {versions}. {way_out}"


def version_numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare, such as (0, 31, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def kind_of(event: AnyEvent) -> str:
    """The kind of an event, such as `media_logged`."""
    return event.kind if isinstance(event, UnknownEvent) else str(event.__struct_config__.tag)


def unknown_kind(row: Row) -> Rejection:
    """The rejection of an event that this version does not know."""
    return Rejection(row.number, kind_of(row.event), "event", "this version of trackbridge does not know the kind")


def media_gone(row: int, event: MediaLogged) -> Rejection:
    """The rejection of media whose file is not there any more."""
    return Rejection(row, "media_logged", event.name, f"its file {event.path} is gone")


def media_unreadable(row: int, event: MediaLogged, error: Exception) -> Rejection:
    """The rejection of media whose file is not what it should be."""
    return Rejection(row, "media_logged", event.name, f"its file {event.path} cannot be read: {error}")


@contextmanager
def disk_trouble_passes(place: Path) -> Iterator[None]:
    """A disk that is full or away for now is waited for, as a server would be."""
    try:
        yield
    except OSError as error:
        raise TransientDeliveryError(f"{place} cannot be written: {error}") from error


def _spelled(value: Any) -> Any:
    return value["$float"] if isinstance(value, dict) and list(value) == ["$float"] else value


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
