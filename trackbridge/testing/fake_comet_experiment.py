"""What a fake Comet server keeps of one experiment, and the part of Comet's protocol that writes and reads it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trackbridge.testing.loopback import Request
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun

_ROOTS = ("/clientlib/rest/v2/", "/api/rest/v2/", "/clientlib/")
_MEDIA_TYPES = {"image": "image", "visualization": "image", "histogram3d": "histogram", "text-sample": "text"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API: its path below the API's root, and what it carries."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, request: Request) -> Call:
        """The call that a request makes."""
        root = next((root for root in _ROOTS if request.path.startswith(root)), "/")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return cls(request.path[len(root) :], request.query, headers, request.body)

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object in the body, or {}."""
        return dict(json.loads(self.body)) if self.body.startswith(b"{") else {}

    @property
    def parts(self) -> dict[str, bytes]:
        """The parts of a multipart body by name (RFC 7578)."""
        boundary = self.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        found = {}
        for part in self.body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            found[head.partition(b'name="')[2].partition(b'"')[0].decode()] = content[:-2]
        return found

    @property
    def experiment_key(self) -> str:
        """The experiment the call is about, wherever it says so."""
        named = self.query.get("experimentKey") or self.query.get("experimentId") or self.fields.get("experimentKey")
        return str(named or self.headers.get("x-comet-debug-experiment-key", ""))


@dataclass(frozen=True, slots=True)
class FakeAsset:
    """A file of an experiment."""

    asset_id: str
    name: str
    type: str
    step: int | None
    metadata: dict[str, Any]
    content: bytes


@dataclass(slots=True)
class FakeExperiment:
    """Everything that was sent to one experiment. Metrics are kept as sent: `metricName`, `metricValue`, `step`, ..."""

    key: str
    project: str | None = None
    workspace: str | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    assets: list[FakeAsset] = field(default_factory=list)
    system: dict[str, Any] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    is_alive: bool = True
    has_crashed: bool = False
    error: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    def seen(self) -> SeenRun:
        """The experiment in the words of the contract suite."""
        others, notes = self.others, self.others.get("notes")
        return SeenRun(
            name=str(others.get("Name", "")),
            group=others.get("group"),
            tags=frozenset(self.tags),
            notes=None if notes is None else str(notes),
            config=self._config(),
            summary={key[8:]: value for key, value in others.items() if key.startswith("summary/")},
            points=tuple(_point(metric) for metric in self.metrics),
            media=tuple(media for asset in self.assets if (media := _media(asset)) is not None),
            artifacts=frozenset(name for asset in self.assets if (name := _artifact(asset)) is not None),
            status=self._status(),
            error=self.error or "",
            console="".join(self.output),
        )

    def _config(self) -> dict[str, str]:
        system = {f"environment/{key}": value for key, value in self.system.items() if not isinstance(value, list)}
        flat = {**self.parameters, **system}
        return {key.replace("|", "/"): str(value) for key, value in flat.items()}

    def _status(self) -> str:
        if self.is_alive:
            return "running"
        return str(self.others.get("status", "failed")) if self.has_crashed or self.error else "finished"


Route: TypeAlias = Callable[[FakeExperiment, Call], Any]


def _metric_batch(experiment: FakeExperiment, call: Call) -> None:
    experiment.metrics += call.fields["values"]


def _one_metric(experiment: FakeExperiment, call: Call) -> None:
    experiment.metrics.append({"step": None, "epoch": None, **call.fields})


def _parameter_batch(experiment: FakeExperiment, call: Call) -> None:
    for value in call.fields["values"]:
        experiment.parameters[value["parameterName"]] = value["parameterValue"]


def _other(experiment: FakeExperiment, call: Call) -> None:
    experiment.others[call.fields["key"]] = call.fields["value"]


def _add_tags(experiment: FakeExperiment, call: Call) -> None:
    experiment.tags += [tag for tag in call.fields["addedTags"] if tag not in experiment.tags]


def _delete_tags(experiment: FakeExperiment, call: Call) -> None:
    experiment.tags = [tag for tag in experiment.tags if tag not in call.fields["tags"]]


def _update_status(experiment: FakeExperiment, call: Call) -> None:
    experiment.is_alive, experiment.has_crashed = call.fields["isAlive"], call.fields["hasCrashed"]
    experiment.error = call.fields["error"] if call.fields["error"] or call.fields["isAlive"] else experiment.error


def _beat(experiment: FakeExperiment, call: Call) -> dict[str, int]:
    experiment.is_alive = bool(call.fields.get("is_alive", True))
    return {
        "isAliveBeatDurationMillis": 10_000,
        "is_alive_beat_duration_millis": 10_000,
        "gpu_monitor_interval_millis": 60_000,
        "cpu_monitor_interval_millis": 60_000,
    }


def _times(experiment: FakeExperiment, call: Call) -> None:
    fields = call.fields
    experiment.start_ms = fields.get("startTimeMillis", fields.get("startTimestamp")) or experiment.start_ms
    experiment.end_ms = fields.get("endTimeMillis", fields.get("endTimestamp")) or experiment.end_ms


def _upload(experiment: FakeExperiment, call: Call) -> dict[str, str]:
    parts, query = call.parts, call.query
    name = query.get("fileName") or query.get("figName") or ""
    asset = FakeAsset(
        asset_id=query.get("assetId") or query.get("imageId") or f"{len(experiment.assets):032x}",
        name=name,
        type=query.get("type") or ("visualization" if call.path.startswith("visualizations") else "asset"),
        step=int(query["step"]) if query.get("step") else None,
        metadata=json.loads(parts.get("metadata") or b"{}"),
        content=parts["file"],
    )
    experiment.assets.append(asset)
    return {"assetId": asset.asset_id}


def _system_details(experiment: FakeExperiment, call: Call) -> None:
    fields = {key: value for key, value in call.fields.items() if key != "experimentKey" and value is not None}
    for information in fields.pop("logAdditionalSystemInfoList", []):
        experiment.system[information["key"]] = information["value"]
    experiment.system.update(fields)


def _output(experiment: FakeExperiment, call: Call) -> None:
    experiment.output += [line["output"] for line in call.fields["outputLines"]]


def _ignored(experiment: FakeExperiment, call: Call) -> None:
    return None


WRITES: dict[str, Route] = {
    "batch/logger/experiment/metric": _metric_batch,
    "batch/logger/experiment/parameter": _parameter_batch,
    "tags/add-tags-to-experiment": _add_tags,
    "status-report/update": _beat,
    "status-report/offline-metadata": _times,
    "asset/upload": _upload,
    "visualizations/upload": _upload,
    "write/experiment/metric": _one_metric,
    "write/experiment/log-other": _other,
    "write/experiment/tags": _add_tags,
    "write/experiment/tags/delete": _delete_tags,
    "write/experiment/update-status": _update_status,
    "write/experiment/set-status": _beat,
    "write/experiment/set-start-end-time": _times,
    "write/experiment/upload-asset": _upload,
    "write/experiment/system-details": _system_details,
    "write/experiment/output": _output,
    "write/experiment/file-path": _ignored,
    "write/experiment/html": _ignored,
    "write/experiment/git/metadata": _ignored,
    "notification/experiment": _ignored,
    "asset/3d-limits": lambda experiment, call: {"maxPoints": 1000, "maxBoxes": 1000},
}


def _summaries(values: dict[str, Any]) -> dict[str, Any]:
    return {"values": [{"name": name, "valueCurrent": str(value)} for name, value in values.items()]}


def _metric_summary(experiment: FakeExperiment, call: Call) -> dict[str, Any]:
    return _summaries({metric["metricName"]: metric["metricValue"] for metric in experiment.metrics})


def _metrics(experiment: FakeExperiment, call: Call) -> dict[str, Any]:
    wanted = call.query.get("metricName")
    found = [metric for metric in experiment.metrics if wanted in (None, metric["metricName"])]
    return {"metrics": [{**metric, "metricValue": str(metric["metricValue"])} for metric in found]}


def metadata(experiment: FakeExperiment) -> dict[str, Any]:
    """What the server tells of an experiment as a whole."""
    return {
        "experimentKey": experiment.key,
        "experimentName": experiment.others.get("Name"),
        "projectName": experiment.project,
        "workspaceName": experiment.workspace,
        "startTimeMillis": experiment.start_ms,
        "endTimeMillis": experiment.end_ms,
        "running": experiment.is_alive,
        "hasCrashed": experiment.has_crashed,
        "archived": False,
    }


def _asset_list(experiment: FakeExperiment, call: Call) -> dict[str, Any]:
    wanted = call.query.get("type")
    return {
        "assets": [
            {
                "assetId": asset.asset_id,
                "fileName": asset.name,
                "fileSize": len(asset.content),
                "type": asset.type,
                "step": asset.step,
                "metadata": json.dumps(asset.metadata) if asset.metadata else None,
            }
            for asset in experiment.assets
            if wanted in (None, "all", asset.type)
        ]
    }


def _asset(experiment: FakeExperiment, call: Call) -> bytes:
    return next(asset.content for asset in experiment.assets if asset.asset_id == call.query["assetId"])


READS: dict[str, Route] = {
    "experiment/metadata": lambda experiment, call: metadata(experiment),
    "experiment/metrics/summary": _metric_summary,
    "experiment/metrics/get-metric": _metrics,
    "experiment/metrics/get-all": _metrics,
    "experiment/parameters": lambda experiment, call: _summaries(experiment.parameters),
    "experiment/log-other": lambda experiment, call: _summaries(experiment.others),
    "experiment/tags": lambda experiment, call: {"tags": experiment.tags},
    "experiment/asset/list": _asset_list,
    "experiment/asset/get-asset": _asset,
    "experiment/output": lambda experiment, call: {"output": "".join(experiment.output)},
    "experiment/system-details": lambda experiment, call: experiment.system,
}


def _point(metric: dict[str, Any]) -> SeenPoint:
    at_ms = metric.get("timestamp")
    step = metric["step"]
    return SeenPoint(
        metric=re.sub("^sys[.]", "system/", metric["metricName"]),
        value=float(metric["metricValue"]),
        step=math.floor(step) if step is not None else 0,
        time_ns=None if at_ms is None else at_ms * 1_000_000,
    )


def _media(asset: FakeAsset) -> SeenMedia | None:
    media = _MEDIA_TYPES.get(asset.type) or ("table" if asset.metadata.get("kind") == "table" else None)
    if media is None:
        return None
    name = asset.name.removesuffix(".csv") if media == "table" else asset.name
    return SeenMedia(name, media, asset.step or 0)


def _artifact(asset: FakeAsset) -> str | None:
    folder, _, rest = asset.name.partition("/")
    return rest.partition("/")[0] if folder in ("checkpoints", "artifacts") else None
