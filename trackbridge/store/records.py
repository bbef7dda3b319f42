"""What a reader sees of a run. Frozen, numpy only; `store.fold` builds these, everything else reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.display import notebook_html
from trackbridge.errors import NotFoundError, nearest

RunStatus: TypeAlias = Literal["running", "finished", "failed", "killed", "lost"]


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one run: strictly increasing steps, superseded points left out.

    `steps`: int64[n]; `values`: float64[n], NaN and infinities kept; `times_ns`: int64[n], UTC;
    `epochs`: float64[n], NaN where none was logged.
    """

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    times_ns: NDArray[np.int64]
    epochs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """What a table needs of a metric without its points; min and max are over finite values.

    `minimum` and `maximum` (and their steps) are None when no value was finite.
    """

    name: str
    n: int
    n_nonfinite: int
    last: float
    last_step: int
    minimum: float | None
    minimum_step: int | None
    maximum: float | None
    maximum_step: int | None


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds a run recorded; None where it recorded none."""

    init: int | None = None
    data: int | None = None
    dropout: int | None = None
    all: int | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint directory; `kept` is the copy in the run folder, `deleted` says the original is gone."""

    step: int
    path: str
    metrics: Mapping[str, float]
    size_bytes: int | None = None
    kept: str | None = None
    deleted: bool = False
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, table, histogram or text at a step; `path` is relative to the run folder."""

    name: str
    step: int
    media: str
    path: str
    size_bytes: int
    sha256: str
    caption: str | None = None
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file recorded by reference."""

    name: str
    type: str
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Session:
    """One process's stretch of a run. `from_step` is None for the first one."""

    session_id: str
    host: str
    boot_id: str | None
    pid: int
    pid_started: float | None
    started_ns: int
    last_seen_ns: int
    from_step: int | None = None
    status: str | None = None
    exit_code: int | None = None
    error: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a journal file: where, and what. Everything else was still read."""

    file: str
    line: int
    offset: int
    reason: str


def _no_series(name: str) -> Series:
    raise NotFoundError(f"no metric named {name!r} (this record carries no points)")


@dataclass(frozen=True)
class RunRecord:
    """One run as its journals tell it: identity, config by scope, seeds, metric summaries, and what went wrong.

    `config` maps scope to nested config. `metrics` maps a name to its summary; `series(name)` loads the
    points. `n_superseded` counts points hidden because a later session resumed before them.
    """

    run_id: str
    project: str
    name: str
    status: RunStatus
    path: str
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    started_ns: int = 0
    ended_ns: int | None = None
    last_seen_ns: int = 0
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: Seeds = field(default_factory=Seeds)
    environment: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    media: tuple[Media, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown_kinds: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    n_superseded: int = 0
    load_series: Callable[[str], Series] = field(default=_no_series, repr=False, compare=False)

    def series(self, name: str) -> Series:
        """The points of one metric.

        Raises:
            NotFoundError: the run has no such metric; names the ones it has.
        """
        if name not in self.metrics:
            raise NotFoundError(f"run {self.name!r} has no metric {name!r}{nearest(name, self.metrics)}")
        return self.load_series(name)

    @property
    def duration_s(self) -> float:
        """Seconds in which a session ran, up to its last sign of life; the time between two sessions does not count."""
        total_ns = until_ns = 0
        for session in self.sessions:
            if not session.started_ns:  # imported, and nobody knows when it ran
                continue
            total_ns += max(0, session.last_seen_ns - max(session.started_ns, until_ns))
            until_ns = max(until_ns, session.last_seen_ns)
        return total_ns / 1e9

    def _repr_html_(self) -> str:
        """What it is, its scores, curves and tables, for a notebook."""
        return notebook_html(self)
