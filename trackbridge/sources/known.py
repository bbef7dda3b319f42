"""What earlier imports of a run have written already, so that a source that has grown adds only what is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from trackbridge.events.models import Integrity, KnownEvent, MetricsLogged, UnknownEvent, WriterOpened
from trackbridge.journal.codec import encode
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import read_blocks


@dataclass(slots=True)
class Known:
    """The points and the other events of a run folder, whatever their order there."""

    n_journals: int = 0
    # Values as text: NaN is equal to nothing, itself included.
    _points: set[tuple[str, int, int, str]] = field(default_factory=set)
    _events: set[bytes] = field(default_factory=set)

    def has(self, event: KnownEvent) -> bool:
        """True when this very event is there, under whatever number."""
        return _content(event) in self._events

    def new_of(self, t: int, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Those of some points that are not there."""
        return {name: value for name, value in metrics.items() if (name, step, t, repr(value)) not in self._points}


def read_known(run_folder: Path) -> Known:
    """What the journals in a run folder tell; nothing for a new one.

    Raises:
        OSError: a journal cannot be read.
    """
    known = Known()
    for path in journal_files(run_folder):
        known.n_journals += 1
        for block in read_blocks(path):
            for event in block.events:
                if isinstance(event, MetricsLogged):
                    known._points.update(
                        (name, event.step, event.t, repr(value)) for name, value in event.metrics.items()
                    )
                elif not isinstance(event, (WriterOpened, Integrity, UnknownEvent)):
                    known._events.add(_content(event))
    return known


def _content(event: KnownEvent) -> bytes:
    return encode(replace(event, seq=0))
