"""
A Neptune server on loopback, for tests and for CI: the real SDK and the real `neptune sync` work against it.

It speaks the part of Neptune's 2.x API with which neptune 1.14 finds a project, creates or takes up a run, changes its
fields, uploads files and reads all of it back. The SDK asks a server for its Swagger description and follows it, so a
short one, written by hand, is enough. It is as strict as Neptune: a series takes only points after its last one, and a
field keeps its type.

    with FakeNeptune() as neptune:
        for name, value in neptune.environment.items():
            monkeypatch.setenv(name, value)
        ...
        assert neptune.seen(run_id).curve("train/loss") == [(1, 0.5)]
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from trackbridge.testing.fake_neptune_run import FakeField, FakeNeptuneRun, Refused
from trackbridge.testing.fake_neptune_swagger import CALLS, swagger
from trackbridge.testing.loopback import LoopbackServer, Request, Response, json_response
from trackbridge.testing.seen import SeenRun

_TOKEN_LIVES_S = 3600
Answer: TypeAlias = Callable[["FakeNeptune", Request], Any]


class FakeNeptune(LoopbackServer):
    """The server; a context manager. `outage()` and `trouble(...)` are those of `LoopbackServer`.

    Attributes:
        projects: the projects it has, as `workspace/name`; like a real server it creates none by itself.
        keeps_repeats: keep points that are not after the last of their series, so that a test sees what came twice.
        runs: what it keeps, by its own id of a run.
    """

    def __init__(self, *, projects: tuple[str, ...] = ("team/demo",), key: str = "s3cr3tKeyOfTheFakeNeptune") -> None:
        super().__init__(self._answered)
        self.projects = projects
        self.keeps_repeats = False
        self.runs: dict[str, FakeNeptuneRun] = {}
        self._key = key
        self._refusal: int | None = None
        self._tears = False
        self._parts: dict[str, list[bytes]] = {}

    @property
    def secret(self) -> str:
        """The one API token it accepts; as in life, it says where the server is."""
        token = {"api_address": self.url, "api_url": self.url, "api_key": self._key}
        return base64.b64encode(json.dumps(token).encode()).decode()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the SDK here; the last one lets it speak HTTP without TLS."""
        return {
            "NEPTUNE_API_TOKEN": self.secret,
            "NEPTUNE_PROJECT": self.projects[0],
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
        }

    def run_ids(self) -> list[str]:
        """Our id of every run: the custom id or, for what `neptune sync` brought, the field `run/id`."""
        return [run.custom_id or run.value("run/id") or run.sys_id for run in self.runs.values()]

    def run(self, run_id: str) -> FakeNeptuneRun:
        """The run with this id of ours."""
        return list(self.runs.values())[self.run_ids().index(run_id)]

    def seen(self, run_id: str) -> SeenRun:
        """The run in the words of the contract suite."""
        return self.run(run_id).seen()

    @contextmanager
    def refusal(self, status: int = 401) -> Iterator[None]:
        """While it lasts, the token is refused: unknown with 401, without permission with 403."""
        self._refusal = status
        try:
            yield
        finally:
            self._refusal = None

    @contextmanager
    def torn(self) -> Iterator[None]:
        """While it lasts, only the first half of each series that comes in is kept, and the answer is 500."""
        self._tears = True
        try:
            yield
        finally:
            self._tears = False

    def _answered(self, request: Request) -> Response:
        if request.path.endswith("/swagger.json"):
            return json_response(swagger(request.path.split("/")[2]))
        call = next((one for one in CALLS if (one.method, one.path) == (request.method, request.path)), None)
        if call is None:
            return _failed(404, f"no such page: {request.path}")
        if self._refusal is not None or not self._knows(request):
            return _failed(self._refusal or 401, "refused by the fake server")
        handler = _ANSWERS[call.name]
        try:
            answer = handler(self, request)
        except LookupError as missing:
            return _failed(404, f"no such thing: {missing}")
        return answer if isinstance(answer, Response) else json_response(answer)

    def _knows(self, request: Request) -> bool:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path.startswith("/api/backend/v1/clients") or request.path.endswith("/oauth-token"):
            return headers.get("x-neptune-api-token") == self.secret
        return request.path == "/auth/protocol/openid-connect/token" or "authorization" in headers

    def _token(self) -> str:
        claims = {"exp": int(time.time()) + _TOKEN_LIVES_S, "iss": f"{self.url}/auth", "azp": "neptune-cli"}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)]
        return b".".join([*(part.rstrip(b"=") for part in parts), b"none"]).decode()

    def _project(self, name: str) -> dict[str, Any]:
        workspace, _, project = next(one for one in self.projects if one == name).partition("/")
        return {"id": name, "name": project, "organizationName": workspace, "projectKey": "DEMO", "version": 2}

    def _experiment(self, run: FakeNeptuneRun) -> dict[str, Any]:
        workspace, _, project = self.projects[0].partition("/")
        names = {"organizationName": workspace, "projectName": project, "trashed": False}
        return {"id": run.id, "shortId": run.sys_id, "type": "run", **names}

    def _run(self, request: Request) -> FakeNeptuneRun:
        asked = request.query.get("experimentId") or request.query["experimentIdentifier"]
        for run in self.runs.values():
            if asked in (run.id, f"{self.projects[0]}/{run.sys_id}"):
                return run
        raise LookupError(asked)

    def _field(self, request: Request) -> FakeField:
        return self._run(request).fields[request.query["attribute"]]


def _failed(status: int, message: str) -> Response:
    return json_response({"title": message, "errors": [message]}, status)


def _config(server: FakeNeptune, request: Request) -> Any:
    part_sizes = {"minChunkSize": 5 << 20, "maxChunkSize": 1 << 30, "maxChunkCount": 1000, "maxSinglePartSize": 5 << 20}
    return {
        "apiUrl": server.url,
        "applicationUrl": server.url,
        "multiPartUpload": {"enabled": True, **part_sizes},
        "artifacts": {"enabled": False, "apiVersion": 1},
    }


def _exchange(server: FakeNeptune, request: Request) -> Any:
    return {"accessToken": server._token(), "refreshToken": server._token(), "username": "tester"}


def _refresh(server: FakeNeptune, request: Request) -> Any:
    return {"access_token": server._token(), "refresh_token": server._token(), "expires_in": _TOKEN_LIVES_S}


def _get_project(server: FakeNeptune, request: Request) -> Any:
    return server._project(_existing(server.projects, request.query["projectIdentifier"]))


def _list_projects(server: FakeNeptune, request: Request) -> Any:
    wanted = request.query.get("searchTerm", "")
    return {"entries": [server._project(name) for name in server.projects if wanted in name]}


def _list_workspaces(server: FakeNeptune, request: Request) -> Any:
    return [{"id": name, "name": name} for name in sorted({name.split("/")[0] for name in server.projects})]


def _create(server: FakeNeptune, request: Request) -> Any:
    wanted = request.json()
    custom_id = wanted.get("customId")
    found = next((run for run in server.runs.values() if custom_id and run.custom_id == custom_id), None)
    if found is None:
        number = len(server.runs) + 1
        found = FakeNeptuneRun(
            f"00000000-0000-0000-0000-{number:012}", f"DEMO-{number}", custom_id, server.keeps_repeats
        )
        found.put("sys/id", "string", found.sys_id)
        server.runs[found.id] = found
    return server._experiment(found)


def _ping(server: FakeNeptune, request: Request) -> Any:
    server._run(request).pings += 1
    return {}


def _execute(server: FakeNeptune, request: Request) -> Any:
    run, operations = server._run(request), request.json()
    if server._tears:
        for operation in operations:
            run.apply(_first_half(operation))
        return _failed(500, "torn")
    return [{"errorDescription": error} for operation in operations for error in run.apply(operation)]


def _first_half(operation: Mapping[str, Any]) -> dict[str, Any]:
    cut = {"entries": lambda entries: entries[: len(entries) // 2]}
    return {
        name: {key: cut.get(key, lambda value: value)(value) for key, value in body.items()} if name != "path" else body
        for name, body in operation.items()
    }


def _attributes(server: FakeNeptune, request: Request) -> Any:
    run = server._run(request)
    return {"attributes": [_described(path, one) for path, one in run.fields.items()]}


def _described(path: str, one: FakeField) -> dict[str, Any]:
    properties = {"attributeName": path, "attributeType": one.type, **_shown(one)}
    return {"name": path, "type": one.type, f"{one.type}Properties": properties}


def _shown(one: FakeField) -> dict[str, Any]:
    if one.type == "file":
        return {"name": "content", "ext": one.extension, "size": len(one.value)}
    if one.type == "datetime":
        return {"value": one.value.isoformat()}
    if one.type == "stringSet":
        return {"values": sorted(one.value)}
    if one.type.endswith("Series"):
        return {"last": one.value[-1].value if one.value else None}
    return {"value": one.value}


def _series_values(server: FakeNeptune, request: Request) -> Any:
    found, offset = server._field(request), int(request.query["offset"])
    if not found.type.endswith("Series"):
        raise LookupError(request.query["attribute"])
    entries = found.value
    values = [
        {"timestampMillis": entry.at_ms, "step": entry.step, "value": entry.value}
        for entry in entries[offset : offset + int(request.query["limit"])]
    ]
    return {"totalItemCount": len(entries), "values": values}


def _upload(server: FakeNeptune, request: Request) -> Any:
    return _stored(server, request, request.body)


def _upload_start(server: FakeNeptune, request: Request) -> Any:
    upload_id = f"upload-{len(server._parts)}"
    server._parts[upload_id] = [request.query.get("ext", "").encode()]
    return {"uploadId": upload_id, "errors": []}


def _upload_part(server: FakeNeptune, request: Request) -> Any:
    server._parts[request.query["uploadId"]].append(request.body)
    return {"errors": []}


def _upload_finish(server: FakeNeptune, request: Request) -> Any:
    extension, *parts = server._parts[request.query["uploadId"]]
    return _stored(server, request, b"".join(parts), extension.decode())


def _stored(server: FakeNeptune, request: Request, content: bytes, extension: str = "") -> Any:
    path = request.query["attribute"]
    try:
        server._run(request).put(path, "file", content, extension or request.query.get("ext", ""))
    except Refused as refused:
        return {"errors": [{"errorDescription": f"{path}: {refused}"}]}
    return {"errors": []}


def _download(server: FakeNeptune, request: Request) -> Any:
    found = server._field(request)
    name = f'attachment; filename="{request.query["attribute"].split("/")[-1]}.{found.extension}"'
    return Response(200, found.value, {"Content-Type": "application/octet-stream", "Content-Disposition": name})


def _existing(names: tuple[str, ...], wanted: str) -> str:
    if wanted not in names:
        raise LookupError(wanted)
    return wanted


_ANSWERS: dict[str, Answer] = {
    "getClientConfig": _config,
    "exchangeApiToken": _exchange,
    "refreshToken": _refresh,
    "getProject": _get_project,
    "listProjects": _list_projects,
    "listOrganizations": _list_workspaces,
    "createExperiment": _create,
    "getExperiment": lambda server, request: server._experiment(server._run(request)),
    "ping": _ping,
    "executeOperations": _execute,
    "getExperimentAttributes": _attributes,
    **{f"get{kind}SeriesValues": _series_values for kind in ("Float", "String", "Image")},
    **{
        f"get{kind}Attribute": lambda server, request: _shown(server._field(request))
        for kind in ("Float", "Int", "Bool", "String", "Datetime", "StringSet", "File", "FloatSeries", "StringSeries")
    },
    "fileAtomUpload": _upload,
    "fileAtomMultipartUploadStart": _upload_start,
    "fileAtomMultipartUploadPart": _upload_part,
    "fileAtomMultipartUploadFinish": _upload_finish,
    "downloadAttribute": _download,
}
