"""A run as MLflow keeps it, in whichever store, and what it says in the journal's words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunStarted,
    Status,
)
from trackbridge.journal.codec import encode_json
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    SourceArtifact,
    SourceFile,
    SourceMedia,
    SourceProblem,
    Unmapped,
)
from trackbridge.sources.files import file_inside

NAME, NOTES, PARENT, TABLES = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId", "mlflow.loggedArtifacts"
_IMAGE = re.compile(r"images/(.+)[+%]step[+%](\d{1,18})[+%]timestamp[+%](\d{1,15})[+%][0-9a-f-]+\.(png)")
_PREVIEW = re.compile(r"images/.+[+%]compressed\.webp")
_STATUS: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
# A tag as long as a text is none to sort runs by.
_MAX_TAG = 200
_MAX_TABLE_BYTES = 256 << 20


class MetricPoint(NamedTuple):
    """One value of a metric; `at_ms` is Unix time in milliseconds."""

    name: str
    value: float
    at_ms: int
    step: int


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run, its points, files and data sets unread.

    Attributes:
        status: MLflow's word for it.
        artifacts: the folder that holds its files; None where there is none that may be read.
        store: the folder that was imported, into which links may lead.
        problems: what could not be read of all this.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start_ms: int | None
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Callable[[], Iterator[MetricPoint | SourceProblem]]
    datasets: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    artifacts: Path | None = None
    store: Path = Path()
    problems: Sequence[SourceProblem] = field(default_factory=list)

    @property
    def started_ns(self) -> int:
        """When it began."""
        return milliseconds(self.start_ms)

    def files(self) -> Iterator[SourceFile]:
        """Its artifacts, each under its path in their folder."""
        if self.artifacts is None:
            return
        for path in sorted(self.artifacts.rglob("*")):
            name = path.relative_to(self.artifacts).as_posix()
            if file := file_inside(self.artifacts, name, named_by=str(self.artifacts), also=[self.store]):
                yield file


def milliseconds(at_ms: int | None) -> int:
    """A time of MLflow in nanoseconds."""
    return at_ms * 1_000_000 if at_ms is not None and at_ms > 0 else UNKNOWN_NS


def facts_of(run: StoredRun, *, group: str | None) -> Iterator[Fact]:
    """What a run of anybody says; `group` is the run that it is nested in."""
    t = run.started_ns
    user_tags = {name: value for name, value in run.tags.items() if not name.startswith("mlflow.")}
    tags = [f"{name}={value}" for name, value in user_tags.items() if len(value) <= _MAX_TAG]
    labels: dict[str, Any] = {"group": group, "tags": tags, "notes": run.tags.get(NOTES)}
    yield RunStarted(seq=0, t=t, project=run.experiment, name=run.name, **labels)
    yield from run.problems
    if run.params:
        yield ConfigLogged(seq=0, t=t, scope="script", config=dict(run.params))
    if environment := _environment(run.tags):
        yield EnvironmentCaptured(seq=0, t=t, environment=environment)
    for name, value in run.tags.items():
        is_theirs = name not in user_tags and name not in (NAME, NOTES)
        if is_theirs or (name in user_tags and len(value) > _MAX_TAG):
            yield Unmapped(t, f"tags/{name}", value)
    if datasets := run.datasets():
        yield EnvironmentCaptured(seq=0, t=t, environment={"data": _data(datasets)})
    yield from points_of(map(partial(_system_in_seconds, run.start_ms), run.points()))
    yield from _files_of(run)
    if status := _STATUS.get(run.status):
        yield RunFinished(seq=0, t=milliseconds(run.end_ms), status=status)


def points_of(found: Iterator[MetricPoint | SourceProblem]) -> Iterator[Points | SourceProblem]:
    """The points, those together that were logged together: one step and millisecond, each name once."""
    together: dict[str, float] = {}
    place: tuple[int, int] = (0, 0)
    for one in found:
        if isinstance(one, SourceProblem):
            yield one
            continue
        if together and ((one.at_ms, one.step) != place or one.name in together):
            yield Points(milliseconds(place[0]), place[1], together)
            together = {}
        place = (one.at_ms, one.step)
        together[one.name] = one.value
    if together:
        yield Points(milliseconds(place[0]), place[1], together)


def image_of(file: SourceFile) -> SourceMedia | None:
    """The picture that `log_image` made of a file; None for any other file, and for a picture's small preview."""
    match = _IMAGE.fullmatch(file.name)
    if match is None:
        return None
    name, step, at_ms, suffix = match.groups()
    return SourceMedia(milliseconds(int(at_ms)), re.sub("[~#]", "/", name), int(step), "image", suffix, file)


def _system_in_seconds(start_ms: int | None, one: MetricPoint | SourceProblem) -> MetricPoint | SourceProblem:
    """MLflow numbers the samples of the machine; here their step is seconds since the start."""
    if isinstance(one, SourceProblem) or start_ms is None or not one.name.startswith("system/"):
        return one
    return one._replace(step=max(0, one.at_ms - start_ms) // 1000)


def _environment(tags: Mapping[str, str]) -> dict[str, Any]:
    git = {"commit": tags.get("mlflow.source.git.commit"), "branch": tags.get("mlflow.source.git.branch")}
    known = {name: value for name, value in git.items() if value}
    command = {"argv": [tags["mlflow.source.name"]]} if tags.get("mlflow.source.name") else {}
    return {name: part for name, part in (("git", known), ("command", command)) if part}


def _data(datasets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Data sets by name, each with what MLflow tells of it; its digest is what a comparison looks at."""
    return {str(one.get("name", one.get("id"))): {**one, "fingerprint": one.get("digest")} for one in datasets}


def _files_of(run: StoredRun) -> Iterator[Fact]:
    tables = _logged_tables(run.tags.get(TABLES, "[]"))
    for file in run.files():
        if image := image_of(file):
            yield image
        elif _PREVIEW.fullmatch(file.name):
            continue
        elif file.name in tables:
            yield from _table(file)
        else:
            yield SourceArtifact(UNKNOWN_NS, file.name, "artifact", file)


def _table(file: SourceFile) -> Iterator[Fact]:
    """A table of `log_table`, in the journal's form; anything else stays the file that it is."""
    try:
        with file.open() as opened:
            content = json.loads(opened.read(_MAX_TABLE_BYTES))
        encoded = encode_json({"columns": list(map(str, content["columns"])), "rows": list(map(list, content["data"]))})
    except (ValueError, TypeError, LookupError, RecursionError, OSError):
        yield SourceArtifact(UNKNOWN_NS, file.name, "artifact", file)
    else:
        yield SourceMedia(UNKNOWN_NS, file.name, 0, "table", "json", SourceFile.of(file.name, encoded))


def _logged_tables(told: str) -> frozenset[str]:
    try:
        logged = json.loads(told)
        return frozenset(str(one["path"]) for one in logged if one["type"] == "table")
    except (ValueError, TypeError, LookupError, RecursionError):
        return frozenset()
