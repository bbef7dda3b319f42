"""Runs at a W&B server, read through its public API: `wandb://entity/project` or `wandb://entity/project/run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from trackbridge.errors import MisuseError, NotFoundError, SourceUnavailable, TrackbridgeError
from trackbridge.events.models import ConfigLogged, RunFinished, RunStarted, Status, SummaryLogged
from trackbridge.sources import wandb_ours as ours
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceFile,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.files import checked_name
from trackbridge.sources.json_values import parsed
from trackbridge.sources.wandb_api import WandbApi
from trackbridge.sources.wandb_history import row_of
from trackbridge.sources.wandb_records import AxisTold
from trackbridge.sources.wandb_rows import RowFacts

SCHEME = "wandb://"
PAGE_ROWS = 1000
MOST_SAMPLES = 10_000
_MOST_PRINTED = 1 << 18
_COPIES = {"output.log", "wandb-summary.json", "config.yaml"}
_STATUSES: dict[str, Status] = {"finished": "finished", "failed": "failed", "killed": "killed"}
_NODE = """
    name displayName state config summaryMetrics group jobType notes tags sweepName createdAt heartbeatAt historyKeys
"""
_RUNS = f"""query Runs($entity: String!, $project: String!, $cursor: String) {{
    project(name: $project, entityName: $entity) {{
        runs(after: $cursor, first: 50, order: "+created_at") {{
            edges {{ node {{ {_NODE} }} }} pageInfo {{ endCursor hasNextPage }}
        }}
    }}
}}"""
_RUN = f"""query Run($entity: String!, $project: String!, $name: String!) {{
    project(name: $project, entityName: $entity) {{ run(name: $name) {{ {_NODE} }} }}
}}"""
_HISTORY = """query HistoryPage(
    $entity: String!, $project: String!, $run: String!, $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!
) {
    project(name: $project, entityName: $entity) {
        run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
    }
}"""
_EVENTS = """query RunEvents($entity: String!, $project: String!, $name: String!, $samples: Int!) {
    project(name: $project, entityName: $entity) { run(name: $name) { events(samples: $samples) } }
}"""
_FILES = """query RunFiles($entity: String!, $project: String!, $name: String!, $fileCursor: String) {
    project(name: $project, entityName: $entity) {
        run(name: $name) {
            files(after: $fileCursor, first: 100) {
                edges { node { name directUrl sizeBytes } } pageInfo { endCursor hasNextPage }
            }
        }
    }
}"""


def find_online(address: str) -> Sequence[SourceRun]:
    """The runs at an address.

    Raises:
        MisuseError: it is no address of a project or run.
        NotFoundError: there is no such project or run.
        SourceUnavailable: the server does not answer, or does not take the key.
    """
    parts = address.removeprefix(SCHEME).strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise MisuseError(f"{address!r}: expected {SCHEME}entity/project or {SCHEME}entity/project/run")
    api, entity, project = WandbApi.from_environment(), parts[0], parts[1]
    try:
        nodes = [_run(api, *parts)] if len(parts) == 3 else list(_runs(api, entity, project))
        return [_source_run(api, entity, project, node) for node in nodes]
    except TrackbridgeError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise SourceUnavailable(f"W&B at {api.base_url} answers in a way that nobody foresaw ({told})") from error


def _run(api: WandbApi, entity: str, project: str, name: str) -> dict[str, Any]:
    found = api.ask(_RUN, entity=entity, project=project, name=name).get("project") or {}
    if not (node := found.get("run")):
        raise NotFoundError(f"W&B at {api.base_url} has no run {name!r} in {entity}/{project}, or not for this key")
    return dict(node)


def _runs(api: WandbApi, entity: str, project: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        found = api.ask(_RUNS, entity=entity, project=project, cursor=cursor).get("project")
        if found is None:
            raise NotFoundError(f"W&B at {api.base_url} has no project {entity}/{project}, or not for this key")
        yield from (edge["node"] for edge in found["runs"]["edges"])
        page = found["runs"]["pageInfo"]
        # A cursor that does not move would be asked for ever.
        if not page["hasNextPage"] or page["endCursor"] == cursor:
            return
        cursor = page["endCursor"]


def _source_run(api: WandbApi, entity: str, project: str, node: Mapping[str, Any]) -> SourceRun:
    return SourceRun(
        identity=f"{entity}/{project}/{node['name']}",
        project=project,
        name=node.get("displayName") or node["name"],
        facts=partial(_facts, api, entity, project, node),
        session="online",
    )


def _facts(api: WandbApi, entity: str, project: str, node: Mapping[str, Any]) -> Iterator[Fact]:
    yield from _OnlineRun(api, entity, project, node).facts()


class _OnlineRun:
    """One run at the server."""

    def __init__(self, api: WandbApi, entity: str, project: str, node: Mapping[str, Any]) -> None:
        self._api, self._project, self._node = api, project, node
        self._address = {"entity": entity, "project": project}
        raw = parsed(node.get("config") or "{}")
        self._inner = raw.get("_wandb", {})
        self._config = {
            name: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
            for name, entry in raw.items()
            if name not in ("_wandb", "wandb_version")
        }
        self._is_ours = ours.is_ours(self._config)
        self._started_ns = ours.started_ns(self._config) if self._is_ours else _time_ns(node.get("createdAt"))
        self._files = OnlineFiles(api, {**self._address, "name": node["name"]})
        self._rows = RowFacts(self._files, started_ns=self._started_ns, is_ours=self._is_ours)
        self._seen: set[str] = set()

    def facts(self) -> Iterator[Fact]:
        """All facts of the run."""
        node, t = self._node, self._started_ns
        yield RunStarted(
            seq=0,
            t=t,
            project=self._project,
            name=node.get("displayName") or node["name"],
            group=node.get("group") or None,
            tags=list(node.get("tags") or []),
            notes=node.get("notes") or None,
        )
        told = {"entity": self._address["entity"], "run_id": node["name"], "state": node.get("state")}
        for name, value in {**told, "job_type": node.get("jobType"), "sweep_id": node.get("sweepName")}.items():
            if value:
                yield Unmapped(t, name, value)
        if self._is_ours:
            yield from ours.config_facts(t, self._config)
        elif self._config:
            yield ConfigLogged(seq=0, t=t, scope="script", config=self._config)
        for axis in _axes(self._inner):
            self._rows.axes.define(axis)
        for values in self._history():
            self._seen.update(values)
            yield from self._rows.facts(row_of(values))
        yield from self._samples()
        yield from self._saved_files()
        yield from self._end()

    def _history(self) -> Iterator[dict[str, Any]]:
        """Every row: pages of steps, wider where steps are sparse, so that none is sampled out of a page."""
        keys = self._node.get("historyKeys") or {}
        keys = parsed(keys) if isinstance(keys, str) else keys
        end, begin, width = int(keys.get("lastStep", -1)) + 1, 0, PAGE_ROWS
        while begin < end:
            limits = {"minStep": begin, "maxStep": begin + width, "pageSize": PAGE_ROWS}
            found = self._api.ask(_HISTORY, **self._address, run=self._node["name"], **limits)
            rows = found["project"]["run"]["history"] or []
            if len(rows) >= PAGE_ROWS and width > PAGE_ROWS:
                width = PAGE_ROWS
                continue
            yield from (row for row in map(parsed, rows) if isinstance(row, dict))
            begin += width
            if len(rows) < PAGE_ROWS // 4:
                width *= 2

    def _samples(self) -> Iterator[Fact]:
        found = self._api.ask(_EVENTS, **self._address, name=self._node["name"], samples=MOST_SAMPLES)
        for text in found["project"]["run"].get("events") or []:
            row = row_of(parsed(text))
            seconds = max(0, (row.t - self._started_ns) // 1_000_000_000) if self._started_ns else 0
            numbers = {f"system/{name.removeprefix('system.')}": value for name, value in row.numbers.items()}
            if numbers:
                yield Points(row.t, seconds, numbers)

    def _saved_files(self) -> Iterator[Fact]:
        for name in self._files.untaken():
            file = self._files.get(name, name)
            if isinstance(file, SourceProblem):
                yield file
            elif name == "output.log":
                yield from _printed(file)
            elif name not in _COPIES:
                yield SourceArtifact(self._started_ns, name, "file", file)

    def _end(self) -> Iterator[Fact]:
        t = max(self._rows.now_ns, _time_ns(self._node.get("heartbeatAt"))) if self._started_ns else UNKNOWN_NS
        everything = parsed(self._node.get("summaryMetrics") or "{}")
        summary = {
            name: value
            for name, value in everything.items()
            if not name.startswith("_") and name not in self._seen and not (self._is_ours and ours.is_internal(name))
        }
        if summary:
            yield SummaryLogged(seq=0, t=t, values=summary)
        state = _STATUSES.get(self._node.get("state") or "")
        if state is not None and self._is_ours:
            ended = ours.finished(t, everything, 0 if state == "finished" else 1)
            yield from [ended] if ended else []
        elif state is not None:
            yield RunFinished(seq=0, t=t, status=state)


class OnlineFiles:
    """The files of a run at the server, asked for when the first is wanted."""

    def __init__(self, api: WandbApi, address: Mapping[str, str]) -> None:
        self._api, self._address = api, address
        self._nodes: dict[str, dict[str, Any]] | None = None
        self._taken: set[str] = set()

    def untaken(self) -> list[str]:
        """Those that nobody has asked for, in a stable order."""
        return sorted(self._listed().keys() - self._taken)

    def get(self, name: Any, named_by: str) -> SourceFile | SourceProblem:
        """The file of this name; errors as for files on a disk."""
        node = self._listed().get(name) if isinstance(name, str) else None
        if node is None:
            return SourceProblem(named_by, str(name)[:60], "W&B has no such file")
        self._taken.add(name)
        url, size = node.get("directUrl"), node.get("sizeBytes")
        size_bytes = int(size) if isinstance(size, (int, str)) and str(size).isdecimal() else None
        return SourceFile(checked_name(name, named_by=named_by), partial(self._api.download, str(url), size_bytes))

    def _listed(self) -> dict[str, dict[str, Any]]:
        if self._nodes is None:
            self._nodes = {node["name"]: node for node in self._pages()}
        return self._nodes

    def _pages(self) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            files = self._api.ask(_FILES, **self._address, fileCursor=cursor)["project"]["run"]["files"]
            yield from (edge["node"] for edge in files["edges"])
            page = files["pageInfo"]
            if not page["hasNextPage"] or page["endCursor"] == cursor:
                return
            cursor = page["endCursor"]


def _printed(file: SourceFile) -> Iterator[Fact]:
    try:
        with file.open() as log:
            yield Printed(log.read()[-_MOST_PRINTED:].decode("utf-8", "replace"))
    except OSError as error:
        yield SourceProblem(file.name, "", f"cannot be read: {error}")


def _axes(inner: Any) -> Iterator[AxisTold]:
    """The definitions of metrics, as the SDK writes them into the config: by the numbers of their fields."""
    inner = inner.get("value", inner) if isinstance(inner, dict) else {}
    told = inner.get("m") if isinstance(inner, dict) else None
    metrics = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    for one in metrics:
        index = one.get("5")
        is_known = isinstance(index, int) and 0 < index <= len(metrics)
        step_metric = one.get("4") or (metrics[int(index or 0) - 1].get("1") if is_known else "")
        yield AxisTold(str(one.get("2") or one.get("1")), "2" in one, str(step_metric or ""), "7" in one)


def _time_ns(text: Any) -> int:
    """A time of the API, which is UTC; unknown where there is none."""
    try:
        told = datetime.fromisoformat(str(text).removesuffix("Z"))
    except ValueError:
        return UNKNOWN_NS
    return round(told.replace(tzinfo=timezone.utc).timestamp() * 1e6) * 1000
