"""
Events in Neptune's terms: fields with one value each, series, sets of texts and files, below namespaces.

The rules of this translation are those of `Capabilities.rules`. Nothing here knows whether the changes go to a server
or into an offline directory, and the SDK is not needed for it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from trackbridge.adapters.base import Ending, Rejection, Row, RunHeader
from trackbridge.adapters.description import seeds_by_name
from trackbridge.adapters.neptune_ledger import MAX_SERIES, Ledger
from trackbridge.adapters.shaping import (
    Files,
    Translations,
    leaves,
    media_gone,
    media_unreadable,
    patch_of,
    spelled,
    table_as_csv,
    told_dropped,
    translated,
)
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    EventsDropped,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.journal.codec import encode_json

MAX_TEXT = 16_384
MAX_INT = 2**31 - 1
MAX_PICTURE_BYTES = 32 << 20
_CUT = " [truncated]"
_PICTURES = ("png", "jpg", "jpeg", "gif", "webp", "bmp")
_TOO_MANY = f"is not after the last step of any of its {MAX_SERIES} series at Neptune"
_SYSTEM = "monitoring"


class Assignment(NamedTuple):
    """A field gets a value; `kind` is Float, Int, Bool, String or Datetime, whose value is milliseconds."""

    row: int
    path: str
    kind: str
    value: bool | int | float | str


class Texts(NamedTuple):
    """A field gets a whole set of texts, such as tags."""

    row: int
    path: str
    values: tuple[str, ...]


class Removal(NamedTuple):
    """A field goes, because the next value has another type or the config no longer has the key."""

    row: int
    path: str


class Point(NamedTuple):
    """One value of a series, number `place` of it; a text where the number is not finite. Time in milliseconds."""

    row: int
    path: str
    place: int
    step: int
    at_ms: int
    value: float | str

    @property
    def kind(self) -> str:
        """What Neptune calls its series."""
        return "String" if isinstance(self.value, str) else "Float"


class Picture(NamedTuple):
    """One picture of a series, number `place` of it."""

    row: int
    path: str
    place: int
    step: int
    at_ms: int
    content: bytes
    caption: str | None

    @property
    def kind(self) -> str:
        """What Neptune calls its series."""
        return "Image"

    @property
    def value(self) -> dict[str, str | None]:
        """The picture as Neptune takes it."""
        data = base64.b64encode(self.content).decode()
        return {"data": data, "name": self.path.rpartition("/")[2], "description": self.caption}


class Upload(NamedTuple):
    """A field becomes a file."""

    row: int
    path: str
    extension: str
    source: Path | bytes


Change: TypeAlias = Assignment | Texts | Removal | Point | Picture | Upload


class Refused(NamedTuple):
    """A change that Neptune did not make, and why."""

    change: Change
    reason: str


class Translator:
    """Translates the rows of one run, in order."""

    def __init__(self, run: RunHeader, ledger: Ledger) -> None:
        self._run = run
        self._ledger = ledger
        self._translations: Translations[Change] = {
            MetricsLogged: self._metrics,
            RunStarted: self._started,
            RunResumed: self._resumed,
            ConfigLogged: self._config,
            SeedsLogged: self._seeds,
            EnvironmentCaptured: self._environment,
            SummaryLogged: self._summary,
            MediaLogged: self._media,
            CheckpointSaved: self._checkpoint,
            CheckpointDeleted: self._checkpoint_deleted,
            ArtifactLogged: self._artifact,
            TagsSet: self._tags,
            EventsDropped: self._dropped,
            RunFinished: self._finished,
        }

    def translate(self, row: Row) -> Iterator[Change | Rejection]:
        """The changes that a row makes, and what of it Neptune cannot carry."""
        return translated(row, self._run.folder, self._translations, self._files)

    def introduction(self) -> Iterator[Change]:
        """What Neptune has to know of a run before its first row."""
        run = self._run
        started = {"started": _time(run.started_ns)} if run.started_ns else {}
        yield from self._assign(0, "run", {"id": run.run_id, "project": run.project, **started})
        yield from self._assign(0, "sys", {"name": run.name, "description": run.notes or ""})
        sets = {"sys/tags": run.tags, "sys/group_tags": (run.group,) if run.group else ()}
        yield from (Texts(0, path, texts) for path, texts in sets.items() if texts)

    def ending(self, ending: Ending) -> Iterator[Change]:
        """How the run ended."""
        ended = _time(ending.ended_ns) if ending.ended_ns else None
        facts = {"status": ending.status, "exit_code": ending.exit_code, "error": ending.error, "ended": ended}
        told = {**facts, "console": ending.console or None}
        for name in [name for name, fact in told.items() if fact is None and f"run/{name}" in self._ledger.types]:
            self._ledger.drop(f"run/{name}")
            yield Removal(self._ledger.rows, f"run/{name}")
        yield from self._assign(self._ledger.rows, "run", _known(facts))
        if ending.console:
            yield self._file(self._ledger.rows, "run/console", "txt", ending.console.encode())
        yield from self._assign(self._ledger.rows, "sys", {"failed": ending.status != "finished"})

    def _metrics(self, row: int, event: MetricsLogged) -> Iterator[Point | Rejection]:
        step, at_ms = event.step, event.t // 1_000_000
        for name, value in event.metrics.items():
            folder = "not_finite" if not math.isfinite(value) else _SYSTEM if name.startswith("system/") else "metrics"
            series = self._ledger.append(f"{folder}/{name}", step, at_ms)
            if series is None:
                yield Rejection(row, "metrics_logged", name, f"step {step} {_TOO_MANY}")
            else:
                yield Point(row, series.path, series.count - 1, step, at_ms, spelled(value))
        # Rows of one step share its epoch, so one point of it is enough.
        if event.epoch is not None and step != self._ledger.last_step("epoch"):
            series = self._ledger.append("epoch", step, at_ms)
            if series is not None:
                yield Point(row, series.path, series.count - 1, step, at_ms, event.epoch)

    def _started(self, row: int, event: RunStarted) -> Iterator[Change]:
        yield from self._assign(row, "run", {"status": "running"})
        yield from self._assign(row, "sys", {"failed": False})
        if event.resumed_from is not None:
            yield from self._assign(row, "run", {"started_from": event.resumed_from})

    def _resumed(self, row: int, event: RunResumed) -> Iterator[Change]:
        yield from self._assign(row, "run", {"status": "running"})
        yield from self._assign(row, "sys", {"failed": False})
        where = {"from_step": event.from_step, "checkpoint": event.checkpoint, "at": _time(event.t)}
        yield from self._assign(row, f"run/resumed/row-{row}", _known(where))

    def _config(self, row: int, event: ConfigLogged) -> Iterator[Change]:
        yield from self._assign(row, f"config/{event.scope}", event.config)
        yield self._whole(row, "config", {event.scope: event.config})

    def _seeds(self, row: int, event: SeedsLogged) -> Iterator[Change]:
        yield from self._assign(row, "seeds", seeds_by_name(event))

    def _environment(self, row: int, event: EnvironmentCaptured) -> Iterator[Change]:
        yield self._whole(row, "environment", event.environment)
        environment = dict(event.environment)
        packages = environment.pop("packages", None)
        if isinstance(packages, dict):
            lines = "".join(f"{name}=={version}\n" for name, version in packages.items())
            yield self._file(row, "environment/packages", "txt", lines.encode())
        yield from self._assign(row, "environment", environment)
        if patch := patch_of(event, self._run.folder):
            yield self._file(row, "environment/git/diff", "patch", patch)

    def _summary(self, row: int, event: SummaryLogged) -> Iterator[Change]:
        yield from self._assign(row, "summary", event.values)
        yield self._whole(row, "summary", event.values)

    def _media(self, row: int, event: MediaLogged) -> Iterator[Change | Rejection]:
        source = self._run.folder / event.path
        try:
            suffix, content = _MEDIA[event.media](source)
        except FileNotFoundError:
            yield media_gone(row, event)
            return
        except (OSError, ValueError, LookupError) as error:
            yield media_unreadable(row, event, error)
            return
        if event.media == "image" and suffix in _PICTURES and len(content) <= MAX_PICTURE_BYTES:
            yield self._picture(row, event, content)
            return
        name = f"{event.name}/step-{event.step}"
        if f"media/{event.media}/{name}" in self._ledger.types:
            name = f"{name}-row-{row}"
        yield self._file(row, f"media/{event.media}/{name}", suffix, content)
        if event.media == "table":
            # CSV does not tell the number 1 from the text "1".
            yield self._file(row, f"trackbridge/media/{name}", "json", source)
        if event.caption:
            yield from self._assign(row, "media/captions", {name: event.caption})

    def _picture(self, row: int, event: MediaLogged, content: bytes) -> Picture | Rejection:
        at_ms = event.t // 1_000_000
        series = self._ledger.append(f"media/images/{event.name}", event.step, at_ms)
        if series is None:
            return Rejection(row, "media_logged", event.name, f"step {event.step} {_TOO_MANY}")
        return Picture(row, series.path, series.count - 1, event.step, at_ms, content, event.caption)

    def _checkpoint(self, row: int, event: CheckpointSaved) -> Iterator[Change]:
        saved = _time(event.t) if event.t else None
        facts = {"path": event.path, "size_bytes": event.size_bytes, "saved": saved, "is_deleted": False}
        yield from self._assign(row, f"checkpoints/step-{event.step}", {**_known(facts), "metrics": event.metrics})

    def _checkpoint_deleted(self, row: int, event: CheckpointDeleted) -> Iterator[Change]:
        yield from self._assign(row, f"checkpoints/step-{event.step}", {"is_deleted": True})

    def _artifact(self, row: int, event: ArtifactLogged) -> Iterator[Change]:
        facts = {"type": event.type, "path": event.path, "sha256": event.sha256}
        yield from self._assign(row, f"artifacts/{event.name}", facts)

    def _tags(self, row: int, event: TagsSet) -> Iterator[Change]:
        yield Texts(row, "sys/tags", tuple(event.tags))

    def _dropped(self, row: int, event: EventsDropped) -> Iterator[Change]:
        yield from self._assign(row, "run/events_dropped", {f"row-{row}": told_dropped(event)})

    def _finished(self, row: int, event: RunFinished) -> Iterator[Change]:
        if event.traceback:
            yield self._file(row, "run/traceback", "txt", event.traceback.encode())

    def _assign(self, row: int, folder: str, values: Mapping[str, Any]) -> Iterator[Change]:
        """Each key is replaced as a whole: what it no longer has goes."""
        there = [path for path in self._ledger.types if path.startswith(f"{folder}/")]
        for key, value in values.items():
            new = dict(leaves({key: value}))
            for path in there:
                inner = path[len(folder) + 1 :]
                if inner not in new and f"{inner}/".startswith(f"{key}/"):
                    self._ledger.drop(path)
                    yield Removal(row, path)
            for inner, leaf in new.items():
                yield from self._assign_leaf(row, self._ledger.free(f"{folder}/{inner}"), leaf)

    def _assign_leaf(self, row: int, path: str, value: Any) -> Iterator[Change]:
        if isinstance(value, str) and len(value) > MAX_TEXT:
            yield self._file(row, f"long_values/{path}", "txt", value.encode())
            value = value[: MAX_TEXT - len(_CUT)] + _CUT
        kind, plain = _plain(value)
        if self._ledger.put(path, kind) not in (None, kind):
            yield Removal(row, path)
        yield Assignment(row, path, kind, plain)

    def _whole(self, row: int, what: str, values: Mapping[str, Any]) -> Upload:
        """The values as they were, for whoever imports the run: fields do not tell a list from a text."""
        return self._file(row, f"trackbridge/{what}/row-{row}", "json", encode_json(values))

    def _file(self, row: int, path: str, extension: str, source: Path | bytes) -> Upload:
        path = self._ledger.free(path)
        self._ledger.put(path, "file")
        return Upload(row, path, extension, source)

    def _files(self, row: int, files: Files) -> Iterator[Change]:
        for inside, file in files.inside().items():
            yield self._file(row, f"{files.what}s/{files.name}/files/{inside}", "", file)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> tuple[str, bool | int | float | str]:
    if isinstance(value, bool):
        return "Bool", value
    # Neptune's client drops integers that do not fit 32 bits; as a text all digits survive.
    if isinstance(value, int) and abs(value) <= MAX_INT:
        return "Int", value
    if isinstance(value, float) and math.isfinite(value):
        return "Float", value
    if isinstance(value, datetime):
        return "Datetime", round(value.timestamp() * 1000)
    return "String", str(spelled(value) if isinstance(value, float) else value)


def _time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000, tz=timezone.utc)


def _as_it_is(path: Path) -> tuple[str, bytes]:
    return path.suffix.lstrip("."), path.read_bytes()


def _histogram(path: Path) -> tuple[str, bytes]:
    histogram = json.loads(path.read_bytes())
    edges = histogram["edges"]
    lines = ["from,to,count"]
    lines += [f"{low},{high},{count}" for low, high, count in zip(edges, edges[1:], histogram["counts"], strict=False)]
    if histogram.get("n_nonfinite"):
        lines.append(f"not finite,,{histogram['n_nonfinite']}")
    return "csv", "".join(f"{line}\n" for line in lines).encode()


_MEDIA: dict[str, Callable[[Path], tuple[str, bytes]]] = {
    "image": _as_it_is,
    "text": _as_it_is,
    "plotly": _as_it_is,
    "table": lambda path: ("csv", table_as_csv(path.read_bytes())),
    "histogram": _histogram,
}
