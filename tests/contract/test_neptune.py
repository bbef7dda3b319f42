"""The contract, held by the Neptune adapter with the real SDK: online to a server on loopback, and offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.neptune import NeptuneAdapter
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.online_contract import OnlineContract
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun


class TestOnline(OnlineContract):
    way_out = "NEPTUNE_API_TOKEN"

    @pytest.fixture
    def tracker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
        with FakeNeptune() as neptune:
            neptune.keeps_repeats = True
            for name, value in neptune.environment.items():
                monkeypatch.setenv(name, value)
            yield neptune

    @pytest.fixture
    def connect(self, tracker: FakeNeptune) -> Callable[[], Adapter]:
        return NeptuneAdapter


class InDirectory:
    """The runs below `.neptune/offline`, read without the client and without the adapter's code."""

    def __init__(self, folder: Path) -> None:
        self.offline = folder / ".neptune" / "offline"

    def run_ids(self) -> list[str]:
        return [folder.name.removeprefix("run__") for folder in self.offline.iterdir()]

    def seen(self, run_id: str) -> SeenRun:
        fields = replayed(self.offline / f"run__{run_id}")
        files = [path.split("/") for path in fields if path.startswith(("artifacts/", "checkpoints/"))]
        return SeenRun(
            name=fields.get("sys/name", ""),
            group=next(iter(fields.get("sys/group_tags", [])), None),
            tags=frozenset(fields.get("sys/tags", [])),
            notes=fields.get("sys/description"),
            config=dict(config_of(fields)),
            summary={path[8:]: value for path, value in fields.items() if path.startswith("summary/")},
            points=tuple(sorted(points_of(fields), key=lambda point: point.time_ns)),
            media=tuple(media_of(fields)),
            artifacts=frozenset(parts[1] for parts in files if parts[2] == "files"),
            status=fields.get("run/status", "running"),
            error=fields.get("run/error", ""),
            console=fields.get("run/console", b"").decode(),
        )


def replayed(folder: Path) -> dict[str, Any]:
    """The fields of a run after all operations of its directory; a series is a list, a file is its bytes."""
    fields: dict[str, Any] = {}
    acknowledged = int((folder / "last_ack_version").read_text())
    lines = (folder / "data-1.log").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=acknowledged + 1):
        entry = json.loads(line)
        operation, path = entry["obj"], "/".join(entry["obj"]["path"])
        assert entry["version"] == number
        if operation["type"].startswith("Log"):
            fields.setdefault(path, []).extend(operation["values"])
        elif operation["type"] == "AddStrings":
            fields[path] = [*fields[path], *operation["values"]]
        elif operation["type"] == "ClearStringSet":
            fields[path] = []
        elif operation["type"] == "DeleteAttribute":
            del fields[path]
        elif operation["type"] == "UploadFile":
            fields[path] = (folder / "upload_path" / operation["tmp_file_name"]).read_bytes()
        else:
            assert operation["type"].startswith("Assign")
            fields[path] = operation["value"]
    assert int((folder / "last_put_version").read_text()) == len(lines)
    return fields


def config_of(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, value in fields.items():
        folder, _, rest = path.partition("/")
        if folder in ("config", "seeds", "environment") and not isinstance(value, bytes):
            yield rest if folder == "config" else path, str(value)


def points_of(fields: dict[str, Any]) -> Iterator[SeenPoint]:
    for path, values in fields.items():
        folder, _, name = path.partition("/")
        if folder in ("metrics", "not_finite", "monitoring"):
            for value in values:
                yield SeenPoint(
                    name.partition("~")[0], float(value["value"]), value["step"], int(value["ts"] * 1000) * 1_000_000
                )


def media_of(fields: dict[str, Any]) -> Iterator[SeenMedia]:
    for path, content in fields.items():
        if path.startswith("media/images/"):
            yield from (SeenMedia(path[13:], "image", value["step"]) for value in content)
        elif path.startswith("media/") and isinstance(content, bytes):
            media, _, name = path[6:].partition("/")
            name, _, step = name.rpartition("/step-")
            yield SeenMedia(name, media, int(step))


class TestOffline(AdapterContract):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> InDirectory:
        return InDirectory(tmp_path / "neptune")

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(NeptuneAdapter, mode="offline", folder=tmp_path / "neptune")
