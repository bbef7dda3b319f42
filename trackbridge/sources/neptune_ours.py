"""Runs that trackbridge delivered to Neptune, out of an offline directory or out of an export of a server."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast, get_args

import msgspec

from trackbridge.events.models import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    MediaType,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    Status,
    SummaryLogged,
)
from trackbridge.journal.codec import decode_json
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
from trackbridge.sources.epochs import Epochs
from trackbridge.sources.neptune_runs import NeptuneRun, SeriesPoint, nested, picture

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_FURTHER = re.compile(r"~\d{1,3}$")
_MEDIA = re.compile(r"media/(image|text|plotly|table|histogram)/(.+)/step-(-?\d{1,18})(?:-row-\d{1,18})?")
_NAMESPACES = {"metrics": "", "not_finite": "", "monitoring": ""}
_MAX_BYTES = 256 << 20


class OurSession(NamedTuple):
    """A session of one of our runs: from when to when it wrote, and the step after which it superseded."""

    t: int = UNKNOWN_NS
    from_step: int | None = None
    checkpoint: str | None = None
    next_t: int = 2**63

    def has(self, t: int) -> bool:
        """Whether something was logged in this session. Times are whole milliseconds at Neptune."""
        return self.t // 1_000_000 <= t // 1_000_000 < self.next_t // 1_000_000


def our_run_id(run: NeptuneRun) -> str | None:
    """The id of the run, where trackbridge delivered it."""
    told = run.values.get("run/id")
    is_ours = isinstance(told, str) and _RUN_ID.fullmatch(told) and "run/project" in run.values
    return told if is_ours else None


def sessions_of(run: NeptuneRun) -> list[OurSession]:
    """The sessions of a run."""
    resumed = nested(_below("run/resumed", run.values))
    told = [OurSession()]
    for row in sorted(resumed, key=lambda row: (len(row), row)):
        facts = resumed[row] if isinstance(resumed[row], dict) else {}
        if at := _nanoseconds(facts.get("at")):
            told.append(OurSession(at, facts.get("from_step"), facts.get("checkpoint")))
    ends = [*told[1:], None]
    return [one._replace(next_t=end.t) if end else one for one, end in zip(told, ends, strict=True)]


def our_facts(run: NeptuneRun, session: OurSession) -> Iterator[Fact]:
    """What trackbridge said of the run in one of its sessions."""
    if session.t:
        yield RunResumed(seq=0, t=session.t, from_step=session.from_step, checkpoint=session.checkpoint)
    else:
        yield from _described(run)
        yield from run.problems
    yield from _points(run, session)
    yield from _checkpoints(run, session)
    if session.next_t == OurSession().next_t:
        # What has no time goes with the last of the sessions, whose steps nothing supersedes.
        yield from _files(run)
        yield from _ending(run)


def _described(run: NeptuneRun) -> Iterator[Fact]:
    t = _nanoseconds(run.values.get("run/started"))
    labels: dict[str, Any] = {"group": run.group, "tags": run.sets.get("sys/tags", [])}
    labels["notes"] = run.values.get("sys/description") or None
    labels["resumed_from"] = run.values.get("run/started_from")
    yield RunStarted(seq=0, t=t, project=str(run.values["run/project"]), name=run.name, **labels)
    for scope, config in _whole(run, "config").items():
        yield ConfigLogged(seq=0, t=t, scope=scope, config=config)
    if seeds := _below("seeds", run.values):
        yield msgspec.convert({"kind": "seeds_logged", "seq": 0, "t": t, **seeds}, SeedsLogged)
    if environment := _whole(run, "environment"):
        yield EnvironmentCaptured(seq=0, t=t, environment=environment)
    if summary := _whole(run, "summary"):
        yield SummaryLogged(seq=0, t=t, values=summary)
    for name, value in _below("run/events_dropped", run.values).items():
        yield Unmapped(t, f"events_dropped/{name}", value)
    yield Unmapped(t, "run_id", run.values["run/id"])


def _whole(run: NeptuneRun, what: str) -> dict[str, Any]:
    """What the journal said, one object over another; of runs delivered before it was kept so, the fields."""
    logged = _below(f"trackbridge/{what}", run.files)
    merged: dict[str, Any] = {}
    for row in sorted(logged, key=lambda row: (len(row), row)):
        for name, value in decode_json(_content(logged[row])).items():
            # A scope takes up the keys that are logged again; of summary and environment each key is replaced.
            merged[name] = {**merged.get(name, {}), **value} if what == "config" else value
    return merged or nested(_below(what, run.values))


def _checkpoints(run: NeptuneRun, session: OurSession) -> Iterator[Fact]:
    """The checkpoints that a session saved; of runs delivered before that was told, all with the first."""
    for name, facts in nested(_below("checkpoints", run.values)).items():
        t = _nanoseconds(facts.get("saved"))
        path, size_bytes = str(facts.get("path", "")), facts.get("size_bytes")
        if not path or not session.has(t):
            continue
        step, metrics = int(name.removeprefix("step-")), _flat(facts.get("metrics", {}))
        known_bytes = size_bytes if isinstance(size_bytes, int) else None
        yield CheckpointSaved(seq=0, t=t, step=step, path=path, metrics=metrics, size_bytes=known_bytes)
        if facts.get("is_deleted") is True:
            yield CheckpointDeleted(seq=0, t=t, step=step, path=path)


def _in_order(run: NeptuneRun) -> Iterator[SeriesPoint | SourceProblem]:
    """The points of all series; those of a metric that has several series come last, in the order of time.

    Of several points at one step the last one counts.
    """
    several = {_metric(one.path) for one in run.series() if isinstance(one, SeriesPoint) and _is_further(one.path)}
    held = []
    for point in run.series():
        if isinstance(point, SeriesPoint) and _metric(point.path) in several:
            held.append(point)
        else:
            yield point
    yield from sorted(held, key=lambda point: point.t)


def _is_further(path: str) -> bool:
    return path.startswith("not_finite/") or _FURTHER.search(path) is not None


def _metric(path: str) -> str:
    return _FURTHER.sub("", path).partition("/")[2]


def _points(run: NeptuneRun, session: OurSession) -> Iterator[Fact]:
    epochs = _epochs(run, session)
    for point in _in_order(run):
        if isinstance(point, SourceProblem):
            if not session.t:
                yield point
            continue
        if not session.has(point.t):
            continue
        t = point.t // 1_000_000 * 1_000_000
        namespace, _, name = _FURTHER.sub("", point.path).partition("/")
        step = int(point.step or 0)
        if namespace in _NAMESPACES:
            epoch = epochs.at(step, point.t) if namespace != "monitoring" else None
            yield Points(t, step, {name: float(point.value)}, epoch)
        elif point.path.startswith("media/images/"):
            yield picture(t, name.removeprefix("images/"), step, str(point.value), point.caption)
        elif not _is_epoch(point):
            yield Unmapped(t, f"{point.path}/step-{step}", point.value)


def _epochs(run: NeptuneRun, session: OurSession) -> Epochs:
    epochs = Epochs()
    for point in run.series():
        if isinstance(point, SeriesPoint) and _is_epoch(point) and session.has(point.t):
            epochs.tell(int(point.step or 0), point.t, float(point.value))
    return epochs


def _is_epoch(point: SeriesPoint) -> bool:
    return _FURTHER.sub("", point.path) == "epoch"


def _files(run: NeptuneRun) -> Iterator[Fact]:
    captions = _below("media/captions", run.values)
    for path, file in run.files.items():
        if match := _MEDIA.fullmatch(path):
            kind, name, step = match.groups()
            original = run.files.get(f"trackbridge/{path.replace(f'/{kind}/', '/', 1)}", file)
            caption = captions.get(path.removeprefix(f"media/{kind}/"))
            yield _media(cast(MediaType, kind), name, int(step), original, str(caption) if caption else None)
        elif match := re.fullmatch(r"(artifacts|checkpoints)/(.+?)/files/(.+)", path):
            what, name, inner = match.groups()
            kind = str(run.values.get(f"artifacts/{name}/type", "checkpoint" if what == "checkpoints" else "artifact"))
            is_alone = len(_below(f"{what}/{name}/files", run.files)) == 1 and what == "artifacts"
            yield SourceArtifact(
                UNKNOWN_NS, name if is_alone else f"{name}/{inner}", kind, SourceFile(inner, file.open)
            )
        elif path.startswith("environment/git/diff"):
            yield SourceArtifact(UNKNOWN_NS, "uncommitted.patch", "patch", file)


def _media(kind: MediaType, name: str, step: int, file: SourceFile, caption: str | None) -> SourceMedia:
    suffix = file.name.rpartition(".")[2]
    if kind == "histogram":
        file, suffix = SourceFile.of(file.name, _histogram(_content(file))), "json"
    return SourceMedia(UNKNOWN_NS, name, step, kind, suffix, file, caption)


def _histogram(content: bytes) -> bytes:
    """The histogram behind a CSV file of bins and counts."""
    edges: list[float] = []
    counts: list[int] = []
    n_nonfinite = 0
    for low, high, count in list(csv.reader(io.StringIO(content.decode("utf-8"))))[1:]:
        if high:
            edges = [*(edges or [float(low)]), float(high)]
            counts.append(int(count))
        else:
            n_nonfinite = int(count)
    return json.dumps({"edges": edges, "counts": counts, "n_nonfinite": n_nonfinite}).encode()


def _ending(run: NeptuneRun) -> Iterator[Fact]:
    told = _below("run", run.values)
    if console := run.files.get("run/console"):
        yield Printed(_content(console).decode("utf-8", "replace"))
    if told.get("status") not in get_args(Status):
        return
    ended = {name: told.get(name) for name in ("status", "exit_code", "error")}
    if traceback := run.files.get("run/traceback"):
        ended["traceback"] = _content(traceback).decode("utf-8", "replace")
    yield msgspec.convert(
        {"kind": "run_finished", "seq": 0, "t": _nanoseconds(told.get("ended")), **ended}, RunFinished
    )


def _below(folder: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {path[len(folder) + 1 :]: value for path, value in fields.items() if path.startswith(f"{folder}/")}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": float(value)}
    return found


def _content(file: SourceFile) -> bytes:
    with file.open() as opened:
        return opened.read(_MAX_BYTES)


def _nanoseconds(moment: object) -> int:
    """A field of type Datetime, which holds milliseconds."""
    try:
        return round(datetime.fromisoformat(str(moment)).timestamp() * 1000) * 1_000_000
    except ValueError:
        return UNKNOWN_NS
