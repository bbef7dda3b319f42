"""What stands beside the curves of a run in TensorBoard: its hyperparameters, and its facts as texts."""

from __future__ import annotations

from typing import Any

import msgspec

from trackbridge.adapters import tensorboard_events as events
from trackbridge.adapters.base import Ending, RunHeader
from trackbridge.adapters.shaping import leaves
from trackbridge.adapters.tensorboard_rows import PREFIX, as_code
from trackbridge.events.models import (
    AnyEvent,
    ConfigLogged,
    EnvironmentCaptured,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.journal.codec import encode_json


class Description(msgspec.Struct, kw_only=True):
    """All of a run that has no step, as of some row. `take` it up event by event; `records` says it all anew."""

    tags: list[str] = []
    config: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    summary: dict[str, Any] = {}

    def take(self, event: AnyEvent) -> bool:
        """Take up what the event says; False when it says nothing of this kind."""
        if isinstance(event, (RunStarted, TagsSet)):
            self.tags = list(event.tags)
        elif isinstance(event, ConfigLogged):
            self.config.setdefault(event.scope, {}).update(event.config)
        elif isinstance(event, SeedsLogged):
            seeds = {name: getattr(event, name) for name in ("init", "data", "dropout", "all")}
            self.config["seeds"] = {name: seed for name, seed in seeds.items() if seed is not None}
        elif isinstance(event, EnvironmentCaptured):
            self.environment.update(event.environment)
        elif isinstance(event, SummaryLogged):
            self.summary.update(event.values)
        else:
            return False
        return True

    def records(self, run: RunHeader) -> bytes:
        """The records of the file that comes first in the run's folder."""
        started_s = run.started_ns / 1e9
        labels = {"group": run.group, "tags": ", ".join(self.tags)}
        shown = {name: label for name, label in labels.items() if label} | dict(leaves(self.config))
        texts = {"notes": run.notes or ""}
        for name in ("config", "environment", "summary"):
            if content := getattr(self, name):
                texts[name] = as_code(msgspec.json.format(encode_json(content)).decode())
        values = [events.hyperparameters(shown, started_s)]
        values += [events.text(f"{PREFIX}/{name}", content) for name, content in texts.items() if content]
        values += [
            events.scalar(f"summary/{name}", float(value)) for name, value in self.summary.items() if _is_number(value)
        ]
        return events.version_record(started_s) + events.record(started_s, 0, values)


def ending_records(ending: Ending, run: RunHeader) -> bytes:
    """The records of the file that is there when the run has ended."""
    ended_s = (ending.ended_ns or run.started_ns) / 1e9
    words = ending.status if ending.exit_code is None else f"{ending.status}, exit code {ending.exit_code}"
    told = f"{words}\n\n{as_code(ending.error)}" if ending.error else words
    status = events.session_end("success" if ending.status == "finished" else "failure", ended_s)
    return events.version_record(ended_s) + events.record(ended_s, 0, [status, events.text(f"{PREFIX}/ending", told)])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
