"""Experiments that trackbridge delivered to a Comet server: back in its own words, as far as Comet's texts tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from trackbridge.events.models import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
)
from trackbridge.sources.base import Fact, SourceProblem, Unmapped
from trackbridge.sources.comet_head import Head
from trackbridge.sources.comet_messages import Message
from trackbridge.sources.comet_ours import logged, told_ending
from trackbridge.sources.comet_run import LABELS, nested
from trackbridge.sources.json_values import parsed

CREATED_FROM = "Created from"
_SUMMARY, _CHECKPOINT = "summary/", "checkpoint/step-"
_TOLD = LABELS | {CREATED_FROM, "status", "exit_code"}


def delivered_facts(head: Head) -> Iterator[Fact]:
    """All facts of the run."""
    group, notes = (head.others.get(key) for key in ("group", "notes"))
    tags = sorted(map(str, head.experiment.get("tags") or []))
    yield RunStarted(
        seq=0, t=head.started_ns, project=head.project, name=head.name, group=group, tags=tags, notes=notes
    )
    messages = list(head.messages())
    yield from _config(head, messages)
    yield from _environment(head, messages)
    yield from _others(head)
    yield from logged(head, messages, {})
    if ended := told_ending(head):
        yield ended


def _config(head: Head, messages: list[Message | SourceProblem]) -> Iterator[Fact]:
    scopes: dict[str, dict[str, Any]] = defaultdict(dict)
    for message in messages:
        if isinstance(message, Message) and message.type == "parameter_msg":
            scope, _, path = str(message.payload["param"]["paramName"]).partition("|")
            scopes[scope][path] = message.payload["param"]["paramValue"]
    seeds = {name: int(value) for name, value in scopes.pop("seeds", {}).items()}
    if seeds:
        yield SeedsLogged(seq=0, t=head.started_ns, **seeds)
    for scope, flat in scopes.items():
        yield ConfigLogged(seq=0, t=head.started_ns, scope=scope, config=nested(flat))


def _environment(head: Head, messages: list[Message | SourceProblem]) -> Iterator[Fact]:
    """The facts about the system, which the adapter makes flat; its values were made texts by it."""
    for message in messages:
        if isinstance(message, Message) and message.type == "system_details":
            told = dict(message.payload)
            listed = told.pop("logAdditionalSystemInfoList", [])
            flat = told | {str(one["key"]): one.get("value") for one in listed}
            if flat:
                yield EnvironmentCaptured(seq=0, t=head.started_ns, environment=nested(flat))


def _others(head: Head) -> Iterator[Fact]:
    t, others = head.started_ns, head.others
    summary = {key[len(_SUMMARY) :]: value for key, value in others.items() if key.startswith(_SUMMARY)}
    if summary:
        yield SummaryLogged(seq=0, t=t, values=summary)
    for key, value in others.items():
        if key.startswith(_CHECKPOINT):
            yield _checkpoint(t, key, value)
        elif not key.startswith(_SUMMARY) and key not in _TOLD:
            yield Unmapped(t, key, value)


def _checkpoint(t: int, key: str, value: Any) -> Fact:
    try:
        step = int(key.removeprefix(_CHECKPOINT))
        if value == "deleted":
            return CheckpointDeleted(seq=0, t=t, step=step, path="")
        told = parsed(str(value).encode())
        path = str(told.pop("path"))
        metrics = {str(name): float(score) for name, score in told.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        # A text that Comet had to cut is no JSON any more.
        return Unmapped(t, key, value)
    return CheckpointSaved(seq=0, t=t, step=step, path=path, metrics=metrics)
