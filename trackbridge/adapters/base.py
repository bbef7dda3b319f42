"""
What an adapter is: the one interface between the relay and a tracker.

The relay numbers the events of a run once and for ever: a row is an event with its number. It records a batch of
rows before it hands them over, and counts them as delivered only when the adapter has confirmed that the tracker has
them, so after a crash the very same rows are handed over again, with the same numbers. An adapter makes that
harmless in its tracker's terms: at least once from the relay, exactly once as read back from the tracker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from trackbridge.events.models import AnyEvent

Support: TypeAlias = Literal["yes", "changed", "no"]
"""How a tracker carries a thing: as it is, transformed by the rule in `Capabilities.rules`, or not at all."""


class Row(NamedTuple):
    """An event with its number in the run: 0, 1, 2, ... in the order of delivery, the same at every delivery.

    `upload` is set where the bytes of a checkpoint are to be delivered too: `best` says that it beats all before it.
    """

    number: int
    event: AnyEvent
    upload: Literal["best", "other"] | None = None


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a tracker has to know to create a run. `folder` is where relative paths in events start."""

    run_id: str
    project: str
    name: str
    folder: Path
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    started_ns: int = 0


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """Where the run is at the tracker; kept in the cursor and given back at the next `open`.

    `delivered_rows` is how many rows the tracker itself says it has, where it can say so, else None. When these are
    fewer than the relay has counted, the relay hands over everything from the first row on again: so an offline
    format that cannot be added to after a crash is simply written anew.
    `state` is the adapter's own JSON-safe memory.
    """

    remote_id: str
    url: str | None = None
    delivered_rows: int | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something this tracker cannot carry, and why; shown by `trackbridge status`, never dropped in silence."""

    row: int
    kind: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a batch that was handed over: all of it is on its way, except what was rejected."""

    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: `finished`, `failed`, `killed`, or `lost` when its process is gone without a word.

    `console` is what its last session printed last: 100 lines or 16 kB at most, without secrets and control
    characters; "" for a run that finished.
    """

    status: Literal["finished", "failed", "killed", "lost"]
    exit_code: int | None = None
    error: str | None = None
    ended_ns: int | None = None
    console: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a tracker can carry; the support table in the docs is made from this, and the contract suite checks it.

    `rules` explains each `changed` and each `no` in one sentence, by field name.
    """

    online: Support = "yes"
    offline: Support = "yes"
    original_time: Support = "yes"
    original_step: Support = "yes"
    start_time: Support = "yes"
    non_finite: Support = "yes"
    system_metrics: Support = "yes"
    nested_config: Support = "yes"
    tags: Support = "yes"
    group: Support = "yes"
    notes: Support = "yes"
    images: Support = "yes"
    tables: Support = "yes"
    histograms: Support = "yes"
    texts: Support = "yes"
    artifacts: Support = "yes"
    status: Support = "yes"
    console: Support = "yes"
    rules: Mapping[str, str] = field(default_factory=dict)
    sdk: str | None = None
    tested_versions: tuple[str, str] | None = None


class Adapter(Protocol):
    """One tracker. A new object serves one run; `open` is called once, before anything else.

    Every method raises only the errors of `trackbridge.errors.DeliveryError`, or `MissingDependencyError`: a vendor's
    exception never crosses. The bytes of artifacts are always uploaded, those of checkpoints where the row says so.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        """`folder` is where offline files go (default `<run folder>/offline/<name>`)."""

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Create the run at the tracker, or take it up again where `remote` says; idempotent by `run.run_id`."""

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Hand over a batch, in order. Rows the tracker has already must not appear twice."""

    def flush(self, timeout_s: float) -> bool:
        """True when the tracker is known to have every row handed over so far; not merely when the SDK says so."""

    def close(self, ending: Ending | None) -> None:
        """End the run at the tracker with its true status; with None only this connection ends, the run goes on."""
