"""What a run writes to, and the journal of a run that records nothing."""

from __future__ import annotations

from typing import Any, Protocol

from trackbridge.events.models import KnownEvent


class Journal(Protocol):
    """Where a run's events go: a writer, or nowhere."""

    def append(self, kind: type[KnownEvent], **fields: Any) -> bool:
        """Write one event."""

    def append_finite(self, step: int, metrics: dict[str, float], epoch: float | None = None) -> bool:
        """Write one `metrics_logged` without NaN and infinities."""

    def drop(self, kind: type[KnownEvent], error: OSError) -> None:
        """Count an event whose file could not be stored."""

    def tell(self, error: OSError) -> None:
        """Warn of trouble with a file beside the journal."""

    def sync(self) -> None:
        """Bring what was written to the platter."""

    def end(self, kind: type[KnownEvent], **fields: Any) -> None:
        """Write the last event and close."""

    def end_for_death(self, kind: type[KnownEvent], **fields: Any) -> None:
        """Write the last event and block every later one: the process is about to die."""


class Nowhere:
    """The journal of a run that records nothing: other ranks, and library code outside of any run."""

    def append(self, kind: type[KnownEvent], **fields: Any) -> bool:
        """Nothing is written."""
        return False

    def append_finite(self, step: int, metrics: dict[str, float], epoch: float | None = None) -> bool:
        """Nothing is written."""
        return False

    def drop(self, kind: type[KnownEvent], error: OSError) -> None:
        """Nothing is counted."""

    def tell(self, error: OSError) -> None:
        """Nothing is told."""

    def sync(self) -> None:
        """There is nothing to bring."""

    def end(self, kind: type[KnownEvent], **fields: Any) -> None:
        """There is nothing to close."""

    def end_for_death(self, kind: type[KnownEvent], **fields: Any) -> None:
        """Nothing is written."""
