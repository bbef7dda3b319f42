"""Events as what W&B has for them: history rows, config, summary, media and artifacts."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbridge.adapters.base import Rejection, Row, RunHeader
from trackbridge.adapters.description import seeds_by_name
from trackbridge.adapters.shaping import checkpoint_folder, kind_of, media_gone, read_table, unknown_kind
from trackbridge.adapters.wandb_sdk import EPOCH, MAX_TAG, OURS, STEP, SYSTEM_STEP, fitting_tags
from trackbridge.adapters.wandb_service_log import refused_artifact
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import (
    AnyEvent,
    ArtifactLogged,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    Event,
    EventsDropped,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
    UnknownEvent,
)
from trackbridge.settings import vendor_variable

ROWS = "trackbridge/rows"
UNTIMED = "trackbridge/untimed"
_TAKEN_NAMES = {"_step", "_timestamp", "_runtime", "_wandb", STEP, EPOCH, SYSTEM_STEP, UNTIMED, ""}
MAX_ARTIFACT_NAME = 128
MAX_BINS = 512
_UPLOAD_TIMEOUT_S = 3600


@dataclass(slots=True)
class Marks:
    """The numbers of the last rows that became history, config and summary; -1 for none."""

    history: int = -1
    config: int = -1
    summary: int = -1

    def __bool__(self) -> bool:
        return max(self.history, self.config, self.summary) >= 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file or folder that is to become an artifact."""

    name: str
    type: str
    path: Path
    metadata: dict[str, Any]
    aliases: tuple[str, ...] = ()


class RowWriter:
    """Writes rows into a run of the SDK.

    Attributes:
        run: the SDK's run; replaced when a connection is renewed.
        first_row: history rows below this number are at W&B already and are not written again.
        marks: what was written since the last confirmation.
        refused: the media files that W&B will never take, by name, and its answers.
    """

    def __init__(self, header: RunHeader, *, staging: Path | None) -> None:
        self.run: Any = None
        self.first_row = 0
        self.marks = Marks()
        self.refused: Mapping[str, str] = {}
        self._header = header
        self._staging = staging

    def attach(self, run: Any, first_row: int) -> None:
        """Write to this run of the SDK from now on."""
        self.run, self.first_row = run, first_row

    def rewrite(self, rows: Sequence[Row]) -> None:
        """Write again what did not arrive; artifacts are known to have when they are written."""
        for row in rows:
            if isinstance(row.event, CheckpointSaved):
                self._tell_checkpoint(row.number, row.event)
            elif not isinstance(row.event, ArtifactLogged):
                self.write(row)

    def write(self, row: Row) -> list[Rejection]:
        """Write one row; what W&B cannot carry of it."""
        if isinstance(row.event, UnknownEvent):
            return [unknown_kind(row)]
        if isinstance(row.event, CheckpointSaved):
            return list(self._write_checkpoint(row.number, row.event, row.upload))
        write = _WRITERS.get(type(row.event))
        return [] if write is None else list(write(self, row.number, row.event) or ())

    def mark(self) -> None:
        """Write down how far config and summary have come, so that a read-back can tell."""
        if self.marks.config >= 0:
            ours = {**self.run.config.get(OURS, {}), "rows": self.marks.config + 1}
            self.run.config.update({OURS: ours}, allow_val_change=True)
        if self.marks.summary >= 0:
            self.run.summary.update({ROWS: self.marks.summary + 1})

    def _write_metrics(self, number: int, event: MetricsLogged) -> Iterator[Rejection]:
        values: dict[str, Any] = {}
        for name, value in event.metrics.items():
            if name in _TAKEN_NAMES:
                yield Rejection(number, "metrics_logged", name, "W&B keeps this name for itself")
            else:
                values[name] = value
        is_system = all(name.startswith("system/") for name in values)
        values[SYSTEM_STEP if is_system else STEP] = event.step
        if event.epoch is not None:
            values[EPOCH] = event.epoch
        self._log(number, event, values)

    def _write_media(self, number: int, event: MediaLogged) -> Iterator[Rejection]:
        # Also of a row that is at W&B already: what was rejected has to be rejected again.
        path = self._header.folder / event.path
        if not path.is_file():
            yield media_gone(number, event)
            return
        if answer := self._refusal(number, event):
            yield Rejection(number, "media_logged", event.name, f"W&B refuses its file: {answer}")
            return
        try:
            value, beside = _MEDIA[event.media](path, event)
        except (ImportError, ValueError, TypeError) as error:
            yield Rejection(number, "media_logged", event.name, f"W&B cannot show it: {error}")
            return
        columns = {f"{event.name}/{name}": value for name, value in beside.items()}
        with self._beside_the_run():
            self._log(number, event, {event.name: value, **columns, STEP: event.step})

    def _refusal(self, number: int, event: MediaLogged) -> str | None:
        # The SDK names a file by the key and the step it was logged at, which is the number of the row.
        return next((answer for name, answer in self.refused.items() if f"/{event.name}_{number}_" in name), None)

    def _beside_the_run(self) -> AbstractContextManager[None]:
        # A table's bytes go to the SDK's data folder, by default in the user's home, where an archive would miss them.
        if self._staging is None:
            return nullcontext()
        return vendor_variable("WANDB_DATA_DIR", str(self._staging.parent))

    def _log(self, number: int, event: Event, values: dict[str, Any]) -> None:
        if number < self.first_row:
            return
        # The user's own steps may go back after a resume, and W&B drops rows that do: the row's number never does.
        # Of an imported point the time may be unknown, which is 0; then W&B notes when it was delivered.
        time_s = {"_timestamp": event.t / 1e9} if event.t else {UNTIMED: 1}
        self.run.log({**values, **time_s}, step=number, commit=True)
        self.marks.history = number

    def _write_config(self, number: int, event: ConfigLogged) -> None:
        self._update_config(number, event.scope, event.config)

    def _write_seeds(self, number: int, event: SeedsLogged) -> None:
        self._update_config(number, "seeds", seeds_by_name(event))

    def _write_environment(self, number: int, event: EnvironmentCaptured) -> None:
        self._update_config(number, "environment", event.environment)

    def _update_config(self, number: int, scope: str, config: Mapping[str, Any]) -> None:
        kept = self.run.config.get(scope)
        # W&B merges nested objects, so a key that is logged again without its old children would keep them.
        if kept:
            self.run.config.update({scope: None}, allow_val_change=True)
        self.run.config.update({scope: _without_nan({**(kept or {}), **config})}, allow_val_change=True)
        self.marks.config = number

    def _write_summary(self, number: int, event: SummaryLogged) -> None:
        self._update_summary(number, event.values)

    def _update_summary(self, number: int, values: Mapping[str, Any]) -> None:
        self.run.summary.update(_without_nan(dict(values)))
        self.marks.summary = number

    def _write_tags(self, number: int, event: TagsSet | RunStarted) -> Iterator[Rejection]:
        if isinstance(event, TagsSet):
            self.run.tags = fitting_tags(tuple(event.tags))
        self.marks.config = number
        for tag in event.tags:
            if len(tag) > MAX_TAG:
                kind = kind_of(event)
                yield Rejection(number, kind, tag, f"W&B takes tags of {MAX_TAG} characters; it has the beginning")

    def _write_resumed(self, number: int, event: RunResumed) -> None:
        ended = dict.fromkeys(("status", "exit_code", "error", "traceback", "ended_at_ns"))
        # As a text: the SDK takes integers of so many digits through a float.
        resumed = {"resumed_from_step": event.from_step, "resumed_at_ns": str(event.t)}
        self._update_summary(number, named({**ended, **resumed}))

    def _write_finished(self, number: int, event: RunFinished) -> None:
        self._update_summary(number, named({"error": event.error, "traceback": event.traceback}))

    def _write_dropped(self, number: int, event: EventsDropped) -> None:
        self._update_summary(number, named({"events_dropped": {"counts": event.counts, "reason": event.reason}}))

    def _write_artifact(self, number: int, event: ArtifactLogged) -> Iterator[Rejection]:
        path = self._header.folder / event.path
        yield from self._upload(
            number, event, Upload(event.name, event.type, path, {"sha256": event.sha256, "name": event.name})
        )

    def _write_checkpoint(self, number: int, event: CheckpointSaved, upload: str | None) -> Iterator[Rejection]:
        self._tell_checkpoint(number, event)
        if upload is None:
            return
        aliases = (f"step-{event.step}", *["best"] * (upload == "best"))
        metadata = {"step": event.step, "metrics": event.metrics}
        folder = checkpoint_folder(self._header.folder, event)
        name = f"checkpoint-{self._header.run_id}"
        yield from self._upload(number, event, Upload(name, "model", folder, metadata, aliases))

    def _tell_checkpoint(self, number: int, event: CheckpointSaved | CheckpointDeleted) -> None:
        """Where a checkpoint is and how good, beside the id of the run: also of one whose bytes stay where they are."""
        key, ours = f"step-{event.step}", self.run.config.get(OURS, {})
        told = ours.get("checkpoints", {})
        if isinstance(event, CheckpointSaved):
            facts = {"path": event.path, "metrics": event.metrics, "size_bytes": event.size_bytes}
        else:
            facts = {"path": event.path, **told.get(key, {}), "is_deleted": True}
        ours = {**ours, "checkpoints": {**told, key: _without_nan(facts)}}
        self.run.config.update({OURS: ours}, allow_val_change=True)
        self.marks.config = number

    def _upload(self, number: int, event: AnyEvent, upload: Upload) -> Iterator[Rejection]:
        """Upload as an artifact, and wait for it. Content that W&B has already makes no second version there."""
        import wandb

        kind = kind_of(event)
        if not upload.path.exists():
            yield Rejection(number, kind, upload.name, f"{upload.path} is gone")
            return
        name = re.sub(r"[^\w.-]", "-", upload.name)[:MAX_ARTIFACT_NAME]
        try:
            artifact = wandb.Artifact(name, type=upload.type, metadata=upload.metadata)
        except ValueError as error:
            yield Rejection(number, kind, upload.name, f"W&B takes no such artifact: {error}")
            return
        source = upload.path if self._staging is None else _staged(upload.path, self._staging / str(number))
        add = artifact.add_dir if source.is_dir() else artifact.add_file
        add(str(source), policy="immutable", skip_cache=True)
        logged = self.run.log_artifact(artifact, aliases=["latest", *upload.aliases])
        if self._staging is None:
            try:
                logged.wait(timeout=_UPLOAD_TIMEOUT_S)
            except (ValueError, wandb.errors.Error) as error:
                log = Path(self.run.settings.log_internal)
                if answer := refused_artifact(log, error, artifact.manifest.entries):
                    yield Rejection(number, kind, upload.name, f"W&B refuses it: {answer}")
                    return
                raise TransientDeliveryError(f"W&B did not take the artifact {name!r}: {error}") from error


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Summary keys of ours, kept apart from the user's."""
    return {f"{OURS}/{name}": value for name, value in values.items()}


def _without_nan(value: Any) -> Any:
    # In config and summary the SDK makes it null, which W&B takes for nothing at all.
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _staged(path: Path, folder: Path) -> Path:
    # Offline, the bytes have to stay beside the run until somebody uploads it.
    target = folder / path.name
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copy2(path, target)
    return target


def _image(path: Path, event: MediaLogged) -> tuple[Any, dict[str, Any]]:
    import wandb

    if path.suffix == ".svg":
        return wandb.Html(path.read_text("utf-8"), inject=False, data_is_not_path=True), _caption(event)
    try:
        return wandb.Image(str(path), caption=event.caption), {}
    except (wandb.errors.Error, OSError) as error:
        raise ValueError(f"{error}. Pictures need Pillow: pip install pillow") from error


def _table(path: Path, event: MediaLogged) -> tuple[Any, dict[str, Any]]:
    import wandb

    columns, rows = read_table(path.read_bytes())
    plain = [[json.dumps(cell) if isinstance(cell, (list, dict)) else cell for cell in row] for row in rows]
    return wandb.Table(columns=columns, data=plain, allow_mixed_types=True), _caption(event)


def _histogram(path: Path, event: MediaLogged) -> tuple[Any, dict[str, Any]]:
    import wandb

    kept = json.loads(path.read_bytes())
    beside = {"n_nonfinite": kept["n_nonfinite"]} if kept.get("n_nonfinite") else {}
    histogram = _with_fewer_bins(kept["counts"], kept["edges"])
    return wandb.Histogram(np_histogram=histogram), {**_caption(event), **beside}


def _with_fewer_bins(counts: Sequence[int], edges: Sequence[float]) -> tuple[Sequence[int], Sequence[float]]:
    """Neighbouring bins put together, as many as it takes."""
    if len(counts) <= MAX_BINS:
        return counts, edges
    together = math.ceil(len(counts) / MAX_BINS)
    sums = [sum(counts[first : first + together]) for first in range(0, len(counts), together)]
    return sums, [*edges[:-1:together], edges[-1]]


def _text(path: Path, event: MediaLogged) -> tuple[Any, dict[str, Any]]:
    import wandb

    shown = f"<pre style='white-space: pre-wrap'>{html.escape(path.read_text('utf-8'))}</pre>"
    return wandb.Html(shown, inject=False, data_is_not_path=True), _caption(event)


def _plotly(path: Path, event: MediaLogged) -> tuple[Any, dict[str, Any]]:
    import plotly.io
    import wandb

    return wandb.Plotly(plotly.io.from_json(path.read_text("utf-8"))), _caption(event)


def _caption(event: MediaLogged) -> dict[str, Any]:
    return {} if event.caption is None else {"caption": event.caption}


_MEDIA: dict[str, Callable[[Path, MediaLogged], tuple[Any, dict[str, Any]]]] = {
    "image": _image,
    "table": _table,
    "histogram": _histogram,
    "text": _text,
    "plotly": _plotly,
}
_WRITERS: dict[type[Event], Callable[[RowWriter, int, Any], Iterator[Rejection] | None]] = {
    MetricsLogged: RowWriter._write_metrics,
    MediaLogged: RowWriter._write_media,
    ConfigLogged: RowWriter._write_config,
    SeedsLogged: RowWriter._write_seeds,
    EnvironmentCaptured: RowWriter._write_environment,
    SummaryLogged: RowWriter._write_summary,
    RunStarted: RowWriter._write_tags,
    TagsSet: RowWriter._write_tags,
    RunResumed: RowWriter._write_resumed,
    RunFinished: RowWriter._write_finished,
    EventsDropped: RowWriter._write_dropped,
    ArtifactLogged: RowWriter._write_artifact,
    CheckpointDeleted: RowWriter._tell_checkpoint,
}
