"""
The events of a run: one struct per kind, named in the past tense.

These structs are the definition of the journal's format (`docs/journal-format.md` describes the same
for readers in other languages). Fields may be added with a default; none may be removed, renamed or
given another meaning under format version 1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

FORMAT_VERSION = 1

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, a list of these, or a dict from str to these."""

JsonObject: TypeAlias = dict[str, Any]

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Steps and times are 64-bit integers; a line with a larger one (one flipped bit can make it) is damaged."""

Status: TypeAlias = Literal["finished", "failed", "killed"]
"""How a run ended, as written by its producer. Readers add `running` and `lost`."""

MediaType: TypeAlias = Literal["image", "table", "histogram", "text", "plotly"]

WriterRole: TypeAlias = Literal["main", "rank", "child", "import", "system"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every event has: `seq`, gap-free per writer from 0, and `t`, UTC nanoseconds."""

    seq: Int64
    t: Int64


class WriterOpened(Event, frozen=True, kw_only=True, tag="writer_opened"):
    """The first line of every journal file: who writes it. `session_id` is the main writer's id."""

    v: int
    run_id: str
    writer_id: str
    session_id: str
    role: WriterRole = "main"
    host: str = ""
    boot_id: str | None = None
    pid: int = 0
    pid_started: float | None = None
    rank: int = 0
    world_size: int = 1
    producer: str = ""


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """A run began. `resumed_from` names a checkpoint without a sidecar that this run started from."""

    project: str
    name: str
    group: str | None = None
    tags: list[str] = []
    notes: str | None = None
    resumed_from: str | None = None


class RunResumed(Event, frozen=True, kw_only=True, tag="run_resumed"):
    """
    A later session of the run began. Points of earlier sessions after `from_step` are superseded; with None
    nothing is: the session adds to the run.
    """

    from_step: Int64 | None = None
    checkpoint: str | None = None


class ConfigLogged(Event, frozen=True, kw_only=True, tag="config_logged"):
    """Nested config under a scope; keys logged again replace the old value."""

    scope: str
    config: JsonObject


class SeedsLogged(Event, frozen=True, kw_only=True, tag="seeds_logged"):
    """The seeds of the run; `all` is set when one number set them all."""

    init: int | None = None
    data: int | None = None
    dropout: int | None = None
    all: int | None = None


class EnvironmentCaptured(Event, frozen=True, kw_only=True, tag="environment_captured"):
    """A part of the environment; several such events merge by top-level key."""

    environment: JsonObject


class MetricsLogged(Event, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="metrics_logged"):
    """Scalars at one step. Non-finite values are strings on disk and floats here."""

    step: Int64
    metrics: dict[str, float]
    epoch: float | None = None


class SummaryLogged(Event, frozen=True, kw_only=True, tag="summary_logged"):
    """Values without a step; a later value replaces an earlier one."""

    values: JsonObject


class MediaLogged(Event, frozen=True, kw_only=True, tag="media_logged"):
    """A picture, table, histogram or text at a step, in a file under the run's `files/`."""

    name: str
    step: Int64
    media: MediaType
    path: str
    size_bytes: int
    sha256: str
    caption: str | None = None


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint directory at a step, with its scores; `kept` is the run's own copy, if it has one."""

    step: Int64
    path: str
    metrics: dict[str, float] = {}
    size_bytes: int | None = None
    kept: str | None = None


class CheckpointDeleted(Event, frozen=True, kw_only=True, tag="checkpoint_deleted"):
    """A checkpoint recorded earlier is gone."""

    step: Int64
    path: str


class ArtifactLogged(Event, frozen=True, kw_only=True, tag="artifact_logged"):
    """Any other file, by reference and digest (a folder's digest covers its files' names and bytes)."""

    name: str
    type: str
    path: str
    size_bytes: int
    sha256: str


class TagsSet(Event, frozen=True, kw_only=True, tag="tags_set"):
    """The whole set of tags from now on."""

    tags: list[str]


class Heartbeat(Event, frozen=True, kw_only=True, tag="heartbeat"):
    """The writer was alive at `t`."""


class Integrity(Event, frozen=True, kw_only=True, tag="integrity"):
    """
    A checksum over everything since the previous integrity line, or since the start of the file.

    `size_bytes` counts the bytes between the end of that line and the start of this one; `crc32` covers
    them and this line's own bytes up to, not including, `,"crc32":`.
    """

    size_bytes: int
    crc32: int


class EventsDropped(Event, frozen=True, kw_only=True, tag="events_dropped"):
    """Events that could not be written, counted by kind, and why; written when writing works again."""

    counts: dict[str, int]
    reason: str
    since_t: Int64


class RunFinished(Event, frozen=True, kw_only=True, tag="run_finished"):
    """The session ended with a status the producer knew."""

    status: Status
    exit_code: int | None = None
    error: str | None = None
    traceback: str | None = None


class UnknownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a kind this version does not know: kept and counted by readers, never written."""

    kind: str
    seq: int
    t: int
    fields: JsonObject


KnownEvent: TypeAlias = (
    WriterOpened
    | RunStarted
    | RunResumed
    | ConfigLogged
    | SeedsLogged
    | EnvironmentCaptured
    | MetricsLogged
    | SummaryLogged
    | MediaLogged
    | CheckpointSaved
    | CheckpointDeleted
    | ArtifactLogged
    | TagsSet
    | Heartbeat
    | Integrity
    | EventsDropped
    | RunFinished
)
AnyEvent: TypeAlias = KnownEvent | UnknownEvent
