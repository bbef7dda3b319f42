"""
A Comet server on loopback, for tests and for CI: the real SDK and the real `comet upload` work against it.

It speaks the part of Comet's protocol with which comet_ml 3.58 creates or takes up an experiment, logs batches, uploads
assets and reads all of it back. It keeps everything it is sent, duplicates too: it is a witness, no helper.

    with FakeComet() as comet:
        for name, value in comet.environment.items():
            monkeypatch.setenv(name, value)
        ...
        assert comet.seen(run_id).curve("train/loss") == [(1, 0.5)]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trackbridge.testing.fake_comet_experiment import READS, WRITES, Call, FakeExperiment, metadata
from trackbridge.testing.loopback import LoopbackServer, Request, Response, json_response
from trackbridge.testing.seen import SeenRun

KEY_NOT_REGISTERED = 90212
NO_WRITE_ACCESS = 90210
EXPERIMENT_EXISTS = 90999


class FakeComet(LoopbackServer):
    """The server; a context manager. `outage()` and `trouble(...)` are those of `LoopbackServer`.

    Attributes:
        secret: the one API key it accepts.
        experiments: what it keeps, by experiment key.
    """

    def __init__(self, *, secret: str = "s3cr3tKeyOfTheFakeComet00") -> None:
        super().__init__(self._answered)
        self.secret = secret
        self.experiments: dict[str, FakeExperiment] = {}
        self._refusal: int | None = None
        self._tears_batches = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the SDK here, and keep it from calling anybody else."""
        return {
            "COMET_URL_OVERRIDE": f"{self.url}/clientlib/",
            "COMET_API_KEY": self.secret,
            "COMET_ERROR_TRACKING_ENABLE": "false",
            "COMET_INTERNAL_REPORTING": "false",
            "COMET_DISABLE_ANNOUNCEMENT": "true",
        }

    def run_ids(self) -> list[str]:
        """The key of every experiment."""
        return list(self.experiments)

    def seen(self, run_id: str) -> SeenRun:
        """One experiment as it stands."""
        return self.experiments[run_id].seen()

    def received(self) -> bytes:
        """The body of every request; the field `apiKey`, with which Comet's own protocol signs some, is left out."""
        return super().received().replace(f'"apiKey": "{self.secret}"'.encode(), b'"apiKey": ""')

    @contextmanager
    def refusal(self, status: int = 400) -> Iterator[None]:
        """While it lasts, the key is refused: with 400 and a code, as Comet does it, or with another status."""
        self._refusal = status
        try:
            yield
        finally:
            self._refusal = None

    @contextmanager
    def torn_batches(self) -> Iterator[None]:
        """While it lasts, of a batch of metrics only the first half is stored, and the answer is 500."""
        self._tears_batches = True
        try:
            yield
        finally:
            self._tears_batches = False

    def _answered(self, request: Request) -> Response:
        call = Call.of(request)
        if self._refusal is not None:
            return _failed(self._refusal, "no such API key", KEY_NOT_REGISTERED)
        if call.headers.get("authorization") != self.secret:
            return _failed(401, "no such API key", KEY_NOT_REGISTERED)
        if call.path in ("logger/add/run", "logger/get/run"):
            return self._taken_up(call)
        if call.path in ("isAlive/ver", "health/ping"):
            return json_response({"version": "4.50.0"})
        if call.path == "experiments":
            return json_response({"experiments": self._page(call)})
        experiment = self.experiments.get(call.experiment_key)
        route = WRITES.get(call.path) or READS.get(call.path)
        if experiment is None or route is None:
            return _failed(404, f"no such {'endpoint' if route is None else 'experiment'}: {call.path}")
        if self._tears_batches and call.path.endswith("experiment/metric"):
            route(experiment, _first_half(call))
            return _failed(500, "torn")
        content: Any = route(experiment, call)
        return Response(200, content) if isinstance(content, bytes) else json_response(content or {})

    def _page(self, call: Call) -> list[dict[str, Any]]:
        """Part of the experiments of a project, in the order in which they came."""
        place = call.query["workspaceName"], call.query["projectName"]
        there = [one for one in self.experiments.values() if (one.workspace, one.project) == place]
        size = int(call.query["size"])
        start = (int(call.query["page"]) - 1) * size
        return [metadata(one) for one in there[start : start + size]]

    def _taken_up(self, call: Call) -> Response:
        fields = call.fields
        key = fields.get("previousExperiment") or fields["experimentKey"]
        exists = key in self.experiments
        if call.path == "logger/get/run" and not exists:
            return _failed(400, f"no experiment {key}", NO_WRITE_ACCESS)
        if call.path == "logger/add/run" and exists and not fields.get("getOrCreateEnabled"):
            return _failed(400, f"experiment {key} exists", EXPERIMENT_EXISTS)
        if not exists:
            self.experiments[key] = FakeExperiment(key, fields.get("projectName"), fields.get("teamName"))
        return json_response(
            {
                "runId": f"run-{key}",
                "project_id": "project",
                "focusUrl": f"{self.url}/{fields.get('teamName') or 'user'}/",
                "lastOffset": 0,
                "featureToggles": [{"name": "sdk_http_logging", "enabled": True}],
            }
        )


def _failed(status: int, message: str, code: int | None = None) -> Response:
    return json_response({"msg": message, "sdk_error_code": code}, status)


def _first_half(call: Call) -> Call:
    fields = call.fields
    fields["values"] = fields["values"][: len(fields["values"]) // 2]
    return Call(call.path, call.query, call.headers, json.dumps(fields).encode())
