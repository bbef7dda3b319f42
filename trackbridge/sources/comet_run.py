"""The messages of a Comet experiment as facts, one after the other."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryLogged,
)
from trackbridge.sources.base import Fact, Printed, SourceArtifact, SourceFile, SourceProblem, Unmapped
from trackbridge.sources.comet_assets import asset_facts, asset_of
from trackbridge.sources.comet_head import Head
from trackbridge.sources.comet_messages import Message, time_ns
from trackbridge.sources.comet_points import Gathering, value_of
from trackbridge.sources.files import file_outside

SYSTEM, DURATION = "sys.", "process duration"
# What the SDK notes for itself: the current step as a parameter, and flags for its own page.
_NOTED = {"curr_step", "curr_epoch"}
LABELS = {"Name", "group", "notes", "hasNestedParams", "offline_experiment"}
_MAX_LEVELS = 100
_ENVIRONMENT = {
    "hostname": ("host", "name"),
    "os_type": ("host", "system"),
    "os_release": ("host", "release"),
    "command": ("command", "argv"),
    "python_version": ("python", "version"),
    "python_exe": ("python", "executable"),
    # As the server's API calls them.
    "osType": ("host", "system"),
    "pythonVersion": ("python", "version"),
    "executable": ("python", "executable"),
}


class RunReader:
    """Tells an experiment, or one stretch of it; `is_first` says that it is the beginning."""

    def __init__(self, head: Head, *, is_first: bool, allowed: Sequence[Path] = ()) -> None:
        self._head, self._is_first, self._allowed = head, is_first, allowed
        self._parameters: dict[str, Any] = {}
        self._environment: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()
        self._positions: Counter[str] = Counter()
        self._points = Gathering()
        self._last_ns = head.started_ns

    def facts(self) -> Iterator[Fact]:
        """All facts, in the order of the messages; what describes the run as a whole comes last."""
        yield self._beginning()
        for message in self._head.messages():
            if isinstance(message, SourceProblem):
                yield message
                continue
            self._last_ns = max(self._last_ns, message.t)
            try:
                yield from self._told(message)
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
                yield SourceProblem(self._head.place, f"line {message.line}", f"{message.type} cannot be read: {error}")
        yield from self._points.flushed()
        yield from self._end()

    def _beginning(self) -> RunStarted | RunResumed:
        head = self._head
        if not self._is_first:
            return RunResumed(seq=0, t=head.started_ns)
        group, notes = (head.others.get(key) for key in ("group", "notes"))
        return RunStarted(
            seq=0,
            t=head.started_ns,
            project=head.project,
            name=head.name,
            group=None if group is None else str(group),
            # The SDK keeps them as a set, so their order is chance.
            tags=sorted(map(str, head.experiment.get("tags") or [])),
            notes=None if notes is None else str(notes),
        )

    def _told(self, message: Message) -> Iterator[Fact]:
        if message.type == "metric_msg":
            yield from self._metric(message)
            return
        yield from self._points.flushed()
        if told := self._HANDLERS.get(message.type):
            yield from told(self, message)
        else:
            self._counts[message.type] += 1
            yield Unmapped(message.t, f"{message.type}/{self._counts[message.type]}", message.payload)

    def _metric(self, message: Message) -> Iterator[Fact]:
        metric, t = message.payload["metric"], message.t
        try:
            value = value_of(metric, message.payload.get("context"))
        except (TypeError, ValueError):
            yield Unmapped(t, f"{metric['metricName']}/step-{metric.get('step')}", metric["metricValue"])
            return
        if value.name.startswith(SYSTEM) or value.name == DURATION:
            # The SDK samples the machine by itself, and calls that the step which was logged last.
            second = max(0, t - self._head.started_ns) // 1_000_000_000
            yield from self._points.add(t, second, None, f"system/{value.name.removeprefix(SYSTEM)}", value.number)
            return
        position = self._positions[value.name]
        self._positions[value.name] += 1
        step, epoch = position, value.epoch
        if value.step is not None:
            is_whole = float(value.step) == value.step // 1
            step, epoch = (int(value.step), epoch) if is_whole else (position, float(value.step))
        yield from self._points.add(t, step, epoch, value.name, value.number)

    def _parameter(self, message: Message) -> Iterator[Fact]:
        told = message.payload.get("param") or message.payload["params"]
        if not (told["paramName"] in _NOTED and told.get("source") != "manual"):
            self._parameters[str(told["paramName"])] = told["paramValue"]
        yield from ()

    def _asset(self, message: Message) -> Iterator[Fact]:
        yield from self._file(message, str(message.payload["file_path"]))

    def _file(self, message: Message, path: str) -> Iterator[Fact]:
        file = self._head.members.get(path) or file_outside(path, allowed=self._allowed)
        if file is None:
            name = (message.payload.get("additional_params") or {}).get("fileName") or path
            reason = f"the file of {name!r} is not there: {path}"
            yield SourceProblem(self._head.place, f"line {message.line}", reason)
        else:
            yield from asset_facts(asset_of(message, file))

    def _items(self, message: Message) -> Iterator[Fact]:
        """The parts of a 3D picture, and its thumbnail."""
        name = str(message.payload["name"])
        paths = {str(one["file_name"]): str(one["file_path"]) for one in message.payload["items"]}
        if thumbnail := message.payload.get("thumbnail_path"):
            paths["thumbnail"] = str(thumbnail)
        for inner, path in paths.items():
            told = {"additional_params": {"fileName": f"{name}/{inner}", "type": message.type}}
            yield from self._file(message._replace(payload=told), path)

    def _other(self, message: Message) -> Iterator[Fact]:
        yield from ()

    def _output(self, message: Message) -> Iterator[Fact]:
        yield Printed(str(message.payload["output"]))

    def _document(self, message: Message) -> Iterator[Fact]:
        """A page of HTML or a model's graph, as a file."""
        suffix = {"html": "html", "graph": "txt"}[message.type]
        content = str(message.payload[message.type]).encode("utf-8", "backslashreplace")
        file = SourceFile(f"{message.type}.{suffix}", partial(io.BytesIO, content))
        yield SourceArtifact(self._last_ns, file.name, message.type, file)

    def _details(self, message: Message) -> Iterator[Fact]:
        for name, value in message.payload.items():
            part, key = _ENVIRONMENT.get(name, ("comet", name))
            if value is not None and name != "message_id":
                self._environment.setdefault(part, {})[key] = value
        yield from ()

    def _packages(self, message: Message) -> Iterator[Fact]:
        pairs = (str(one).partition("=") for one in message.payload[message.type])
        name = {"installed_packages": "packages", "os_packages": "system_packages"}[message.type]
        self._environment[name] = {package: version.lstrip("=") for package, _, version in pairs}
        yield from ()

    def _part(self, message: Message) -> Iterator[Fact]:
        """Something of the environment, as the SDK has it."""
        name = {"git_metadata": "git", "gpu_static_info": "gpu", "cloud_details": "cloud"}[message.type]
        self._environment[name] = message.payload.get(message.type, message.payload)
        yield from ()

    def _named_fact(self, message: Message) -> Iterator[Fact]:
        """A fact about the system that the user's own code logged."""
        told = message.payload["system_info"]
        self._environment[str(told["key"])] = told["value"]
        yield from ()

    _HANDLERS: ClassVar[Mapping[str, Callable[[Any, Message], Iterator[Fact]]]] = {
        "parameter_msg": _parameter,
        "file_upload": _asset,
        "3d-image": _items,
        "log_other": _other,
        "standard_output": _output,
        "html": _document,
        "graph": _document,
        "system_details": _details,
        "installed_packages": _packages,
        "os_packages": _packages,
        "git_metadata": _part,
        "gpu_static_info": _part,
        "cloud_details": _part,
        "system_info": _named_fact,
    }

    def _end(self) -> Iterator[Fact]:
        head, t = self._head, self._head.started_ns
        if self._parameters:
            is_nested = str(head.others.get("hasNestedParams")).lower() == "true"
            config = nested(self._parameters) if is_nested else self._parameters
            yield ConfigLogged(seq=0, t=t, scope="script", config=config)
        if self._environment:
            yield EnvironmentCaptured(seq=0, t=t, environment=self._environment)
        if others := {key: value for key, value in head.others.items() if key not in LABELS}:
            yield SummaryLogged(seq=0, t=t, values=others)
        if workspace := head.experiment.get("workspace"):
            yield Unmapped(t, "workspace", workspace)
        if head.has_ended:
            has_failed, error = (head.experiment.get(f"customer_error_{key}") for key in ("reported", "message"))
            yield RunFinished(
                seq=0,
                t=time_ns(head.experiment.get("stop_time")) or self._last_ns,
                status="failed" if has_failed else "finished",
                error=str(error) if error else None,
            )


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters whose levels Comet joins with `|`, as they were; below one that has a value itself they stay flat."""
    found: dict[str, Any] = {}
    for path, value in flat.items():
        *levels, leaf = path.split("|")
        above = accumulate(levels, "{}|{}".format)
        if len(levels) > _MAX_LEVELS or any(one in flat for one in above):
            found[path] = value
            continue
        inner = found
        for level in levels:
            inner = inner.setdefault(level, {})
        inner[leaf] = value
    return found
