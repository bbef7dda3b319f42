"""Runs that trackbridge delivered to MLflow: the documents beside them say as it was what MLflow keeps as text."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_args

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
    Unmapped,
)
from trackbridge.sources.epochs import Epochs
from trackbridge.sources.mlflow_runs import NOTES, StoredRun, image_of, milliseconds, points_of

RUN_ID = "trackbridge.run_id"
_RESUMED = "trackbridge.resumed."
_ARTIFACT = "trackbridge.artifact."
_EPOCH = "epoch"
_DOCUMENTS = ("config", "environment", "summary", "checkpoints")
_MEDIA = re.compile(r"media/(.+)/step-(-?\d{1,18})-row-(\d{1,18})\.(caption\.txt|plotly\.json|\w+)")
_WORDS: dict[str, MediaType] = {"csv": "table", "json": "histogram", "txt": "text", "plotly.json": "plotly"}
_MAX_DOCUMENT_BYTES = 256 << 20


class OurSession(NamedTuple):
    """A session of one of our runs: the row and the time from which on it wrote, and where the next began."""

    row: int = 0
    t: int = UNKNOWN_NS
    from_step: int | None = None
    checkpoint: str | None = None
    next_row: int = 2**63
    next_t: int = 2**63

    def has(self, t: int) -> bool:
        """Whether something was logged in this session. Times are whole milliseconds at MLflow."""
        return self.t // 1_000_000 <= t // 1_000_000 < self.next_t // 1_000_000


def sessions_of(tags: Mapping[str, str]) -> list[OurSession]:
    """The sessions of a run, by the tags that tell of resumes."""
    resumed = [OurSession()]
    for name in sorted(tags, key=lambda name: (len(name), name)):
        row = name.removeprefix(_RESUMED)
        if row != name and row.isdecimal():
            told = json.loads(tags[name])
            resumed.append(OurSession(int(row), int(told["t"]), told.get("from_step"), told.get("checkpoint")))
    ends = [*resumed[1:], None]
    return [
        one._replace(next_row=end.row, next_t=end.t) if end else one for one, end in zip(resumed, ends, strict=True)
    ]


def our_facts(run: StoredRun, session: OurSession) -> Iterator[Fact]:
    """What trackbridge said of the run in one of its sessions."""
    files = {file.name: file for file in run.files()}
    documents = {name: _document(files.get(f"trackbridge/{name}.json")) for name in _DOCUMENTS}
    if session.row:
        yield RunResumed(seq=0, t=session.t, from_step=session.from_step, checkpoint=session.checkpoint)
    else:
        yield from _described(run, documents)
    yield from run.problems
    yield from _points(run, session, has_summary=bool(documents["summary"]))
    for name, facts in documents["checkpoints"].items():
        # Of runs delivered before it was told when, all were saved in the first session.
        if session.has(facts.get("t", UNKNOWN_NS)):
            yield from _checkpoint(facts.get("t", run.started_ns), int(name.removeprefix("step-")), facts)
    yield from _media(files, session, run.tags)
    if session.next_row == OurSession().next_row:
        yield from _other_files(files, run.tags)
        yield from _ending(run, files)


def _described(run: StoredRun, documents: Mapping[str, dict[str, Any]]) -> Iterator[Fact]:
    t = run.started_ns
    told = json.loads(run.tags.get("trackbridge.tags") or "[]")
    labels: dict[str, Any] = {"group": run.tags.get("trackbridge.group"), "notes": run.tags.get(NOTES)}
    came_from = run.tags.get("trackbridge.resumed_from")
    yield RunStarted(
        seq=0, t=t, project=run.experiment, name=run.name, tags=list(map(str, told)), resumed_from=came_from, **labels
    )
    for scope, config in (documents["config"] or {"script": dict(run.params)}).items():
        if scope == "seeds":
            yield msgspec.convert({"kind": "seeds_logged", "seq": 0, "t": t, **config}, SeedsLogged)
        else:
            yield ConfigLogged(seq=0, t=t, scope=scope, config=config)
    if documents["environment"]:
        yield EnvironmentCaptured(seq=0, t=t, environment=documents["environment"])
    if documents["summary"]:
        yield SummaryLogged(seq=0, t=t, values=documents["summary"])
    yield Unmapped(t, "run_id", run.tags[RUN_ID])
    for name, value in run.tags.items():
        if name.startswith("trackbridge.events_dropped."):
            yield Unmapped(t, name.removeprefix("trackbridge."), value)


def _checkpoint(t: int, step: int, facts: Mapping[str, Any]) -> Iterator[Fact]:
    path = str(facts["path"])
    if "metrics" in facts:
        size_bytes = facts.get("size_bytes")
        yield CheckpointSaved(seq=0, t=t, step=step, path=path, metrics=facts["metrics"], size_bytes=size_bytes)
    if facts.get("is_deleted"):
        yield CheckpointDeleted(seq=0, t=t, step=step, path=path)


def _points(run: StoredRun, session: OurSession, *, has_summary: bool) -> Iterator[Fact]:
    epochs = Epochs()
    for fact in points_of(run.points()):
        if isinstance(fact, Points) and session.has(fact.t) and len(fact.metrics) > 1 and _EPOCH in fact.metrics:
            epochs.tell(fact.step, fact.t, fact.metrics[_EPOCH])
    for fact in points_of(run.points()):
        if not isinstance(fact, Points):
            yield fact
            continue
        if not session.has(fact.t):
            continue
        metrics = {name: one for name, one in fact.metrics.items() if not (has_summary and name.startswith("summary/"))}
        if len(metrics) > 1:
            metrics.pop(_EPOCH, None)
        if metrics:
            is_epoch = _EPOCH in metrics
            metrics = {_name_behind(run.tags, name): value for name, value in metrics.items()}
            yield fact._replace(metrics=metrics, epoch=None if is_epoch else epochs.at(fact.step, fact.t))


def _name_behind(tags: Mapping[str, str], name: str) -> str:
    """The name as it was logged, where MLflow did not take it."""
    return tags.get(f"trackbridge.name.{name.rpartition('-')[2]}", name)


def _picture_id(tags: Mapping[str, str], row: int) -> str:
    """The end of the name of the picture that was logged in a row."""
    digest = hashlib.blake2b(f"{tags.get(RUN_ID)}/{row}".encode(), digest_size=16).digest()
    return f"{uuid.UUID(bytes=digest)}.png"


def _picture_captions(files: Mapping[str, SourceFile], tags: Mapping[str, str]) -> dict[str, str]:
    """Captions by the ends of the names of their pictures."""
    told = [(match, file) for name, file in files.items() if (match := _MEDIA.fullmatch(name))]
    return {_picture_id(tags, int(match[3])): _text(file) for match, file in told if match[4] == "caption.txt"}


def _media(files: Mapping[str, SourceFile], session: OurSession, tags: Mapping[str, str]) -> Iterator[Fact]:
    captions = _picture_captions(files, tags)
    for name, file in files.items():
        if image := image_of(file):
            # Pictures have a time where other media have the number of their row.
            if session.has(image.t):
                caption = captions.get(name.rpartition("+")[2])
                yield replace(image, name=_name_behind(tags, image.name), caption=caption)
        elif (match := _MEDIA.fullmatch(name)) and not name.endswith(".caption.txt"):
            metric, step, row, suffix = match.groups()
            if session.row <= int(row) < session.next_row:
                stem = name.removesuffix(f".{suffix}")
                caption = _text(files.get(f"{stem}.caption.txt"))
                # The table as it was: CSV does not tell the number 1 from the text "1".
                content = files.get(f"trackbridge/{stem}.json", file) if suffix == "csv" else file
                kind = _WORDS.get(suffix, "image")
                kept_suffix = "json" if kind in ("table", "histogram", "plotly") else suffix
                known = _name_behind(tags, metric)
                yield SourceMedia(UNKNOWN_NS, known, int(step), kind, kept_suffix, content, caption or None)


def _artifacts_told(tags: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Name and type of each artifact by the folder that it got."""
    told = [json.loads(value) for name, value in tags.items() if name.startswith(_ARTIFACT)]
    return {str(one["folder"]): one for one in told}


def _other_files(files: Mapping[str, SourceFile], tags: Mapping[str, str]) -> Iterator[Fact]:
    in_folder = Counter(name.rpartition("/")[0] for name in files)
    told = _artifacts_told(tags)
    for name, file in files.items():
        what, _, inner = name.partition("/")
        folder = inner.rpartition("/")[0]
        if what == "artifacts":
            artifact = told.get(f"artifacts/{folder}", {"name": folder, "type": "artifact"})
            is_alone = in_folder[f"artifacts/{folder}"] == 1
            known = artifact["name"] if is_alone else inner
            yield SourceArtifact(UNKNOWN_NS, known, artifact["type"], file)
        elif what == "checkpoints":
            yield SourceArtifact(UNKNOWN_NS, inner, "checkpoint", file)
        elif what == "trackbridge" and not inner.endswith((".json", ".txt")):
            yield SourceArtifact(UNKNOWN_NS, inner, "patch", file)
        elif what not in ("trackbridge", "media", "images"):
            yield SourceArtifact(UNKNOWN_NS, name, "artifact", file)


def _ending(run: StoredRun, files: Mapping[str, SourceFile]) -> Iterator[Fact]:
    if console := _text(files.get("trackbridge/console.txt")):
        yield Printed(console)
    status, exit_code = (run.tags.get(f"trackbridge.{name}", "") for name in ("status", "exit_code"))
    if status not in get_args(Status):
        return
    tracebacks = sorted((name for name in files if name.startswith("trackbridge/traceback-row-")), key=_row)
    ended: dict[str, Any] = {"status": status, "error": run.tags.get("trackbridge.error")}
    ended["exit_code"] = int(exit_code) if exit_code else None
    ended["traceback"] = _text(files[tracebacks[-1]]) if tracebacks else None
    yield msgspec.convert({"kind": "run_finished", "seq": 0, "t": milliseconds(run.end_ms), **ended}, RunFinished)


def _row(name: str) -> tuple[int, str]:
    return len(name), name


def _text(file: SourceFile | None) -> str:
    if file is None:
        return ""
    with file.open() as opened:
        return opened.read(_MAX_DOCUMENT_BYTES).decode("utf-8", "replace")


def _document(file: SourceFile | None) -> dict[str, Any]:
    content = decode_json(_text(file).encode()) if file is not None else {}
    return content if isinstance(content, dict) else {}
