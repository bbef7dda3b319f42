"""Archives that trackbridge's own adapter wrote: the events that it kept beside Comet's messages, as they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as replaced
from functools import partial
from typing import Any, NamedTuple, get_args

import msgspec

from trackbridge.events.models import (
    AnyEvent,
    ArtifactLogged,
    CheckpointSaved,
    MediaType,
    RunFinished,
    RunResumed,
    RunStarted,
    Status,
)
from trackbridge.journal.codec import LineError, decode
from trackbridge.sources.base import Fact, Printed, SourceArtifact, SourceFile, SourceMedia, SourceProblem, SourceRun
from trackbridge.sources.comet_assets import asset_of, histogram, media_of, picture, table, text
from trackbridge.sources.comet_head import OUR_EVENTS, Head
from trackbridge.sources.comet_messages import MAX_LINE_BYTES, Message, time_ns
from trackbridge.sources.comet_points import Gathering, value_of

_ORIGINAL = ".original"
_RESUMED = "resumed_from_step"
_SYSTEM = "sys."
# What stands in an event already.
_KNOWN_ASSETS = ("long-values", "traceback")
_AS_COMET_HAS_IT = {"image": picture, "text": text, "table": table, "histogram": histogram}


class _Session(NamedTuple):
    """A session of the run: its number, the events that describe it, and what could not be read of them."""

    number: int
    is_last: bool
    events: Sequence[AnyEvent]


def our_runs(head: Head) -> Iterator[SourceRun | SourceProblem]:
    """The sessions of the run in an archive."""
    told, problems = _events(head.members[OUR_EVENTS])
    yield from problems
    starts = [at for at, event in enumerate(told) if isinstance(event, (RunStarted, RunResumed))]
    starts = starts if starts and not starts[0] else [0, *starts]
    started = next((event for event in told if isinstance(event, RunStarted)), None)
    project, name = (started.project, started.name) if started else (head.project, head.name)
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(told)], strict=True)):
        session = _Session(number, end == len(told), told[start:end])
        facts = partial(_facts, head, session)
        yield SourceRun(head.key, project, name, facts, session=f"resume {number}" if number else "")


def _events(file: SourceFile) -> tuple[list[AnyEvent], list[SourceProblem]]:
    told: list[AnyEvent] = []
    problems = []
    number = 0
    try:
        with file.open() as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                number += 1
                try:
                    told.append(decode(line.rstrip(b"\n")))
                except LineError as error:
                    problems.append(SourceProblem(file.name, f"line {number}", str(error)))
    except OSError as error:
        problems.append(SourceProblem(file.name, f"behind line {number}", f"reading stopped here: {error}"))
    return told, problems


def _facts(head: Head, session: _Session) -> Iterator[Fact]:
    if not session.events or not isinstance(session.events[0], (RunStarted, RunResumed)):
        yield RunStarted(seq=0, t=head.started_ns, project=head.project, name=head.name)
    artifact_types = {event.name: event.type for event in session.events if isinstance(event, ArtifactLogged)}
    ended = None
    for event in session.events:
        if isinstance(event, RunFinished):
            ended = event
        elif isinstance(event, CheckpointSaved):
            # The copy that the run kept is not here.
            yield msgspec.structs.replace(event, seq=0, kept=None)
        elif not isinstance(event, ArtifactLogged):
            yield msgspec.structs.replace(event, seq=0)  # type: ignore[misc]
    yield from logged(head, _messages_of(head, session), artifact_types)
    if ended is None and session.is_last:
        ended = told_ending(head)
    if ended is not None:
        yield msgspec.structs.replace(ended, seq=0)


def _messages_of(head: Head, session: _Session) -> Iterator[Message | SourceProblem]:
    """The messages of a session, which stand between the marks of two resumes."""
    resumes = 0
    for message in head.messages():
        if isinstance(message, SourceProblem):
            if session.is_last:
                yield message
            continue
        if message.type == "log_other" and message.payload.get("key") == _RESUMED:
            resumes += 1
        if resumes == session.number or (session.is_last and resumes > session.number):
            yield message


def logged(
    head: Head, messages: Iterable[Message | SourceProblem], artifact_types: Mapping[str, str]
) -> Iterator[Fact]:
    """The points, media, files and console lines that messages tell; what describes the run is told elsewhere."""
    gathering = Gathering()
    for message in messages:
        if isinstance(message, SourceProblem):
            yield message
            continue
        try:
            if message.type == "metric_msg":
                value = value_of(message.payload["metric"], None)
                # The adapter turned `system/` into Comet's word for it.
                name = f"system/{value.name[4:]}" if value.name.startswith(_SYSTEM) else value.name
                yield from gathering.add(message.t, int(value.step), value.epoch, name, value.number)
            elif message.type == "file_upload":
                yield from _asset(head, message, artifact_types)
            elif message.type == "standard_output":
                yield Printed(str(message.payload["output"]))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            yield SourceProblem(head.place, f"line {message.line}", f"{message.type} cannot be read: {error}")
    yield from gathering.flushed()


def _asset(head: Head, message: Message, artifact_types: Mapping[str, str]) -> Iterator[Fact]:
    path = str(message.payload["file_path"])
    file = head.members.get(path)
    if file is None:
        yield SourceProblem(head.place, f"line {message.line}", f"the file {path!r} is not there")
        return
    asset = asset_of(message, file)
    kind, caption = str(asset.metadata.get("kind")), asset.metadata.get("caption")
    if kind in _KNOWN_ASSETS:
        return
    if kind not in get_args(MediaType):
        yield _artifact(asset.t, asset.name, kind, file, artifact_types)
        return
    original = head.members.get(f"{path}{_ORIGINAL}")
    fact: Fact
    if original is not None:
        fact = SourceMedia(asset.t, asset.name.removesuffix(".csv"), asset.step, kind, "json", original)  # type: ignore[arg-type]
    elif kind == "plotly":
        fact = media_of(asset, asset.name.removesuffix(".plotly.json"), "plotly", "json")
    else:
        fact = _AS_COMET_HAS_IT[kind](asset)
    yield replaced(fact, caption=caption) if isinstance(fact, SourceMedia) else fact


def _artifact(t: int, path: str, kind: str, file: SourceFile, types: Mapping[str, str]) -> SourceArtifact:
    """A file of an artifact or a checkpoint: `artifacts/<name>`, or `<what>s/<name>/<file in it>`."""
    name = path.partition("/")[2] if kind in ("artifact", "checkpoint") else path
    what = types.get(name) or types.get(name.partition("/")[0]) or kind
    return SourceArtifact(t, name, what, SourceFile(name, file.open))


def told_ending(head: Head) -> RunFinished | None:
    """The end that the relay told of a run which could not tell it itself; a lost run has none."""
    status, exit_code = (head.others.get(key) for key in ("status", "exit_code"))
    if status not in get_args(Status):
        return None
    told: dict[str, Any] = {"status": status, "error": head.experiment.get("customer_error_message")}
    # Comet's server tells all values as texts.
    told["exit_code"] = int(str(exit_code)) if str(exit_code).lstrip("-").isdecimal() else None
    return RunFinished(seq=0, t=time_ns(head.experiment.get("stop_time")), **told)
