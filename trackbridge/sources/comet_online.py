"""
Experiments at a Comet server: `comet://workspace/project` or `comet://workspace/project/<key>`.

Read through version 2 of its public API, https://www.comet.com/docs/v2/api-and-sdk/rest-api/overview/, which tells all
parameters and "other" values as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request

from trackbridge.errors import MisuseError, NotFoundError, SourceUnavailable, TrackbridgeError
from trackbridge.settings import vendor_setting
from trackbridge.sources.base import Fact, SourceFile, SourceProblem, SourceRun
from trackbridge.sources.comet_delivered import CREATED_FROM, delivered_facts
from trackbridge.sources.comet_head import Head
from trackbridge.sources.comet_messages import Message, time_ns
from trackbridge.sources.comet_run import RunReader
from trackbridge.sources.json_values import parsed
from trackbridge.sources.web import Server

SCHEME = "comet://"
HOSTED = "https://www.comet.com"
PAGE_EXPERIMENTS = 100


def find_online(address: str) -> Sequence[SourceRun]:
    """The experiments at an address.

    Raises:
        MisuseError: it is no address of a project or an experiment.
        NotFoundError: there is no such project or experiment.
        SourceUnavailable: the server does not answer, or does not take the key.
    """
    parts = address.removeprefix(SCHEME).strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise MisuseError(f"{address!r}: expected {SCHEME}workspace/project or {SCHEME}workspace/project/key")
    api = CometApi.from_environment()
    try:
        told = api.experiments(*parts[:2])
        wanted = [one for one in told if len(parts) == 2 or parts[2] in (one["experimentKey"], one["experimentName"])]
        if not wanted:
            raise NotFoundError(f"Comet at {api.base_url} has no experiment {'/'.join(parts)}, or not for this key")
        return [_source_run(api, one) for one in wanted]
    except TrackbridgeError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SourceUnavailable(f"Comet at {api.base_url} answers in a way that nobody foresaw ({reason})") from error


class CometApi:
    """One server of Comet's."""

    def __init__(self, base_url: str, key: str) -> None:
        self._server = Server("Comet", base_url, key, key, "COMET_API_KEY", "COMET_URL_OVERRIDE")
        self.base_url = base_url

    @classmethod
    def from_environment(cls) -> CometApi:
        """The server and the key of `COMET_URL_OVERRIDE` and `COMET_API_KEY`.

        Raises:
            SourceUnavailable: there is no key.
        """
        key = vendor_setting("COMET_API_KEY")
        if key is None:
            raise SourceUnavailable("there is no Comet API key: set COMET_API_KEY to a key of yours")
        # The variable holds what the SDK's own protocol starts from.
        base_url = (vendor_setting("COMET_URL_OVERRIDE") or HOSTED).rstrip("/").removesuffix("/clientlib")
        return cls(base_url.rstrip("/"), key)

    def ask(self, path: str, **parameters: Any) -> Any:
        """The answer to a question.

        Raises:
            SourceUnavailable: the server does not answer, or does not take the key or the question.
        """
        return self._server.ask(Request(self._url(path, parameters)))

    def experiments(self, workspace: str, project: str) -> list[dict[str, Any]]:
        """What the server tells of each experiment of a project, in the order of their beginnings."""
        found: dict[str, dict[str, Any]] = {}
        for page in range(1, 1 << 30):
            limits = {"page": page, "size": PAGE_EXPERIMENTS, "sortBy": "startTime", "sortOrder": "asc"}
            asked = {"workspaceName": workspace, "projectName": project, "archived": "false"}
            told = self.ask("experiments", **asked, **limits)["experiments"]
            new = {one["experimentKey"]: one for one in told if one["experimentKey"] not in found}
            found |= new
            if len(told) < PAGE_EXPERIMENTS or not new:
                break
        return list(found.values())

    def file(self, key: str, asset: Mapping[str, Any]) -> SourceFile:
        """An asset's bytes."""
        told = {"experimentKey": key, "assetId": asset["assetId"]}
        size = asset.get("fileSize")
        url = self._url("experiment/asset/get-asset", told)
        size_bytes = size if isinstance(size, int) else None
        return SourceFile(str(asset.get("fileName")), partial(self._server.download, url, size_bytes))

    def _url(self, path: str, parameters: Mapping[str, Any]) -> str:
        return f"{self.base_url}/api/rest/v2/{path}?{urlencode(parameters)}"


def _source_run(api: CometApi, told: Mapping[str, Any]) -> SourceRun:
    key = str(told["experimentKey"])
    name = str(told.get("experimentName") or key)
    return SourceRun(key, str(told.get("projectName") or ""), name, partial(_facts, api, told), session="online")


def _facts(api: CometApi, told: Mapping[str, Any]) -> Iterator[Fact]:
    key = str(told["experimentKey"])
    head = _head(api, key, told)
    if head.others.get(CREATED_FROM) == "trackbridge":
        yield from delivered_facts(head)
    else:
        yield from RunReader(head, is_first=True).facts()


def _head(api: CometApi, key: str, told: Mapping[str, Any]) -> Head:
    others = _values(api.ask("experiment/log-other", experimentKey=key))
    assets = api.ask("experiment/asset/list", experimentKey=key).get("assets") or []
    experiment = {
        "tags": api.ask("experiment/tags", experimentKey=key).get("tags") or [],
        "workspace": told.get("workspaceName"),
        "stop_time": told.get("endTimeMillis"),
        "customer_error_reported": bool(told.get("hasCrashed")),
    }
    return Head(
        place=f"{SCHEME}{told.get('workspaceName')}/{told.get('projectName')}/{key}",
        messages=partial(_messages, api, key, assets),
        members={str(asset["assetId"]): api.file(key, asset) for asset in assets},
        key=key,
        project=str(told.get("projectName") or ""),
        name=str(told.get("experimentName") or others.get("Name") or key),
        started_ns=time_ns(told.get("startTimeMillis")),
        others=others,
        experiment=experiment,
        has_ended=told.get("running") is False,
    )


def _messages(api: CometApi, key: str, assets: Sequence[Mapping[str, Any]]) -> Iterator[Message | SourceProblem]:
    """What the server keeps, as the messages that the SDK would have written; their numbers count each kind."""
    for number, asset in enumerate(assets, 1):
        yield Message(number, "file_upload", _upload(asset))
    for name, read in _PARTS.items():
        try:
            yield from read(api, key)
        except SourceUnavailable as error:
            # One that the server cannot give does not cost the others.
            yield SourceProblem(key, name, str(error))


def _parameters(api: CometApi, key: str) -> Iterator[Message]:
    for name, value in _values(api.ask("experiment/parameters", experimentKey=key)).items():
        yield Message(0, "parameter_msg", {"param": {"paramName": name, "paramValue": value, "source": None}})


def _metrics(api: CometApi, key: str) -> Iterator[Message]:
    names = _values(api.ask("experiment/metrics/summary", experimentKey=key))
    points = []
    for name in names:
        points += api.ask("experiment/metrics/get-metric", experimentKey=key, metricName=name)["metrics"]
    # What was logged together comes together again.
    points.sort(key=lambda point: time_ns(point.get("timestamp")))
    for number, point in enumerate(points, 1):
        yield Message(number, "metric_msg", {"metric": point, "local_timestamp": point.get("timestamp")})


def _details(api: CometApi, key: str) -> Iterator[Message]:
    details = api.ask("experiment/system-details", experimentKey=key) or {}
    yield Message(0, "system_details", {name: value for name, value in details.items() if value not in (None, [], "")})


def _output(api: CometApi, key: str) -> Iterator[Message]:
    if output := (api.ask("experiment/output", experimentKey=key) or {}).get("output"):
        yield Message(0, "standard_output", {"output": output})


_PARTS: Mapping[str, Callable[[CometApi, str], Iterator[Message]]] = {
    "parameters": _parameters,
    "metrics": _metrics,
    "system details": _details,
    "output": _output,
}


def _upload(asset: Mapping[str, Any]) -> dict[str, Any]:
    metadata = asset.get("metadata") or {}
    return {
        "file_path": str(asset["assetId"]),
        "upload_type": asset.get("type"),
        "additional_params": {"fileName": asset.get("fileName"), "step": asset.get("step")},
        "metadata": parsed(metadata.encode()) if isinstance(metadata, str) else metadata,
        "local_timestamp": asset.get("createdAt"),
    }


def _values(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name out of Comet's summaries."""
    return {str(one["name"]): one.get("valueCurrent") for one in answer.get("values") or []}
