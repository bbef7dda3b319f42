"""
What a source is: it reads one tracker's own files as facts, in the words of the journal.

A source needs no SDK of its tracker, and it trusts nothing it reads: it opens files only through
`trackbridge.sources.files`, which keeps to the folder it was given. A file that is torn or damaged gives all that can
be read and a `SourceProblem`; one that was made to do harm raises `SourceRefused`. Nothing is invented: what the files
do not tell is left out, and the time of what has none is `UNKNOWN_NS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol, TypeAlias

from trackbridge.events.models import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    MediaType,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)

UNKNOWN_NS = 0
"""The time `t` of what a source gives no time for."""


class Points(NamedTuple):
    """Scalars at one step; `t` in nanoseconds since 1970. There are millions of these, so they are no struct."""

    t: int
    step: int
    metrics: dict[str, float]
    epoch: float | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The bytes of a file in the source; `open` gives them anew each time. `name` is what it was called there."""

    name: str
    open: Callable[[], BinaryIO]

    @classmethod
    def of(cls, name: str, content: bytes) -> SourceFile:
        """A file of these bytes, which stood in no file of their own."""
        return cls(name, partial(io.BytesIO, content))


@dataclass(frozen=True, slots=True)
class SourceMedia:
    """A picture, table, histogram or text at a step, its bytes in the format of the journal (`run.media`).

    `suffix` without a dot: `png`, `json`, ...
    """

    t: int
    name: str
    step: int
    media: MediaType
    suffix: str
    file: SourceFile
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class SourceArtifact:
    """Any other file. Its bytes are copied into the run."""

    t: int
    name: str
    type: str
    file: SourceFile


@dataclass(frozen=True, slots=True)
class Printed:
    """What the run printed, in order. Its end is kept, as for runs of our own."""

    text: str


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Something that has no place in the journal's words: kept raw under the source's own config scope."""

    t: int
    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """Something that could not be read: the file, where in it (`line 7`, `byte 4096`, a member's name), and why."""

    file: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, {self.where}: {self.reason}" if self.where else f"{self.file}: {self.reason}"


Told: TypeAlias = (
    RunStarted
    | RunResumed
    | ConfigLogged
    | SeedsLogged
    | EnvironmentCaptured
    | SummaryLogged
    | TagsSet
    | CheckpointSaved
    | CheckpointDeleted
    | RunFinished
)
"""Events that a source makes itself, with `seq` 0: the journal numbers them."""

Fact: TypeAlias = Points | Told | SourceMedia | SourceArtifact | Printed | Unmapped | SourceProblem


@dataclass(frozen=True, slots=True)
class SourceRun:
    """A run that was found, unread.

    `identity` is the same whenever the same run is found, wherever its files lie: the tracker's own id with its
    project, or what else is unique in it. The run id is made from it. Where a tracker writes one file for each stretch
    of a resumed run, each is a `SourceRun` with the same identity and a `session` of its own.
    `project` and `name` are as the source has them. `facts` reads it: a `RunStarted` (or for later sessions a
    `RunResumed`) first, then the rest in the order of the source, the same ones in the same words at every reading.
    Names that start with `system/` are system metrics, whose step is seconds since the start.
    """

    identity: str
    project: str
    name: str
    facts: Callable[[], Iterator[Fact]]
    session: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is asked to read.

    Attributes:
        place: a file, a folder, or for online readers an address such as `wandb://entity/project`.
        files_from: folders outside of the source from which files that it names by absolute path may be copied.
        columns: for sources without names of their own (CSV, JSON Lines): what each column is.
    """

    place: str
    files_from: Sequence[Path] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The place as a path."""
        return Path(self.place)


class Source(Protocol):
    """Reads what one tracker wrote."""

    name: ClassVar[str]

    def recognises(self, place: str) -> bool:
        """True when the place looks like this tracker's: by its name and a few bytes, without reading it whole."""

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The runs at the place, unread, in a stable order; what cannot be told for a run is a problem.

        Raises:
            SourceRefused: it was made to do harm.
            NotFoundError: there is no run at the place.
        """
