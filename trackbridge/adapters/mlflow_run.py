"""
One run at a tracking store, spoken to through `MlflowClient`: each request is answered before the next is sent.

MLflow chooses the ids of its runs itself, so ours is a tag of the run, set in the request that creates it. Another tag
says how many rows are there: it is sent with the points, and a server writes the points of a request before its tags.
Only what was sent after that tag may be there or not. It is read back and left out when it is there; a server with a
database would leave out the very same point by itself, one that keeps files would double it.
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from trackbridge.adapters.base import Ending, Rejection, RemoteRef, RunHeader
from trackbridge.adapters.mlflow_entries import MAX_TAG, OURS, File, Param, Point, Tag, fitting_name, fitting_text
from trackbridge.adapters.mlflow_sdk import answered_status, delivery_error, error_code
from trackbridge.errors import DeliveryRefused
from trackbridge.journal.codec import decode_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_ID, ROWS = f"{OURS}.run_id", f"{OURS}.rows"
_ENDING_TAGS = (f"{OURS}.status", f"{OURS}.exit_code", f"{OURS}.error")
_MLFLOW_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "lost": "KILLED"}
# Of one request: https://mlflow.org/docs/latest/api_reference/rest-api.html#request-limits
MAX_ENTRIES, MAX_PARAMS, MAX_TAGS, MAX_TEXT_BYTES = 1000, 100, 100, 600_000

_log = logging.getLogger(__name__)

Place: TypeAlias = tuple[int, int, float | None]
Batchable: TypeAlias = Point | Param | Tag


class MlflowRun:
    """The run with our id, found or created. Nothing but the SDK's errors is raised."""

    def __init__(self, client: MlflowClient, header: RunHeader, experiment_id: str, remote: RemoteRef | None) -> None:
        self._client = client
        self._header = header
        found = self._find(experiment_id, remote)
        self.is_new = found is None
        run = found if found is not None else self._create(experiment_id)
        self.id: str = run.info.run_id
        self._params: dict[str, str] = dict(run.data.params)
        self._tags: dict[str, str] = dict(run.data.tags)
        self._arrived = None if self.is_new else _Arrived(client, run)
        if not self.is_new:
            self._go_on(run)

    @property
    def rows(self) -> int:
        """How many rows the run says it has."""
        return int(self._tags.get(ROWS, 0))

    def send(self, entries: Sequence[Batchable], *, upto_row: int) -> None:
        """Send points, params and tags; with them every row before `upto_row` is there."""
        for request in _requests(map(self._changeable, entries), upto_row):
            self._send(request)

    def upload(self, file: File) -> Rejection | None:
        """Upload a file; the rejection when it is gone, or when the server takes files but not this one."""
        path = PurePosixPath(file.path)
        try:
            with tempfile.TemporaryDirectory() as folder:
                named = _under_its_name(file.source, Path(folder) / path.name)
                self._client.log_artifact(self.id, str(named), str(path.parent))
        except FileNotFoundError:
            return Rejection(file.row, file.kind, path.name, f"{file.source!s} is gone")
        except Exception as error:
            if answered_status(error) not in (400, 404, 413, 422):
                raise
            return Rejection(file.row, file.kind, path.name, f"MLflow refuses the file: {delivery_error(error)}")
        return None

    def documents(self) -> dict[str, Any]:
        """The JSON documents of ours that the run has, by name."""
        if self.is_new:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            paths = [artifact.path for artifact in self._client.list_artifacts(self.id, OURS)]
            files = [
                Path(self._client.download_artifacts(self.id, path, folder)) for path in paths if path.endswith(".json")
            ]
            try:
                return {file.stem: decode_json(file.read_bytes()) for file in files}
            except msgspec.DecodeError:
                # Damaged, perhaps by a server that was killed: from no rows on, all of it is said again.
                self._tags.pop(ROWS, None)
                return {}

    def end(self, ending: Ending) -> None:
        """End the run with its true status, at its true time."""
        if ending.console:
            refused = self.upload(File(self.rows, "console", f"{OURS}/console.txt", ending.console.encode()))
            if refused is not None:
                _log.warning("mlflow: the last lines were not taken: %s", refused.reason)
        facts = (ending.status, ending.exit_code, ending.error)
        for name, fact in zip(_ENDING_TAGS, facts, strict=True):
            if fact is not None:
                self._client.set_tag(self.id, name, fitting_text(str(fact), MAX_TAG), synchronous=True)
        ended_ms = (ending.ended_ns or 0) // 1_000_000 or None
        self._client.set_terminated(self.id, _MLFLOW_STATUS[ending.status], ended_ms)

    def _find(self, experiment_id: str, remote: RemoteRef | None) -> Run | None:
        if remote is not None:
            try:
                run = self._client.get_run(remote.remote_id)
            except Exception as error:
                if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if run.info.lifecycle_stage == "deleted":
                    way_out = f"mlflow runs restore --run-id {remote.remote_id}"
                    raise DeliveryRefused(f"the run was deleted in MLflow; to go on with it: {way_out}")
                return run
        found = self._client.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{self._header.run_id}'")
        return found[0] if found else None

    def _create(self, experiment_id: str) -> Run:
        header = self._header
        labels = {f"{OURS}.group": header.group, "mlflow.note.content": header.notes}
        tags = {name: fitting_text(label, MAX_TAG) for name, label in labels.items() if label}
        return self._client.create_run(
            experiment_id,
            start_time=header.started_ns // 1_000_000 or None,
            tags={RUN_ID: header.run_id, **tags},
            run_name=header.name,
        )

    def _go_on(self, run: Run) -> None:
        if run.info.status != "RUNNING":
            self._client.update_run(self.id, status="RUNNING")
        for name in _ENDING_TAGS:
            if self._tags.pop(name, None) is not None:
                self._client.delete_tag(self.id, name)

    def _changeable(self, entry: Batchable) -> Batchable:
        """A param, which MLflow never changes, becomes a tag from its second value on."""
        if not isinstance(entry, Param):
            return entry
        tag = fitting_name(f"changed/{entry.name}")
        if self._params.setdefault(entry.name, entry.value) == entry.value and tag not in self._tags:
            return entry
        self._tags[tag] = fitting_text(entry.value, MAX_TAG)
        return Tag(entry.row, tag, self._tags[tag])

    def _send(self, request: _Request) -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = request.points
        if self._arrived is not None and points:
            missing = self._arrived.without_arrived(points)
            if len(missing) == len(points):
                # Requests are answered one at a time: of what comes after these, nothing can be there either.
                self._arrived = None
            points = missing
        self._client.log_batch(
            self.id,
            metrics=[Metric(point.name, point.value, point.at_ms, point.step) for point in points],
            params=[Param(name, value) for name, value in request.params.items()],
            tags=[RunTag(name, value) for name, value in request.tags.items()],
            synchronous=True,
        )


@dataclass(slots=True)
class _Request:
    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    text_bytes: int = 0

    def takes(self, entry: Batchable) -> bool:
        """Add the entry, unless the request is full."""
        # One tag more says how many rows there are.
        n_entries = len(self.points) + len(self.params) + len(self.tags) + 1
        text = "" if isinstance(entry, Point) else entry.value
        # JSON spells a letter outside of ASCII in six bytes.
        self.text_bytes += len(text) if text.isascii() else 6 * len(text)
        is_full = len(self.params) == MAX_PARAMS or len(self.tags) + 1 == MAX_TAGS or self.text_bytes > MAX_TEXT_BYTES
        if n_entries == MAX_ENTRIES or (is_full and n_entries > 1):
            return False
        if isinstance(entry, Point):
            self.points.append(entry)
        elif isinstance(entry, Param):
            self.params[entry.name] = entry.value
        else:
            self.tags[entry.name] = entry.value
        return True


def _requests(entries: Iterable[Batchable], upto_row: int) -> Iterator[_Request]:
    request = _Request()
    for entry in entries:
        if not request.takes(entry):
            request.tags[ROWS] = str(entry.row)
            yield request
            request = _Request()
            request.takes(entry)
    request.tags[ROWS] = str(upto_row)
    yield request


class _Arrived:
    """Which points a run has already, read back metric by metric."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self._client = client
        self._run_id = run.info.run_id
        self._metrics = set(run.data.metrics)
        self._places: dict[str, set[Place]] = {}

    def without_arrived(self, points: Sequence[Point]) -> list[Point]:
        """The points that still have to be sent, in order."""
        return [
            point for point in points if (point.step, point.at_ms, _kept(point.value)) not in self._there(point.name)
        ]

    def _there(self, metric: str) -> set[Place]:
        if metric not in self._places:
            history = self._client.get_metric_history(self._run_id, metric) if metric in self._metrics else []
            self._places[metric] = {(point.step, point.timestamp, _kept(point.value)) for point in history}
        return self._places[metric]


def _kept(value: float) -> float | None:
    """The value as a database keeps it and as it compares: NaN as None, an infinity as the largest float."""
    return None if math.isnan(value) else max(-sys.float_info.max, min(sys.float_info.max, value))


def _under_its_name(source: Path | bytes, named: Path) -> Path:
    """A file of this name: the SDK calls an artifact by the name of the file it came from."""
    if isinstance(source, bytes):
        named.write_bytes(source)
    elif source.name == named.name:
        return source
    else:
        shutil.copyfile(source, named)
    return named
