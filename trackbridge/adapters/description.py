"""What a run says of itself beside its curves, for trackers that have no place of their own for each word of it."""

from __future__ import annotations

from typing import Any

import msgspec

from trackbridge.events.models import (
    AnyEvent,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)


class Description(msgspec.Struct, kw_only=True):
    """All of a run that is true as a whole, as of some row: later events replace what earlier ones said.

    Attributes:
        config: by scope; the seeds are the scope `seeds`.
        checkpoints: by `step-<step>`: path, scores, size, when it was saved, and whether it was deleted since.
    """

    tags: list[str] = []
    config: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    checkpoints: dict[str, Any] = {}

    def take(self, event: AnyEvent) -> str | None:
        """Take up what an event says; the name of the attribute it changed, or None."""
        if isinstance(event, (RunStarted, TagsSet)):
            self.tags = list(event.tags)
            return "tags"
        if isinstance(event, ConfigLogged):
            self.config.setdefault(event.scope, {}).update(event.config)
            return "config"
        if isinstance(event, SeedsLogged):
            self.config["seeds"] = seeds_by_name(event)
            return "config"
        if isinstance(event, EnvironmentCaptured):
            self.environment.update(event.environment)
            return "environment"
        if isinstance(event, SummaryLogged):
            self.summary.update(event.values)
            return "summary"
        return self._take_checkpoint(event)

    def _take_checkpoint(self, event: AnyEvent) -> str | None:
        if isinstance(event, CheckpointSaved):
            facts = {"path": event.path, "metrics": event.metrics, "size_bytes": event.size_bytes, "t": event.t}
            self.checkpoints[f"step-{event.step}"] = facts
            return "checkpoints"
        if isinstance(event, CheckpointDeleted):
            self.checkpoints.setdefault(f"step-{event.step}", {"path": event.path})["is_deleted"] = True
            return "checkpoints"
        return None


def seeds_by_name(event: SeedsLogged) -> dict[str, int]:
    """The seeds that are set: `init`, `data`, `dropout`, `all`."""
    seeds = {"init": event.init, "data": event.data, "dropout": event.dropout, "all": event.all}
    return {name: seed for name, seed in seeds.items() if seed is not None}
