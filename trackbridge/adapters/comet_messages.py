"""
Events in Comet's terms: points, parameters, "other" values, tags, system information, packages and assets.

The rules of this translation are those of `Capabilities.rules`. Nothing here knows whether the messages go to a server
or into an archive, and the SDK is not needed for it.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from trackbridge.adapters.base import Rejection, Row, RunHeader
from trackbridge.adapters.description import seeds_by_name
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
    KnownEvent,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)

_SYSTEM = "system/"
MAX_KEY = 100
MAX_VALUE = 1000
_CUT = " [truncated]"


class Point(NamedTuple):
    """One value of a metric; `at_ms` is Unix time in milliseconds, which is all that Comet keeps of it."""

    name: str
    value: float
    step: int
    epoch: float | None
    at_ms: int


class Parameter(NamedTuple):
    """A leaf of the config or a seed."""

    name: str
    value: Any
    at_ms: int


class Other(NamedTuple):
    """A value in Comet's table of "other" values; a later one replaces an earlier one."""

    key: str
    value: Any


class Tags(NamedTuple):
    """All tags from now on."""

    tags: tuple[str, ...]


class SystemInformation(NamedTuple):
    """Facts about the environment, flat."""

    values: Mapping[str, str]


class Packages(NamedTuple):
    """Installed packages as `name==version`."""

    names: tuple[str, ...]


class Output(NamedTuple):
    """Lines of the console, for Comet's page of output; later ones are added."""

    text: str
    at_ms: int


class Described(NamedTuple):
    """An event that says what a run is, whole: an archive keeps it beside what Comet makes of it, and a server not."""

    event: KnownEvent


class Asset(NamedTuple):
    """A file. `kind` is our word for what it is, `type` is Comet's; `row` and `name` tell it from all others.

    `original` is the run's own file, where Comet's form of it says less.
    """

    row: int
    name: str
    kind: str
    type: str
    step: int | None
    source: Path | bytes
    at_ms: int
    caption: str | None = None
    original: Path | None = None

    @property
    def event_kind(self) -> str:
        """The kind of event it comes from."""
        return _EVENT_KINDS.get(self.kind, "media_logged")


_EVENT_KINDS = {
    "artifact": "artifact_logged",
    "checkpoint": "checkpoint_saved",
    "long-values": "config_logged",
    "patch": "environment_captured",
    "traceback": "run_finished",
}
Message: TypeAlias = Point | Parameter | Other | Tags | SystemInformation | Packages | Output | Asset | Described
_DESCRIBING = (
    RunStarted,
    RunResumed,
    ConfigLogged,
    SeedsLogged,
    EnvironmentCaptured,
    SummaryLogged,
    TagsSet,
    CheckpointSaved,
    CheckpointDeleted,
    ArtifactLogged,
    RunFinished,
)


class Translator:
    """Translates the rows of one run, in order."""

    def __init__(self, run: RunHeader) -> None:
        self._folder = run.folder
        self._long_names: set[str] = set()
        self._translations: Translations[Message] = {
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
            TagsSet: self._tags,
            EventsDropped: self._dropped,
            RunFinished: self._finished,
        }

    def translate(self, row: Row) -> Iterator[Message | Rejection]:
        """The messages of a row, and what of it Comet cannot carry."""
        if isinstance(row.event, _DESCRIBING):
            yield Described(row.event)
        yield from translated(row, self._folder, self._translations, _assets)

    def _metrics(self, row: int, event: MetricsLogged) -> Iterator[Message | Rejection]:
        at_ms = event.t // 1_000_000
        for logged, value in event.metrics.items():
            # Comet's page for system metrics has those of this prefix.
            name = f"sys.{logged[len(_SYSTEM) :]}" if logged.startswith(_SYSTEM) else logged
            if len(name) > MAX_KEY and name not in self._long_names:
                self._long_names.add(name)
                reason = f"longer than the {MAX_KEY} characters that Comet keeps; delivered as {fitting_key(name)!r}"
                yield Rejection(row, "metrics_logged", f"the name {name!r}", reason)
            yield Point(fitting_key(name), value, event.step, event.epoch, at_ms)

    def _started(self, row: int, event: RunStarted) -> Iterator[Message]:
        yield Other("status", "running")
        if event.resumed_from is not None:
            yield Other("started_from", event.resumed_from)
        yield from _whole(row, "run", {"notes": event.notes or ""}, event.t // 1_000_000)

    def _resumed(self, row: int, event: RunResumed) -> Iterator[Message]:
        yield Other("status", "running")
        yield Other("resumed_from_step", "none" if event.from_step is None else event.from_step)

    def _config(self, row: int, event: ConfigLogged) -> Iterator[Message]:
        at_ms = event.t // 1_000_000
        flat = _leaves({event.scope: event.config})
        yield Other("hasNestedParams", True)
        for path, value in flat.items():
            yield Parameter(fitting_key(path), fitting_value(value), at_ms)
        yield from _whole(row, f"config/{event.scope}", flat, at_ms)

    def _seeds(self, row: int, event: SeedsLogged) -> Iterator[Message]:
        for name, seed in seeds_by_name(event).items():
            yield Parameter(f"seeds|{name}", seed, event.t // 1_000_000)

    def _environment(self, row: int, event: EnvironmentCaptured) -> Iterator[Message]:
        environment = dict(event.environment)
        packages = environment.pop("packages", None)
        if isinstance(packages, dict):
            yield Packages(tuple(f"{name}=={version}" for name, version in packages.items()))
        flat = _leaves(environment)
        yield SystemInformation({fitting_key(path): str(fitting_value(value)) for path, value in flat.items()})
        yield from _whole(row, "environment", flat, event.t // 1_000_000)
        if patch := patch_of(event, self._folder):
            yield Asset(row, patch.name, "patch", "asset", None, patch, event.t // 1_000_000)

    def _summary(self, row: int, event: SummaryLogged) -> Iterator[Message]:
        values = {f"summary/{name}": _plain(value) for name, value in event.values.items()}
        for key, value in values.items():
            yield Other(fitting_key(key), fitting_value(value))
        yield from _whole(row, "summary", values, event.t // 1_000_000)

    def _media(self, row: int, event: MediaLogged) -> Iterator[Message | Rejection]:
        path = self._folder / event.path
        if not path.is_file():
            yield media_gone(row, event)
            return
        try:
            name, comet_type, source = _MEDIA[event.media](event.name, path)
        except (OSError, ValueError, LookupError) as error:
            yield media_unreadable(row, event, error)
            return
        original = path if isinstance(source, bytes) else None
        yield Asset(
            row, name, event.media, comet_type, event.step, source, event.t // 1_000_000, event.caption, original
        )

    def _checkpoint(self, row: int, event: CheckpointSaved) -> Iterator[Message]:
        facts = {"path": event.path, **{name: spelled(value) for name, value in event.metrics.items()}}
        yield Other(f"checkpoint/step-{event.step}", fitting_value(json.dumps(facts)))

    def _checkpoint_deleted(self, row: int, event: CheckpointDeleted) -> Iterator[Message]:
        yield Other(f"checkpoint/step-{event.step}", "deleted")

    def _tags(self, row: int, event: TagsSet) -> Iterator[Message]:
        yield Tags(tuple(event.tags))

    def _dropped(self, row: int, event: EventsDropped) -> Iterator[Message]:
        yield Other(f"events_dropped/{row}", fitting_value(told_dropped(event)))

    def _finished(self, row: int, event: RunFinished) -> Iterator[Message]:
        if event.traceback:
            content = event.traceback.encode()
            yield Asset(row, "traceback.txt", "traceback", "asset", None, content, event.t // 1_000_000)


def fitting_key(key: str) -> str:
    """The key in at most 100 characters; a longer one ends in a digest, so that two of them stay two."""
    if len(key) <= MAX_KEY:
        return key
    digest = hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
    return f"{key[: MAX_KEY - len(digest) - 1]}~{digest}"


def fitting_value(value: Any) -> Any:
    """The value; a text of more than 1000 characters is cut, and says so."""
    if isinstance(value, str) and len(value) > MAX_VALUE:
        return value[: MAX_VALUE - len(_CUT)] + _CUT
    return value


def _leaves(nested: Mapping[str, Any]) -> dict[str, Any]:
    # `|` between the levels is Comet's own rule, by which its page shows them nested.
    return {path: _plain(value) for path, value in leaves(nested, separator="|")}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return spelled(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _whole(row: int, name: str, values: Mapping[str, Any], at_ms: int) -> Iterator[Asset]:
    """What did not fit is kept whole in a file beside."""
    long = {key: value for key, value in values.items() if len(key) > MAX_KEY or fitting_value(value) != value}
    if long:
        content = json.dumps(long, ensure_ascii=False, indent=2).encode()
        yield Asset(row, f"{name}-long-values.json", "long-values", "asset", None, content, at_ms)


def _assets(row: int, files: Files) -> Iterator[Message]:
    event = files.event
    step = event.step if isinstance(event, CheckpointSaved) else None
    for inside, file in files.inside().items():
        name = files.name if file == files.path else f"{files.name}/{inside}"
        yield Asset(row, f"{files.what}s/{name}", files.what, "asset", step, file, event.t // 1_000_000)


def _table(name: str, path: Path) -> tuple[str, str, bytes]:
    return f"{name}.csv", "asset", table_as_csv(path.read_bytes())


# The bins of comet_ml.Histogram: geometric, 10% wide, from 1e-12 to 1e20 on either side of zero.
_FIRST, _LAST, _RATIO = 1e-12, 1e20, 1.1


def _histogram(name: str, path: Path) -> tuple[str, str, bytes]:
    histogram = json.loads(path.read_bytes())
    edges, positive = histogram["edges"], _geometric_edges()
    counts: dict[int, int] = {}
    for low, high, count in zip(edges, edges[1:], histogram["counts"], strict=False):
        centre = (low + high) / 2
        offset = bisect_left(positive, abs(centre)) if centre else 0
        index = len(positive) + 1 + offset if centre >= 0 else len(positive) - offset
        counts[index] = counts.get(index, 0) + count
    values = sorted([index, count] for index, count in counts.items() if count)
    layout = {"offset": 0, "start": _FIRST, "stop": _LAST, "step": _RATIO}
    return name, "histogram3d", json.dumps({"version": 2, "index_values": values, "values": None, **layout}).encode()


def _geometric_edges() -> list[float]:
    edges, edge = [], _FIRST
    while edge <= _LAST:
        edges.append(edge)
        edge *= _RATIO
    return edges


_MEDIA: dict[str, Callable[[str, Path], tuple[str, str, Path | bytes]]] = {
    "image": lambda name, path: (name, "image", path),
    "text": lambda name, path: (name, "text-sample", path),
    "plotly": lambda name, path: (f"{name}.plotly.json", "asset", path),
    "table": _table,
    "histogram": _histogram,
}
