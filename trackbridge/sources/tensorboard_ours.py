"""Event files that trackbridge wrote: what they say of the run beside TensorBoard's own words comes back as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace as replaced
from typing import Any, get_args

import msgspec

from trackbridge.events.models import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunStarted,
    SeedsLogged,
    Status,
    SummaryLogged,
)
from trackbridge.journal.codec import decode_json
from trackbridge.sources.base import UNKNOWN_NS, Fact, Points, Printed, SourceMedia, SourceProblem, Unmapped
from trackbridge.sources.tensorboard_events import Event, FoundEvent, Value
from trackbridge.sources.tensorboard_values import (
    HPARAMS,
    Begin,
    facts_of,
    histogram_media,
    nanoseconds,
    scalar_of,
    table_media,
)

_FILE = re.compile(r"events\.out\.tfevents\.\d+\.([0-9a-f]{32})\.(0-description|1-rows|2-ending)")
_PREFIX = "trackbridge/"


def our_run_id(file_name: str) -> str | None:
    """The id of the run, where trackbridge wrote a file of this name."""
    match = _FILE.fullmatch(file_name)
    return match.group(1) if match else None


def our_labels(events: Iterable[FoundEvent | SourceProblem]) -> tuple[str, str] | None:
    """Project and name of the run, out of the first of its files; None where that is damaged."""
    for found in events:
        for value in found.event.values if isinstance(found, FoundEvent) else ():
            if value.tag == f"{_PREFIX}run":
                run = _document({"run": _text(value)}, "run")
                return str(run.get("project")), str(run.get("name"))
    return None


def our_checkpoints(events: Iterable[FoundEvent | SourceProblem], *, since: int, until: int) -> Iterator[Fact]:
    """The checkpoints that were saved between two times, out of the first of the run's files."""
    for found in events:
        for value in found.event.values if isinstance(found, FoundEvent) else ():
            if value.tag != f"{_PREFIX}checkpoints":
                continue
            for name, facts in _document({"told": _text(value)}, "told").items():
                # Of runs delivered before it was told when, all were saved in the first session.
                t = facts.get("t", UNKNOWN_NS)
                if since <= t < until:
                    yield from _checkpoint(t, int(name.removeprefix("step-")), facts)


class OurValues:
    """What trackbridge's own adapter said of a run, event by event."""

    def __init__(self, begin: Begin) -> None:
        """`begin` makes the first fact of the run where the description is damaged, given its time."""
        self._begin = begin
        self._has_begun = False
        self._traceback: str | None = None
        self._finished: RunFinished | None = None

    def facts(self, event: Event) -> Iterator[Fact]:
        """The facts of an event."""
        if not event.values:
            return
        t = nanoseconds(event.time_s)
        told = {value.tag.removeprefix(_PREFIX): _text(value) for value in event.values if _is_told(value)}
        if "run" in told:
            self._has_begun = True
            yield from _described(t, told)
            return
        if not self._has_begun:
            self._has_begun = True
            yield self._begin(t)
        yield from self._told(t, told)
        yield from _logged(t, event)

    def closing(self) -> Iterator[Fact]:
        """How the run ended, once everything is read."""
        if self._finished is not None:
            yield msgspec.structs.replace(self._finished, traceback=self._traceback)
        elif self._traceback is not None:
            yield Unmapped(UNKNOWN_NS, "traceback", self._traceback)

    def _told(self, t: int, told: dict[str, str]) -> Iterator[Fact]:
        for name, content in told.items():
            if name == "ending":
                self._finished = _ending(t, content)
            elif name == "console":
                yield Printed(_unindented(content))
            elif name.startswith("traceback/"):
                self._traceback = _unindented(content)
            else:
                yield Unmapped(t, name, content)


def _is_told(value: Value) -> bool:
    return value.plugin == "text" and value.tag.startswith(_PREFIX)


def _described(t: int, told: dict[str, str]) -> Iterator[Fact]:
    run = _document(told, "run")
    started_ns = run.get("started_ns", t)
    labels = {name: run[name] for name in ("project", "name", "group", "tags", "notes") if run.get(name) is not None}
    yield msgspec.convert({"kind": "run_started", "seq": 0, "t": started_ns, **labels}, RunStarted)
    yield Unmapped(started_ns, "run_id", run.get("run_id"))
    for scope, config in _document(told, "config").items():
        if scope == "seeds":
            yield msgspec.convert({"kind": "seeds_logged", "seq": 0, "t": started_ns, **config}, SeedsLogged)
        else:
            yield ConfigLogged(seq=0, t=started_ns, scope=scope, config=config)
    if environment := _document(told, "environment"):
        yield EnvironmentCaptured(seq=0, t=started_ns, environment=environment)
    if summary := _document(told, "summary"):
        yield SummaryLogged(seq=0, t=started_ns, values=summary)


def _checkpoint(t: int, step: int, facts: dict[str, Any]) -> Iterator[Fact]:
    path, metrics = str(facts["path"]), facts.get("metrics", {})
    if "metrics" in facts:
        yield CheckpointSaved(seq=0, t=t, step=step, path=path, metrics=metrics, size_bytes=facts.get("size_bytes"))
    if facts.get("is_deleted"):
        yield CheckpointDeleted(seq=0, t=t, step=step, path=path)


def _logged(t: int, event: Event) -> Iterator[Fact]:
    """Points, and media with the captions that stand beside them."""
    points = {value.tag: scalar for value in event.values if (scalar := scalar_of(value)) is not None}
    # The epoch stands last among the points of its step.
    epoch = points.pop("epoch") if len(points) > 1 and list(points)[-1] == "epoch" else None
    if points:
        yield Points(t, event.step, points, epoch)
    others = [value for value in event.values if value.tag not in points and value.tag != "epoch"]
    captions = {value.tag: _text(value) for value in others[1:] if value.tag == f"{others[0].tag}/caption"}
    for value in others:
        if value.plugin == HPARAMS or value.tag in captions or _is_told(value):
            continue
        caption = captions.get(f"{value.tag}/caption")
        if value.description:
            # The bytes of the journal itself, where TensorBoard's own form says less.
            as_media = table_media if value.plugin == "text" else histogram_media
            yield as_media(t, value.tag, event.step, value.description.encode(), caption)
            continue
        for fact in facts_of(t, event.step, value):
            yield replaced(fact, caption=caption) if isinstance(fact, SourceMedia) else fact


def _ending(t: int, content: str) -> RunFinished | None:
    words, _, error = content.partition("\n\n")
    status, _, exit_code = words.partition(", exit code ")
    if status not in get_args(Status):
        # A lost run is one that did not say how it ended.
        return None
    ended = {"status": status, "exit_code": int(exit_code) if exit_code else None, "error": _unindented(error) or None}
    return msgspec.convert({"kind": "run_finished", "seq": 0, "t": t, **ended}, RunFinished)


def _document(told: dict[str, str], name: str) -> dict[str, Any]:
    content = decode_json(_unindented(told[name]).encode()) if name in told else {}
    return content if isinstance(content, dict) else {}


def _text(value: Value) -> str:
    texts = value.tensor.texts if value.tensor else []
    return texts[0].decode("utf-8", "replace") if texts else ""


def _unindented(content: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in content.split("\n"))
