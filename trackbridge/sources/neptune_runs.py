"""A Neptune run, wherever it was found, and what it says in the journal's words."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trackbridge.events.models import ConfigLogged, EnvironmentCaptured, RunFinished, RunStarted, SummaryLogged
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceFile,
    SourceMedia,
    SourceProblem,
    Unmapped,
)
from trackbridge.sources.pictures import SUFFIXES, picture_suffix

_SYSTEM = ("sys", "monitoring", "source_code")
_CONFIG = frozenset(("parameters", "params", "hyperparameters", "hparams", "config", "configuration", "args", "cfg"))
_STREAMS = ("stdout", "stderr")
_MAX_LEVELS = 100


class SeriesPoint(NamedTuple):
    """One value of a series: a float, a text, a picture as base64, a file, or a histogram as the journal keeps it."""

    path: str
    kind: Literal["float", "text", "picture", "file", "histogram"]
    value: Any
    step: float | None
    t: int
    caption: str | None = None


@dataclass(slots=True)
class NeptuneRun:
    """A run as its fields, the series unread.

    Attributes:
        values: the fields with one value.
        sets: the fields with a set of texts, sorted.
        files: the fields with a file.
        raw: what has no place elsewhere, by path.
        by_position: series whose steps are missing or fractional: their points are counted.
        failed_ns: when the field `sys/failed` was set.
    """

    identity: str
    started_ns: int = UNKNOWN_NS
    project: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    by_position: set[str] = field(default_factory=set)
    problems: list[SourceProblem] = field(default_factory=list)
    failed_ns: int = UNKNOWN_NS
    series: Callable[[], Iterator[SeriesPoint | SourceProblem]] = field(default=lambda: iter(()))

    @property
    def name(self) -> str:
        """Its name; the end of its id where it has none."""
        return str(self.values.get("sys/name") or self.values.get("sys/id") or self.identity.rpartition("/")[2])

    @property
    def group(self) -> str | None:
        """The group it was tagged with; several are told together."""
        return ", ".join(self.sets.get("sys/group_tags", ())) or None


def facts_of(run: NeptuneRun) -> Iterator[Fact]:
    """What a run of anybody says."""
    t = run.started_ns
    labels: dict[str, Any] = {"group": run.group, "tags": run.sets.get("sys/tags", [])}
    notes = run.values.get("sys/description") or None
    yield RunStarted(seq=0, t=t, project=run.project, name=run.name, notes=notes, **labels)
    yield from run.problems
    yield from _fields(run, t)
    reader = _SeriesReader(run)
    for point in run.series():
        yield from (point,) if isinstance(point, SourceProblem) else reader.facts(point)
    for path, file in run.files.items():
        yield SourceArtifact(UNKNOWN_NS, path, "file", file)
    # Neptune keeps no other word of how a run ended.
    if run.values.get("sys/failed") is True:
        traceback = "\n".join(reader.traceback) or None
        yield RunFinished(seq=0, t=run.failed_ns, status="failed", traceback=traceback)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by path as a nested object; one whose path goes through another value, or is absurdly long, stays flat."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *folders, leaf = path.split("/")
        if len(folders) > _MAX_LEVELS:
            tree[path] = value
            continue
        place: Any = tree
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if isinstance(place, dict) and leaf not in place:
            place[leaf] = value
        else:
            tree[path] = value
    return tree


def picture(t: int, name: str, step: int, encoded: str, caption: str | None) -> SourceMedia | SourceProblem:
    """A picture that came as base64."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        return SourceProblem(name, f"step {step}", f"the picture cannot be read: {error}")
    suffix = picture_suffix(content) or "bin"
    return SourceMedia(t, name, step, "image", suffix, SourceFile.of(f"{name}.{suffix}", content), caption)


def _file_at(point: SeriesPoint, step: int) -> Fact:
    """A file of a series: a picture where its name says so."""
    file: SourceFile = point.value
    suffix = file.name.rpartition(".")[2].lower()
    if suffix in SUFFIXES:
        return SourceMedia(point.t, point.path, step, "image", suffix, file, point.caption)
    return SourceArtifact(point.t, f"{point.path}/step-{step}", "file", file)


def _fields(run: NeptuneRun, t: int) -> Iterator[Fact]:
    config, summary = dict[str, Any](), dict[str, Any]()
    known = ("sys/name", "sys/description", "sys/tags", "sys/group_tags", "sys/failed", "source_code/entrypoint")
    for path, value in (run.values | run.sets).items():
        namespace = path.partition("/")[0]
        if path in known:
            continue
        if namespace in _SYSTEM:
            yield Unmapped(t, path, value)
        elif namespace in _CONFIG and "/" in path:
            config[path] = value
        else:
            summary[path] = value
    for path, value in run.raw.items():
        yield Unmapped(t, path, value)
    if config:
        yield ConfigLogged(seq=0, t=t, scope="script", config=nested(config))
    if summary:
        yield SummaryLogged(seq=0, t=t, values=summary)
    if entrypoint := run.values.get("source_code/entrypoint"):
        yield EnvironmentCaptured(seq=0, t=t, environment={"command": {"argv": [str(entrypoint)]}})


class _SeriesReader:
    """Turns the points of series into facts, counting those that have no whole step."""

    def __init__(self, run: NeptuneRun) -> None:
        self._run = run
        self._counts: Counter[str] = Counter()
        self.traceback: list[str] = []

    def facts(self, point: SeriesPoint) -> Iterator[Fact]:
        """The facts of a point."""
        namespace, _, inner = point.path.partition("/")
        if namespace == "monitoring":
            yield from self._monitoring(point, inner.partition("/")[2] or inner)
            return
        step, epoch = self._place(point)
        if point.kind == "float":
            yield Points(point.t, step, {point.path: float(point.value)}, epoch)
        elif point.kind == "picture":
            yield picture(point.t, point.path, step, point.value, point.caption)
        elif point.kind == "file":
            yield _file_at(point, step)
        elif point.kind == "histogram":
            file = SourceFile.of(f"{point.path}.json", point.value)
            yield SourceMedia(point.t, point.path, step, "histogram", "json", file)
        else:
            file = SourceFile.of(f"{point.path}.txt", str(point.value).encode())
            yield SourceMedia(point.t, point.path, step, "text", "txt", file, point.caption)

    def _monitoring(self, point: SeriesPoint, name: str) -> Iterator[Fact]:
        """What the client saw of the machine; the streams and tracebacks came line by line, or in pieces."""
        if point.kind == "float":
            yield Points(
                point.t, max(0, point.t - self._run.started_ns) // 10**9, {f"system/{name}": float(point.value)}
            )
        elif name == "traceback":
            self.traceback.append(str(point.value))
        elif name in _STREAMS:
            yield Printed(str(point.value) + "\n")
        else:
            yield Unmapped(point.t, f"{point.path}/{self._counts[point.path]}", point.value)
            self._counts[point.path] += 1

    def _place(self, point: SeriesPoint) -> tuple[int, float | None]:
        """The step, and a fractional one as epoch."""
        position = self._counts[point.path]
        self._counts[point.path] += 1
        if point.path in self._run.by_position or point.step is None:
            return position, point.step
        return int(point.step), None
