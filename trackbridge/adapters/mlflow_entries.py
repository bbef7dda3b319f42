"""
Events in MLflow's terms: points, params, tags and files. Nothing here needs the SDK or knows what a server has already.

Names and limits are those of `mlflow/utils/validation.py`, but tags are kept to the 5,000 characters of older servers.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from trackbridge.adapters.base import Rejection, Row, RunHeader
from trackbridge.adapters.description import seeds_by_name
from trackbridge.adapters.shaping import (
    Files,
    Translations,
    kind_of,
    leaves,
    media_gone,
    media_unreadable,
    patch_of,
    table_as_csv,
    told_dropped,
    translated,
)
from trackbridge.events.models import (
    ArtifactLogged,
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

OURS = "trackbridge"
MAX_NAME, MAX_PARAM, MAX_TAG = 250, 6000, 5000
_CUT = " [truncated]"
_FORBIDDEN = re.compile(r"[^/\w.\- ]")


class Point(NamedTuple):
    """One value of a metric; `at_ms` is Unix time in milliseconds, which is all that MLflow keeps of it."""

    row: int
    name: str
    value: float
    step: int
    at_ms: int


class Param(NamedTuple):
    """A leaf of the config or a seed, as text."""

    row: int
    name: str
    value: str


class Tag(NamedTuple):
    """A text by name; a later one replaces an earlier one."""

    row: int
    name: str
    value: str


class File(NamedTuple):
    """A file to be uploaded; the same row gives the same path, so a second upload replaces the first."""

    row: int
    kind: str
    path: str
    source: Path | bytes


Entry: TypeAlias = Point | Param | Tag | File


class Translator:
    """Translates the rows of one run, in order."""

    def __init__(self, run: RunHeader) -> None:
        self._run = run
        self._renamed: set[str] = set()
        self._millisecond = 0
        self._in_millisecond: set[tuple[str, int, str]] = set()
        self._translations: Translations[Entry] = {
            MetricsLogged: self._metrics,
            RunStarted: self._started,
            RunResumed: self._resumed,
            ConfigLogged: self._config,
            SeedsLogged: self._seeds,
            EnvironmentCaptured: self._environment,
            SummaryLogged: self._summary,
            MediaLogged: self._media,
            TagsSet: self._tags,
            EventsDropped: self._dropped,
            RunFinished: self._finished,
        }

    def translate(self, row: Row) -> Iterator[Entry | Rejection]:
        """The entries of a row, and what of it MLflow cannot carry."""
        return translated(row, self._run.folder, self._translations, _files)

    def _metrics(self, row: int, event: MetricsLogged) -> Iterator[Entry | Rejection]:
        metrics = event.metrics
        if event.epoch is not None and "epoch" not in metrics:
            metrics = {**metrics, "epoch": event.epoch}
        at_ms = event.t // 1_000_000
        for name, value in metrics.items():
            fitted = fitting_name(name)
            if fitted != name and name not in self._renamed:
                self._renamed.add(name)
                reason = f"MLflow does not take such a name; delivered as {fitted!r}"
                yield Rejection(row, "metrics_logged", f"the name {name!r}", reason)
                yield _name_behind(row, fitted, name)
            if self._is_double(fitted, event.step, value, at_ms):
                reason = "MLflow keeps one of several points that are equal in step, millisecond and value"
                yield Rejection(row, "metrics_logged", name, reason)
            else:
                yield Point(row, fitted, value, event.step, at_ms)

    def _is_double(self, name: str, step: int, value: float, at_ms: int) -> bool:
        if at_ms != self._millisecond:
            self._millisecond = at_ms
            self._in_millisecond.clear()
        point = (name, step, repr(value))
        is_double = point in self._in_millisecond
        self._in_millisecond.add(point)
        return is_double

    def _started(self, row: int, event: RunStarted) -> Iterator[Entry]:
        yield Tag(row, f"{OURS}.tags", _as_list(event.tags))
        if event.resumed_from is not None:
            yield Tag(row, f"{OURS}.resumed_from", fitting_text(event.resumed_from, MAX_TAG))

    def _resumed(self, row: int, event: RunResumed) -> Iterator[Entry]:
        told = {"t": event.t, "from_step": event.from_step, "checkpoint": event.checkpoint}
        yield Tag(row, f"{OURS}.resumed.{row}", fitting_text(json.dumps(told), MAX_TAG))

    def _tags(self, row: int, event: TagsSet) -> Iterator[Entry]:
        yield Tag(row, f"{OURS}.tags", _as_list(event.tags))

    def _config(self, row: int, event: ConfigLogged) -> Iterator[Entry]:
        yield from _params(row, {event.scope: event.config})

    def _seeds(self, row: int, event: SeedsLogged) -> Iterator[Entry]:
        yield from _params(row, {"seeds": seeds_by_name(event)})

    def _environment(self, row: int, event: EnvironmentCaptured) -> Iterator[Entry]:
        git, command = event.environment.get("git") or {}, event.environment.get("command") or {}
        # These MLflow shows in places of their own.
        known = {
            "mlflow.source.git.commit": git.get("commit"),
            "mlflow.source.git.branch": git.get("branch"),
            "mlflow.source.name": next(iter(command.get("argv") or ()), None),
        }
        for name, value in known.items():
            if value:
                yield Tag(row, name, fitting_text(str(value), MAX_TAG))
        if patch := patch_of(event, self._run.folder):
            yield File(row, "patch", f"{OURS}/{patch.name}", patch)

    def _summary(self, row: int, event: SummaryLogged) -> Iterator[Entry]:
        for name, value in leaves(event.values, "summary/"):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield Point(row, fitting_name(name), float(value), 0, event.t // 1_000_000)
            else:
                yield Tag(row, fitting_name(name), fitting_text(str(value), MAX_TAG))

    def _media(self, row: int, event: MediaLogged) -> Iterator[Entry | Rejection]:
        source = self._run.folder / event.path
        try:
            yield from self._media_files(row, event, source)
        except FileNotFoundError:
            yield media_gone(row, event)
        except (OSError, ValueError) as error:
            yield media_unreadable(row, event, error)

    def _media_files(self, row: int, event: MediaLogged, source: Path) -> Iterator[Entry]:
        source.stat()
        fitted = fitting_name(event.name)
        stem = f"media/{fitted}/step-{event.step}-row-{row}"
        if fitted != event.name:
            yield _name_behind(row, fitted, event.name)
        if event.media == "image" and source.suffix == ".png":
            yield from self._pictures(row, event, source)
        elif event.media == "table":
            # MLflow's page shows CSV files as tables.
            yield File(row, "media_logged", f"{stem}.csv", table_as_csv(source.read_bytes()))
            # As it was, for whoever imports the run: CSV does not tell the number 1 from the text "1".
            yield File(row, "media_logged", f"{OURS}/{stem}.json", source)
        else:
            suffix = ".plotly.json" if event.media == "plotly" else source.suffix
            yield File(row, "media_logged", f"{stem}{suffix}", source)
        if event.caption:
            yield File(row, "media_logged", f"{stem}.caption.txt", event.caption.encode())

    def _pictures(self, row: int, event: MediaLogged, source: Path) -> Iterator[Entry]:
        # Named as `MlflowClient.log_image` does, which is how the page finds them for its grid of images by step. That
        # wants a preview beside each, which may be the picture itself. The id there is random, here it repeats.
        digest = hashlib.blake2b(f"{self._run.run_id}/{row}".encode(), digest_size=16).digest()
        key = fitting_name(event.name).replace("/", "~")
        stem = f"images/{key}+step+{event.step}+timestamp+{event.t // 1_000_000}+{uuid.UUID(bytes=digest)}"
        yield File(row, "media_logged", f"{stem}.png", source)
        yield File(row, "media_logged", f"{stem}+compressed.webp", source)
        yield Tag(row, "mlflow.loggedImages", "True")

    def _dropped(self, row: int, event: EventsDropped) -> Iterator[Entry]:
        yield Tag(row, f"{OURS}.events_dropped.{row}", fitting_text(told_dropped(event), MAX_TAG))

    def _finished(self, row: int, event: RunFinished) -> Iterator[Entry]:
        if event.traceback:
            yield File(row, "traceback", f"{OURS}/traceback-row-{row}.txt", event.traceback.encode())


def fitting_name(name: str) -> str:
    """The name in at most 250 letters, digits and `_-. /`; one that had to change ends in a digest and stays unique."""
    # A name that is no plain relative path is refused as well: a server may keep each metric in a file.
    plain = posixpath.normpath(_FORBIDDEN.sub("_", name)).lstrip("./")
    if plain == name and len(name) <= MAX_NAME:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return f"{plain[: MAX_NAME - len(digest) - 1]}-{digest}"


def fitting_text(text: str, limit: int) -> str:
    """The text; a longer one is cut, and says so."""
    return text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT


def _name_behind(row: int, fitted: str, name: str) -> Tag:
    """The name as it was, by the digest at the end of the one that it got, for whoever imports the run."""
    return Tag(row, f"{OURS}.name.{fitted.rpartition('-')[2]}", fitting_text(name, MAX_TAG))


def _params(row: int, nested: Mapping[str, Any]) -> Iterator[Param]:
    for path, value in leaves(nested):
        yield Param(row, fitting_name(path), fitting_text(str(value), MAX_PARAM))


def _files(row: int, files: Files) -> Iterator[File | Tag]:
    folder = f"{files.what}s/{fitting_name(files.name)}"
    if isinstance(files.event, ArtifactLogged):
        told = {"folder": folder, "name": files.name, "type": files.event.type}
        yield Tag(row, f"{OURS}.artifact.{row}", fitting_text(json.dumps(told, ensure_ascii=False), MAX_TAG))
    for inside, source in files.inside().items():
        yield File(row, kind_of(files.event), f"{folder}/{inside}", source)


def _as_list(tags: list[str]) -> str:
    return fitting_text(json.dumps(tags, ensure_ascii=False), MAX_TAG)
