"""
A W&B server on loopback, for tests and for CI: the real SDK, `wandb sync` and `wandb.Api()` work against it.

It speaks the part of W&B's protocol that wandb 0.31 uses to start and resume runs, stream history, upload files and
artifacts, and read runs back. Nothing leaves the machine.

    with FakeWandb() as wandb:
        for name, value in wandb.environment.items():
            monkeypatch.setenv(name, value)
        ...
        assert wandb.seen(run_id).curve("train/loss") == [(1, 0.5)]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from trackbridge.testing.fake_wandb_run import FakeArtifact, FakeWandbRun
from trackbridge.testing.loopback import LoopbackServer, Request, Response, json_response
from trackbridge.testing.seen import SeenRun

Variables: TypeAlias = Mapping[str, Any]
ENTITY = "team"


class FakeWandb(LoopbackServer):
    """The server; a context manager. `outage()` and `trouble(...)` are those of `LoopbackServer`.

    Attributes:
        runs: what it has, by run id.
        secret: the API key that it takes.
        unknown_operations: GraphQL operations that were asked for and are not spoken here.
    """

    def __init__(self) -> None:
        super().__init__(self._answered)
        self.runs: dict[str, FakeWandbRun] = {}
        self.artifacts: dict[str, FakeArtifact] = {}
        self.secret = "5ec2e7fa" * 5
        self.unknown_operations: list[str] = []
        self._operations: dict[str, Callable[[Variables], Any]] = {
            "Viewer": self._viewer,
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert_bucket,
            "CreateRunFiles": self._create_run_files,
            "ServerFeaturesQuery": lambda variables: {"serverInfo": {"features": []}},
            "ArtifactType": lambda variables: {"project": {"artifact": None}},
            "CreateArtifact": self._create_artifact,
            "ArtifactByID": self._artifact,
            "CreateArtifactManifest": self._create_manifest,
            "UpdateArtifactManifest": self._update_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit_artifact,
            "Run": self._run,
            "RunFiles": self._run_files,
            "RunHistoryKeys": self._run,
            "RunParquetHistory": self._parquet_history,
            "HistoryPage": self._history_page,
            "Runs": self._runs,
            "RunEvents": self._events,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables that bring the SDK here, and keep it from going anywhere else."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": self.secret,
            "WANDB_ENTITY": ENTITY,
            "WANDB_ERROR_REPORTING": "false",
        }

    def run_ids(self) -> list[str]:
        """Every run it has."""
        return list(self.runs)

    def seen(self, run_id: str) -> SeenRun:
        """The run in the words of the contract suite."""
        return self.runs[run_id].as_seen()

    def refusal(self) -> AbstractContextManager[None]:
        """While it lasts, the key is refused."""
        return self.trouble(status=401)

    def _answered(self, request: Request) -> Response:
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        if request.path == "/graphql":
            return self._graphql(request.json())
        if parts[0] == "files" and parts[-1] == "file_stream":
            self.runs[parts[3]].take_stream(request.json())
            return json_response({})
        if parts[0] == "artifact":
            self.artifacts[parts[1]].files["/".join(parts[2:])] = request.body
            return Response()
        if parts[0] == "download":
            return Response(200, self.runs[parts[1]].files["/".join(parts[2:])])
        if parts[0] == "upload":
            self.runs[parts[1]].files["/".join(parts[2:])] = request.body
            return Response()
        return json_response({"error": f"no such page: {request.path}"}, 404)

    def _graphql(self, call: Variables) -> Response:
        name = call.get("operationName") or call["query"].split("(")[0].split()[-1]
        operation = self._operations.get(name)
        if operation is None:
            self.unknown_operations.append(call["query"])
            return json_response({"errors": [{"message": f"the fake server does not know the operation {name}"}]})
        return json_response({"data": operation(call.get("variables") or {})})

    def _viewer(self, variables: Variables) -> Any:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {"viewer": {"id": "VXNlcg==", "entity": ENTITY, "username": "tester", "flags": "{}", "teams": teams}}

    def _resume_status(self, variables: Variables) -> Any:
        run = self.runs.get(variables["name"])
        return {
            "model": {
                "id": "UHJvamVjdA==",
                "name": variables["project"],
                "entity": {"id": "RW50aXR5", "name": ENTITY},
                "bucket": None if run is None else {**_bucket(run), **_tails(run)},
            }
        }

    def _upsert_bucket(self, variables: Variables) -> Any:
        run_id = variables["name"]
        is_new = run_id not in self.runs
        if is_new:
            self.runs[run_id] = FakeWandbRun(run_id, variables["project"], variables["entity"] or ENTITY)
        run = self.runs[run_id]
        run.state = variables.get("state") or "running"
        names = {"displayName": "name", "groupName": "group", "jobType": "job_type", "notes": "notes", "tags": "tags"}
        for sent, kept in names.items():
            if variables.get(sent) is not None:
                setattr(run, kept, variables[sent])
        if variables.get("config") is not None:
            run.config = json.loads(variables["config"])
        if variables.get("summaryMetrics") is not None:
            run.summary = json.loads(variables["summaryMetrics"])
        return {"upsertBucket": {"bucket": _bucket(run), "inserted": is_new}}

    def _create_run_files(self, variables: Variables) -> Any:
        run_id = variables["run"]
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{run_id}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": run_id, "uploadHeaders": [], "files": files}}

    def _create_artifact(self, variables: Variables) -> Any:
        sent = variables["input"]
        name, digest = sent["artifactCollectionName"], sent["digest"]
        artifact = next((one for one in self.artifacts.values() if (one.name, one.digest) == (name, digest)), None)
        # Two versions of the same digest are one version: that is what `enableDigestDeduplication` asks for.
        if artifact is None:
            artifact = FakeArtifact(
                f"artifact-{len(self.artifacts)}", name, sent["artifactTypeName"], digest, sent["projectName"]
            )
            self.artifacts[artifact.id] = artifact
        aliases = [alias["alias"] for alias in sent["aliases"] or []]
        for other in self.artifacts.values():
            if other.name == name:
                other.aliases = [alias for alias in other.aliases if alias not in aliases]
        artifact.aliases = aliases
        artifact.metadata = json.loads(sent["metadata"] or "{}")
        self.runs[sent["runName"]].artifacts[artifact.id] = artifact
        created = {"id": artifact.id, "state": artifact.state, "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": created}}

    def _artifact(self, variables: Variables) -> Any:
        artifact = self.artifacts[variables["id"]]
        version = [one for one in self.artifacts.values() if one.name == artifact.name].index(artifact)
        project = {"id": "UHJvamVjdA==", "internalId": "1", "name": artifact.project, "entity": {"name": ENTITY}}
        collection = {"name": artifact.name, "project": project}
        aliases = [{"__typename": "ArtifactAlias", "id": alias, "alias": alias} for alias in artifact.aliases]
        return {
            "artifact": {
                "__typename": "Artifact",
                "id": artifact.id,
                "state": artifact.state,
                "digest": artifact.digest,
                "versionIndex": version,
                "description": None,
                "metadata": json.dumps(artifact.metadata),
                "tags": [],
                "ttlDurationSeconds": -2,
                "ttlIsInherited": True,
                "historyStep": 0,
                "size": 0,
                "fileCount": 1,
                "commitHash": "c0",
                "createdAt": "2026-01-01T00:00:00Z",
                "updatedAt": "2026-01-01T00:00:00Z",
                "artifactType": {"name": artifact.type},
                "artifactSequence": {"__typename": "ArtifactSequence", **collection},
                "aliases": [
                    {**alias, "artifactCollection": {"__typename": "ArtifactSequence", **collection}}
                    for alias in aliases
                ],
            }
        }

    def _create_manifest(self, variables: Variables) -> Any:
        return {"createArtifactManifest": {"artifactManifest": self._manifest(variables["artifactID"])}}

    def _update_manifest(self, variables: Variables) -> Any:
        return {"updateArtifactManifest": {"artifactManifest": self._manifest(variables["artifactManifestID"])}}

    def _manifest(self, artifact_id: str) -> dict[str, Any]:
        url = f"{self.url}/artifact/{artifact_id}/wandb_manifest.json"
        return {"id": artifact_id, "file": {"id": artifact_id, "uploadUrl": url, "uploadHeaders": []}}

    def _create_artifact_files(self, variables: Variables) -> Any:
        edges = []
        for file in variables["input"]["artifactFiles"]:
            artifact_id, name = file["artifactID"], file["name"]
            url = f"{self.url}/artifact/{artifact_id}/{quote(name)}"
            node = {"storagePath": name, "uploadUrl": url, "uploadHeaders": [], "artifact": {"id": artifact_id}}
            edges.append({"node": {**node, "uploadMultipartUrls": None}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit_artifact(self, variables: Variables) -> Any:
        artifact = self.artifacts[variables["artifactID"]]
        artifact.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def _run(self, variables: Variables) -> Any:
        run = self.runs.get(variables["name"])
        return {"project": None if run is None else {"internalId": "1", "run": _bucket(run)}}

    def _parquet_history(self, variables: Variables) -> Any:
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}

    def _history_page(self, variables: Variables) -> Any:
        first, end = variables["minStep"], variables["maxStep"]
        rows = [row for row in self.runs[variables["run"]].rows if first <= row["_step"] < end]
        return {"project": {"run": {"history": [json.dumps(row) for row in rows]}}}

    def _runs(self, variables: Variables) -> Any:
        runs = [run for run in self.runs.values() if run.project == variables["project"]]
        if not runs:
            return {"project": None}
        # One to a page, so that whoever reads them has to ask for the next.
        number = int(variables.get("cursor") or 0)
        page = {"endCursor": str(number + 1), "hasNextPage": number + 1 < len(runs)}
        return {"project": {"runs": {"edges": [{"node": _bucket(runs[number])}], "pageInfo": page}}}

    def _events(self, variables: Variables) -> Any:
        return {"project": {"run": {"events": [line for line in self.runs[variables["name"]].events if line]}}}

    def _run_files(self, variables: Variables) -> Any:
        run = self.runs[variables["name"]]
        wanted = variables.get("fileNames") or list(run.files)
        nodes = [
            {
                "id": name,
                "name": name,
                "sizeBytes": len(run.files[name]),
                "directUrl": f"{self.url}/download/{run.run_id}/{quote(name)}",
            }
            for name in wanted
            if name in run.files
        ]
        edges = [{"node": node, "cursor": str(number)} for number, node in enumerate(nodes)]
        files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {"project": {"internalId": "1", "run": {"fileCount": len(run.files), "files": files}}}


def _bucket(run: FakeWandbRun) -> dict[str, Any]:
    return {
        "id": "UnVu",
        "projectId": 1,
        "name": run.run_id,
        "displayName": run.name,
        "state": run.state,
        "config": json.dumps(run.config),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": "{}",
        "group": run.group,
        "jobType": run.job_type,
        "notes": run.notes,
        "tags": run.tags,
        "description": "",
        "commit": None,
        "readOnly": False,
        "sweepName": None,
        "createdAt": "2026-01-01T00:00:00",
        "heartbeatAt": "2026-01-01T00:00:00",
        "user": {"name": "Tester", "username": "tester"},
        "historyLineCount": len(run.history),
        "historyKeys": {"lastStep": run.last_step, "sets": [], "keys": {}},
        "project": {"id": "UHJvamVjdA==", "name": run.project, "entity": {"id": "RW50aXR5", "name": run.entity}},
    }


def _tails(run: FakeWandbRun) -> dict[str, Any]:
    return {
        "logLineCount": len(run.output),
        "eventsLineCount": len(run.events),
        "historyTail": json.dumps(run.history[-1:]),
        "eventsTail": json.dumps(run.events[-1:]),
        "wandbConfig": json.dumps({"t": 1}),
    }
