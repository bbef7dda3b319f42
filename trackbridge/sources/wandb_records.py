"""
The records of a `.wandb` file by their meaning, in the few fields that are read.

Source: wandb_internal.proto of wandb 0.31 (github.com/wandb/wandb); the numbers are those of its fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from trackbridge.errors import SourceRefused
from trackbridge.sources.json_values import parsed
from trackbridge.sources.protobuf import as_bytes, as_float, as_int, as_text, fields

MAX_DEPTH = 200

Path: TypeAlias = tuple[str, ...]
"""Where a value belongs: one name, or several for what lies deeper."""


class Kind(IntEnum):
    """The kinds of records that are read, by the number of their field."""

    HISTORY = 2
    SUMMARY = 3
    CONFIG = 5
    FILES = 6
    STATS = 7
    ARTIFACT = 8
    ALERT = 10
    TELEMETRY = 11
    METRIC = 12
    OUTPUT_RAW = 13
    RUN = 17
    EXIT = 18
    PREEMPTING = 23
    USE_ARTIFACT = 25
    ENVIRONMENT = 26
    OUTPUT_LOGGER = 27


_KINDS = frozenset(map(int, Kind))


class Item(NamedTuple):
    """A value at its place, as JSON has it."""

    path: Path
    value: Any


class Changes(NamedTuple):
    """What a record of config or summary sets, and what it removes."""

    updates: list[Item]
    removed: list[Path]


def kind_and_message(record: bytes) -> tuple[int, bytes]:
    """Which kind a record is, and its message; kind 0 for those that nobody reads.

    Raises:
        ValueError: it is no record.
    """
    for number, value in fields(record):
        if number in _KINDS:
            return number, as_bytes(value)
    return 0, b""


def item(message: bytes) -> Item:
    """A value of history, config, summary or system metrics, typed where the record has types.

    Raises:
        ValueError: it is damaged.
        SourceRefused: it is nested too deep.
    """
    key: Path = ()
    nested: list[str] = []
    value: Any = None
    for number, content in fields(message):
        if number == 1:
            key = (as_text(content),)
        elif number == 2:
            nested.append(as_text(content))
        elif number in (4, 5):
            # `integer` is zigzag-encoded.
            raw = as_int(content) & 0xFFFFFFFFFFFFFFFF
            value = bool(raw) if number == 4 else (raw >> 1) ^ -(raw & 1)
        elif number == 6:
            value = as_float(content)
        elif number == 7:
            value = as_text(content)
        elif number == 8 or (number == 16 and value is None):
            value = parsed(as_bytes(content))
    if len(nested) > MAX_DEPTH:
        raise SourceRefused(f"a value is nested {len(nested)} levels deep")
    return Item(tuple(nested) or key, value)


def changes(message: bytes) -> Changes:
    """What a config or summary record sets and removes.

    Raises:
        ValueError: it is damaged.
        SourceRefused: it is nested too deep.
    """
    found = Changes([], [])
    for number, content in fields(message):
        if number == 1:
            found.updates.append(item(as_bytes(content)))
        elif number == 2:
            found.removed.append(item(as_bytes(content)).path)
    return found


@dataclass(slots=True)
class RunTold:
    """A run record: what the run is called and where it belongs."""

    run_id: str = ""
    entity: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    notes: str = ""
    sweep_id: str = ""
    started_ns: int = 0
    is_resumed: bool = False
    tags: list[str] = field(default_factory=list)
    config: Changes = field(default_factory=lambda: Changes([], []))


_RUN_TEXTS = {
    1: "run_id", 2: "entity", 3: "project", 6: "group", 7: "job_type", 8: "name", 9: "notes", 12: "sweep_id"
}  # fmt: skip


def run_told(message: bytes) -> RunTold:
    """A run record.

    Raises:
        ValueError: it is damaged.
    """
    told = RunTold()
    for number, content in fields(message):
        if number in _RUN_TEXTS:
            setattr(told, _RUN_TEXTS[number], as_text(content))
        elif number == 4:
            told.config = changes(as_bytes(content))
        elif number == 10:
            told.tags.append(as_text(content))
        elif number == 17:
            told.started_ns = time_ns(as_bytes(content))
        elif number == 18:
            told.is_resumed = bool(content)
    return told


class Stats(NamedTuple):
    """A sample of the machine."""

    t: int
    items: list[Item]


def stats(message: bytes) -> Stats:
    """A record of system metrics."""
    t, items = 0, []
    for number, content in fields(message):
        if number == 2:
            t = time_ns(as_bytes(content))
        elif number == 3:
            key, value = "", b"null"
            for inner, part in fields(as_bytes(content)):
                key, value = (as_text(part), value) if inner == 1 else (key, as_bytes(part))
            items.append(Item((key,), parsed(value)))
    return Stats(t, items)


class AxisTold(NamedTuple):
    """A `define_metric`: a name or a pattern such as `eval/*`, and the metric that is its step."""

    name: str
    is_pattern: bool
    step_metric: str
    has_summary: bool


def axis_told(message: bytes) -> AxisTold:
    """A metric record."""
    told = dict(fields(message))
    name, pattern, step = (as_text(told.get(number, b"")) for number in (1, 2, 4))
    return AxisTold(pattern or name, bool(pattern), step, 7 in told)


@dataclass(slots=True)
class ArtifactFile:
    """A file of an artifact: its path there, and where it lay on the machine (or a reference to elsewhere)."""

    path: str = ""
    digest: str = ""
    reference: str = ""
    size_bytes: int = 0
    local_path: str = ""


@dataclass(slots=True)
class ArtifactTold:
    """A record of an artifact that the run logged."""

    type: str = ""
    name: str = ""
    description: str = ""
    metadata: str = ""
    aliases: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    files: list[ArtifactFile] = field(default_factory=list)


def artifact_told(message: bytes) -> ArtifactTold:
    """An artifact record."""
    told, texts = ArtifactTold(), {4: "type", 5: "name", 7: "description", 8: "metadata"}
    for number, content in fields(message):
        if number in texts:
            setattr(told, texts[number], as_text(content))
        elif number in (11, 19):
            (told.aliases if number == 11 else told.tags).append(as_text(content))
        elif number == 12:
            told.files = [_artifact_file(as_bytes(entry)) for inner, entry in fields(as_bytes(content)) if inner == 4]
    return told


def _artifact_file(message: bytes) -> ArtifactFile:
    file, texts = ArtifactFile(), {1: "path", 2: "digest", 3: "reference", 6: "local_path"}
    for number, content in fields(message):
        if number in texts:
            setattr(file, texts[number], as_text(content))
        elif number == 4:
            file.size_bytes = as_int(content)
    return file


class FileTold(NamedTuple):
    """A file of the run's folder `files/`; `is_media` for those that history names too."""

    path: str
    is_media: bool


def files_told(message: bytes) -> Iterator[FileTold]:
    """The files of a files record."""
    for number, content in fields(message):
        if number == 1:
            told = dict(fields(as_bytes(content)))
            yield FileTold(as_text(told.get(1, b"")), told.get(3) == 2)


def texts(message: bytes, names: dict[int, str], *, repeated: str = "") -> dict[str, Any]:
    """Some fields by the names given, texts and numbers; the one called `repeated` is a list."""
    found: dict[str, Any] = {}
    for number, content in fields(message):
        if number in names:
            name = names[number]
            value = as_int(content) if isinstance(content, int) else as_text(content)
            if name == repeated:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
    return found


def time_ns(message: bytes) -> int:
    """A timestamp as nanoseconds since 1970."""
    told = {number: as_int(content) for number, content in fields(message)}
    return told.get(1, 0) * 1_000_000_000 + told.get(2, 0)
