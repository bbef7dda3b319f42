"""A real MLflow server for tests, and runs read back from MLflow without its SDK: over REST, or out of the database."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest

from trackbridge.adapters.base import Delivery, Ending, RemoteRef
from trackbridge.adapters.mlflow import MlflowAdapter
from trackbridge.testing.loopback import LoopbackServer, Request, Response
from trackbridge.testing.rows import STARTED_NS, RowBuilder
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun

FINISHED = Ending("finished", 0, None, STARTED_NS + 9_000_000_000)
INFINITY = sys.float_info.max
WORDS = {".txt": "text", ".csv": "table", ".json": "histogram", ".png": "image"}


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The URL of a server with an SQLite backend in the folder, which runs while the context lasts."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    places = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [*command, *places],
        env={**os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started, said = threading.Event(), []

    def listen() -> None:
        for line in process.stderr or ():
            said.append(line)
            if "Application startup complete" in line:
                started.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert started.wait(90), "".join(said)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        listener.join()
        if process.stderr:
            process.stderr.close()


@dataclass(frozen=True)
class Told:
    """A run as MLflow has it."""

    name: str
    status: str
    start_ms: int
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: tuple[tuple[str, float, int, int], ...]
    """Name, value, time in milliseconds, step."""
    files: tuple[str, ...]
    read: Callable[[str], bytes]


class MlflowPages:
    """The experiment `demo` of a server, read over its REST interface, as its page does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run_ids(self) -> list[str]:
        return [dict(tags(run))["trackbridge.run_id"] for run in self._runs()]

    def seen(self, run_id: str) -> SeenRun:
        return shown(self.told(run_id))

    def told(self, run_id: str) -> Told:
        run = next(run for run in self._runs() if dict(tags(run))["trackbridge.run_id"] == run_id)
        info, data = run["info"], run["data"]
        mlflow_id = info["run_id"]
        return Told(
            name=info["run_name"],
            status=info["status"],
            start_ms=int(info["start_time"]),
            end_ms=int(info["end_time"]) if "end_time" in info else None,
            params={one["key"]: one["value"] for one in data.get("params", [])},
            tags=dict(tags(run)),
            points=tuple(
                (one["key"], float(one["value"]), int(one["timestamp"]), int(one["step"]))
                for metric in sorted({metric["key"] for metric in data.get("metrics", [])})
                for one in self._history(mlflow_id, metric)
            ),
            files=tuple(self._files(mlflow_id, "")),
            read=lambda path: fetch(f"{self.url}/get-artifact?{urlencode({'path': path, 'run_uuid': mlflow_id})}"),
        )

    def forget(self) -> None:
        """Put the experiment away, so that the next test begins with none."""
        for experiment in self._experiments():
            number = experiment["experiment_id"]
            self._ask("experiments/update", {"experiment_id": number, "new_name": f"demo of before, {number}"})

    def _experiments(self) -> list[dict[str, Any]]:
        found = self._ask("experiments/search", {"max_results": 100, "filter": "name = 'demo'"})
        return list(found.get("experiments", []))

    def _runs(self) -> list[dict[str, Any]]:
        numbers = [experiment["experiment_id"] for experiment in self._experiments()]
        return list(self._ask("runs/search", {"experiment_ids": numbers}).get("runs", [])) if numbers else []

    def _history(self, mlflow_id: str, metric: str) -> Iterator[dict[str, Any]]:
        query = {"run_id": mlflow_id, "metric_key": metric, "max_results": 1000}
        while True:
            page = json.loads(fetch(f"{self.url}/api/2.0/mlflow/metrics/get-history?{urlencode(query)}"))
            yield from page.get("metrics", [])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    def _files(self, mlflow_id: str, folder: str) -> Iterator[str]:
        query = urlencode({"run_id": mlflow_id, "path": folder})
        for file in json.loads(fetch(f"{self.url}/api/2.0/mlflow/artifacts/list?{query}")).get("files", []):
            if file.get("is_dir"):
                yield from self._files(mlflow_id, file["path"])
            else:
                yield file["path"]

    def _ask(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(fetch(f"{self.url}/api/2.0/mlflow/{what}", json.dumps(question).encode())))


class MlflowDatabase:
    """The experiment `demo` of an SQLite database, read by SQL."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_ids(self) -> list[str]:
        runs = "experiments JOIN runs USING (experiment_id) JOIN tags ON tags.run_uuid = runs.run_uuid"
        found = self._rows(f"SELECT value FROM {runs} WHERE experiments.name = 'demo' AND key = 'trackbridge.run_id'")
        return [value for (value,) in found]

    def seen(self, run_id: str) -> SeenRun:
        return shown(self.told(run_id))

    def told(self, run_id: str) -> Told:
        ((mlflow_id, name, status, start_ms, end_ms, place),) = self._rows(
            "SELECT run_uuid, runs.name, status, start_time, end_time, artifact_uri FROM runs"
            " JOIN experiments USING (experiment_id) JOIN tags USING (run_uuid)"
            " WHERE experiments.name = 'demo' AND key = 'trackbridge.run_id' AND value = ?",
            run_id,
        )
        folder = Path(unquote(urlsplit(place).path))
        files = [path for path in folder.rglob("*") if path.is_file()]
        points = self._rows("SELECT key, value, is_nan, timestamp, step FROM metrics WHERE run_uuid = ?", mlflow_id)
        in_order = sorted(points, key=lambda point: (point[3], point[4]))
        return Told(
            name=name,
            status=status,
            start_ms=start_ms,
            end_ms=end_ms,
            params=dict(self._rows("SELECT key, value FROM params WHERE run_uuid = ?", mlflow_id)),
            tags=dict(self._rows("SELECT key, value FROM tags WHERE run_uuid = ?", mlflow_id)),
            points=tuple((key, math.nan if nan else value, ms, step) for key, value, nan, ms, step in in_order),
            files=tuple(path.relative_to(folder).as_posix() for path in files),
            read=lambda path: (folder / path).read_bytes(),
        )

    def forget(self) -> None:
        """Put the experiment away, so that the next test begins with none."""
        if self.path.exists():
            self._rows("UPDATE experiments SET name = 'demo of before, ' || experiment_id WHERE name = 'demo'")

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(sql, values).fetchall()


class MlflowProxy(LoopbackServer):
    """A server that hands everything on to an MLflow server, and can be switched into trouble."""

    secret = "not-to-be-seen-5f2c9"

    def __init__(self, pages: MlflowPages) -> None:
        super().__init__(self._hand_on)
        self._pages = pages
        self._refuses = False
        self.run_ids, self.seen = pages.run_ids, pages.seen

    @contextmanager
    def refusal(self) -> Iterator[None]:
        """While it lasts, the key is refused, in the words of MLflow's own `basic-auth` app."""
        self._refuses = True
        try:
            yield
        finally:
            self._refuses = False

    def _hand_on(self, request: Request) -> Response:
        if self._refuses:
            return Response(401, b"You are not authenticated.", {"Content-Type": "text/html"})
        assert request.headers.get("Authorization") == f"Bearer {self.secret}"
        url = f"{self._pages.url}{quote(request.path, safe='/%+')}?{urlencode(request.query)}"
        kept = {name: request.headers[name] for name in ("Content-Type",) if name in request.headers}
        asked = urllib.request.Request(url, request.body or None, kept, method=request.method)
        try:
            with urllib.request.urlopen(asked) as answer:
                return Response(answer.status, answer.read(), {"Content-Type": answer.headers["Content-Type"]})
        except urllib.error.HTTPError as error:
            return Response(error.code, error.read())


@contextmanager
def proxied(pages: MlflowPages, patch: pytest.MonkeyPatch) -> Iterator[MlflowProxy]:
    """A proxy that the adapter's environment names; what was delivered through it is put away at the end."""
    with MlflowProxy(pages) as proxy:
        patch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        patch.setenv("MLFLOW_TRACKING_TOKEN", proxy.secret)
        yield proxy
        pages.forget()


def deliver(rows: RowBuilder, remote: RemoteRef | None = None, *, ending: Ending | None = FINISHED) -> Delivery:
    adapter = MlflowAdapter()
    adapter.open(rows.header, remote)
    delivery = adapter.deliver(rows.rows)
    assert adapter.flush(5.0)
    adapter.close(ending)
    return delivery


def shown(told: Told) -> SeenRun:
    """The run in the words of the contract."""
    config = dict(told.params)
    config |= {name[8:]: value for name, value in told.tags.items() if name.startswith("changed/")}
    if "trackbridge/environment.json" in told.files:
        config |= flat({"environment": json.loads(told.read("trackbridge/environment.json"))})
    texts = {name[8:]: value for name, value in told.tags.items() if name.startswith("summary/")}
    numbers = {name[8:]: value for name, value, *_ in told.points if name.startswith("summary/")}
    return SeenRun(
        name=told.name,
        group=told.tags.get("trackbridge.group"),
        tags=frozenset(json.loads(told.tags.get("trackbridge.tags", "[]"))),
        notes=told.tags.get("mlflow.note.content"),
        config=config,
        summary={**texts, **numbers},
        points=tuple(
            SeenPoint(name, math.copysign(math.inf, value) if abs(value) == INFINITY else value, step, ms * 1_000_000)
            for name, value, ms, step in told.points
        ),
        media=tuple(media for file in told.files if (media := media_of(file)) is not None),
        artifacts=frozenset(
            file.split("/")[1] for file in told.files if file.split("/")[0] in ("artifacts", "checkpoints")
        ),
        status=told.status.lower(),
        error=told.tags.get("trackbridge.error", ""),
        console=told.read("trackbridge/console.txt").decode() if "trackbridge/console.txt" in told.files else "",
    )


def media_of(file: str) -> SeenMedia | None:
    """What a file of a run shows, by its name."""
    folder, _, rest = file.partition("/")
    if folder == "images" and not file.endswith("+compressed.webp"):
        name, _, step = rest.partition("+timestamp")[0].partition("+step+")
        return SeenMedia(name.replace("~", "/"), "image", int(step))
    if folder == "media" and not file.endswith(".caption.txt"):
        name, _, last = rest.rpartition("/")
        return SeenMedia(name, WORDS[Path(last).suffix], int(last.split("-")[1]))
    return None


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Values as text by path."""
    found: dict[str, str] = {}
    for key, value in nested.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return found


def tags(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The tags of a run as REST tells it."""
    return [(tag["key"], tag.get("value", "")) for tag in run["data"].get("tags", [])]


def fetch(url: str, body: bytes | None = None) -> bytes:
    """The answer's body."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())
