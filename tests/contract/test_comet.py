"""The contract, held by the Comet adapter: online against a server on loopback, offline by the archive it leaves."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.comet import CometAdapter
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.online_contract import OnlineContract
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun


class TestOnline(OnlineContract):
    way_out = "COMET_API_KEY"

    @pytest.fixture
    def connect(self) -> Callable[[], Adapter]:
        return partial(CometAdapter, mode="online")

    @pytest.fixture
    def tracker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeComet]:
        with FakeComet() as comet:
            for name, value in comet.environment.items():
                monkeypatch.setenv(name, value)
            yield comet


class TestOffline(AdapterContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(CometAdapter, mode="offline", folder=tmp_path / "comet")

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Archives:
        return Archives(tmp_path / "comet")


class Archives:
    """The archives in a folder, read as Comet's own format: nothing of the adapter is used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_ids(self) -> list[str]:
        return [self._read(path)[0]["offline_id"] for path in self.folder.glob("*.zip")]

    def seen(self, run_id: str) -> SeenRun:
        experiment, messages = self._read(self.folder / f"{run_id}.zip")
        others = {payload["key"]: payload["value"] for payload in messages.get("log_other", [])}
        assets = messages.get("file_upload", [])
        return SeenRun(
            name=others["Name"],
            group=others.get("group"),
            tags=frozenset(experiment["tags"]),
            notes=others.get("notes"),
            config=config_of(messages),
            summary={key[8:]: value for key, value in others.items() if key.startswith("summary/")},
            points=tuple(point_of(payload) for payload in messages.get("metric_msg", [])),
            media=tuple(media for asset in assets if (media := media_of(asset)) is not None),
            artifacts=frozenset(name for asset in assets if (name := artifact_of(asset)) is not None),
            status=others.get("status", "running"),
            error=experiment["customer_error_message"] or "",
            console="".join(payload["output"] for payload in messages.get("standard_output", [])),
        )

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        messages: dict[str, list[dict[str, Any]]] = {}
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            for line in archive.read("messages.json").splitlines():
                message = json.loads(line)
                messages.setdefault(message["type"], []).append(message["payload"])
            for asset in messages.get("file_upload", []):
                assert asset["file_path"] in archive.namelist()
            return json.loads(archive.read("experiment.json")), messages


def config_of(messages: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    parameters = [payload["param"] for payload in messages.get("parameter_msg", [])]
    system = [payload["system_info"] for payload in messages.get("system_info", [])]
    flat = {parameter["paramName"]: parameter["paramValue"] for parameter in parameters}
    flat |= {f"environment|{fact['key']}": fact["value"] for fact in system}
    return {key.replace("|", "/"): str(value) for key, value in flat.items()}


def point_of(payload: dict[str, Any]) -> SeenPoint:
    metric = payload["metric"]
    time_ns = payload["local_timestamp"] * 1_000_000
    name = re.sub("^sys[.]", "system/", metric["metricName"])
    return SeenPoint(name, float(metric["metricValue"]), metric["step"], time_ns)


def media_of(asset: dict[str, Any]) -> SeenMedia | None:
    words = {"visualization": "image", "histogram3d": "histogram", "text-sample": "text"}
    parameters, kind = asset["additional_params"], asset["metadata"]["kind"]
    name = parameters.get("figName") or parameters.get("fileName")
    media = words.get(asset["upload_type"]) or ("table" if kind == "table" else None)
    return media and SeenMedia(name.removesuffix(".csv"), media, parameters["step"])


def artifact_of(asset: dict[str, Any]) -> str | None:
    folder, _, rest = str(asset["additional_params"].get("fileName")).partition("/")
    return rest.partition("/")[0] if folder in ("checkpoints", "artifacts") else None
