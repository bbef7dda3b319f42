"""A run as its tracker shows it: what the contract suite compares with what was delivered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class SeenPoint(NamedTuple):
    """One value of a metric; `time_ns` is None where the tracker keeps no time of its own for it."""

    metric: str
    value: float
    step: int
    time_ns: int | None = None


class SeenMedia(NamedTuple):
    """A picture, table, histogram or text; `media` is our word for its type."""

    name: str
    media: str
    step: int


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run as read back from a tracker.

    Attributes:
        config: nested by scope as it was logged; where the tracker has `nested_config="changed"`, flat instead:
            `{"script/optimizer/lr": "0.1"}`, values as text.
        points: in the order in which the tracker shows them.
        artifacts: the names of artifacts whose bytes, or references, have arrived; checkpoints as `step-<step>`.
        status: running, finished, failed or killed; a tracker without one of these shows the nearest.
        error: all that it shows about why the run failed.
        console: all that it shows of what the run printed.
    """

    name: str = ""
    group: str | None = None
    tags: frozenset[str] = frozenset()
    notes: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[SeenPoint, ...] = ()
    media: tuple[SeenMedia, ...] = ()
    artifacts: frozenset[str] = frozenset()
    status: str = "running"
    error: str = ""
    console: str = ""

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """The (step, value) pairs of one metric, in the tracker's order."""
        return [(point.step, point.value) for point in self.points if point.metric == metric]


class Tracker(Protocol):
    """A tracker that lives for one test: a fake server, or the folder of an offline format."""

    def run_ids(self) -> list[str]:
        """Our id of every run it has; an id twice when one run became two."""

    def seen(self, run_id: str) -> SeenRun:
        """The run, read back by code that the adapter does not use."""


class OnlineTracker(Tracker, Protocol):
    """A server on loopback with switches. `secret` is the key the adapter authenticates with."""

    secret: str

    def outage(self) -> AbstractContextManager[None]:
        """While it lasts, nobody answers."""

    def refusal(self) -> AbstractContextManager[None]:
        """While it lasts, the key is refused."""

    def received(self) -> bytes:
        """The body of every request so far."""
