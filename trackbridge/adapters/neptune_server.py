"""
A run at a Neptune server, over the SDK's own connection: each request is answered before the next is sent.

The SDK's `Run` is not used: it hands everything to threads, keeps to itself what the server refused, sends a request
that went unanswered a second time, and writes over name, description and `sys/failed` of a run that it takes up.
Here the answers are read, and a series counts as delivered when its last step has been read back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from trackbridge.adapters.base import RemoteRef, RunHeader
from trackbridge.adapters.neptune_fields import Assignment, Change, Picture, Point, Refused, Removal, Texts, Upload
from trackbridge.adapters.neptune_sdk import WAY_OUT, NotThere, check_answer, load_sdk, told_by, told_of_closing
from trackbridge.errors import DeliveryRefused

if TYPE_CHECKING:
    from neptune.internal.credentials import Credentials

LEDGER = "trackbridge/ledger"
MAX_POINTS = 1000
MAX_REQUEST = 10_000
MAX_WHOLE_FILE_BYTES = 5 << 20
CONNECT_WITHIN_S, ANSWER_WITHIN_S = 10.0, 60.0
PING_EVERY_S = 10.0
LOOK_AGAIN_AFTER_S = 0.2
MAX_QUESTIONS = 8
_Asked = TypeVar("_Asked")
_Answered = TypeVar("_Answered")
_encode, _decode = msgspec.json.encode, msgspec.json.decode
_log = logging.getLogger(__name__)


class _Operation(NamedTuple):
    """One operation of Neptune's API, and the changes it makes; `weight` is about its size in points."""

    changes: Sequence[Change]
    body: dict[str, Any]
    weight: int = 1


class _Tail(NamedTuple):
    """How far a series is at the server."""

    n_points: int
    step: float

    def has(self, change: Point | Picture) -> bool:
        """True when the point is there: a series is in order. Pictures show no steps, so they are counted."""
        return change.step <= self.step if isinstance(change, Point) else change.place < self.n_points


class NeptuneServer:
    """One run at a server. After an error, make a new one.

    Attributes:
        remote_id: Neptune's short name of the run, such as `TB-12`.
        url: where a browser finds it.
    """

    def __init__(self, run: RunHeader) -> None:
        self._run = run
        self._tails: dict[str, _Tail] = {}
        self._unconfirmed: dict[str, Point | Picture] = {}
        self._ping_at = 0.0

    def open(self, remote: RemoteRef | None) -> bytes:
        """Create the run or take it up again; the ledger that was kept with it, or nothing."""
        load_sdk()
        from neptune.internal.credentials import Credentials

        with told_by("Neptune"):
            credentials = Credentials.from_token()
        self._address = str(credentials.api_url_opt or credentials.token_origin_address)
        with told_by(self._address):
            self._connect(credentials)
            return self._read_ledger()

    def take(self, changes: Iterable[Change]) -> list[Refused]:
        """Make the changes that are not made yet; when this returns all were answered."""
        changes = list(changes)
        uploads = [change for change in changes if isinstance(change, Upload)]
        with told_by(self._address):
            refused = [Refused(upload, reason) for upload in uploads if (reason := self._upload(upload))]
            for request in _requests(self._operations(changes)):
                refused += self._execute(request)
        return refused

    def confirm(self, timeout_s: float) -> bool:
        """True when the last step of every series, read back, is the one sent last; also a sign of life."""
        deadline = time.monotonic() + timeout_s
        with told_by(self._address):
            self._ping()
            while True:
                lasts = list(self._unconfirmed.values())
                for last, is_there in zip(lasts, _side_by_side(self._is_confirmed, lasts), strict=True):
                    if is_there:
                        del self._unconfirmed[last.path]
                if not self._unconfirmed or time.monotonic() >= deadline:
                    return not self._unconfirmed
                time.sleep(LOOK_AGAIN_AFTER_S)

    def keep(self, ledger: bytes) -> None:
        """Keep the ledger with the run, for the next `open`."""
        with told_by(self._address):
            if reason := self._upload(Upload(0, LEDGER, "json", ledger)):
                raise DeliveryRefused(f"Neptune does not keep the field {LEDGER}: {reason}")

    def end(self) -> None:
        """Nothing: the connection belongs to the SDK, which shares it between runs."""

    def _connect(self, credentials: Credentials) -> None:
        from neptune.internal.backends.hosted_neptune_backend import HostedNeptuneBackend
        from neptune.internal.backends.project_name_lookup import project_name_lookup

        _knock(self._address)
        backend = HostedNeptuneBackend(credentials)
        self._client = backend.leaderboard_client
        run = self._create(str(project_name_lookup(backend).id))
        self._id: str = run["id"]
        self.remote_id: str = run["shortId"]
        self.url = str(backend.get_run_url(self._id, run["organizationName"], run["projectName"], self.remote_id))

    def _create(self, project_id: str) -> dict[str, Any]:
        from neptune.version import version

        wanted = {"projectIdentifier": project_id, "parentId": project_id, "type": "run", "cliVersion": str(version)}
        run: dict[str, Any] = self._ask("createExperiment", body=_encode({**wanted, "customId": self._run.run_id}))
        if run.get("trashed"):
            raise DeliveryRefused(f"the run {run['shortId']} is in Neptune's trash: restore it, then deliver again")
        return run

    def _read_ledger(self) -> bytes:
        try:
            return self._send("downloadAttribute", query={"experimentId": self._id, "attribute": LEDGER})
        except NotThere:
            return b""

    def _operations(self, changes: Sequence[Change]) -> Iterator[_Operation]:
        series: dict[str, list[Point | Picture]] = {}
        self._look_at_tails(changes)
        for change in changes:
            if isinstance(change, (Point, Picture)):
                if not self._tails[change.path].has(change):
                    series.setdefault(change.path, []).append(change)
            elif not isinstance(change, Upload):
                yield from (_Operation([change], body) for body in _bodies(change))
        for points in series.values():
            step = MAX_POINTS if isinstance(points[0], Point) else 1
            yield from (_logged(points[start : start + step]) for start in range(0, len(points), step))

    def _execute(self, operations: Sequence[_Operation]) -> list[Refused]:
        bodies = [operation.body for operation in operations]
        errors = self._ask("executeOperations", query={"experimentId": self._id}, body=_encode(bodies))
        for operation in operations:
            last = operation.changes[-1]
            if isinstance(last, (Point, Picture)):
                self._unconfirmed[last.path] = last
        if not errors:
            return []
        if len(operations) == 1:
            return self._explained(operations[0], "; ".join(error["errorDescription"] for error in errors))
        # The answer does not say which of them it is about: each is sent again, less what is there.
        self._tails.clear()
        changes = [change for operation in operations for change in operation.changes]
        return [refused for operation in self._operations(changes) for refused in self._execute([operation])]

    def _explained(self, operation: _Operation, reason: str) -> list[Refused]:
        first = operation.changes[0]
        if isinstance(first, Removal):
            # A field that is to go and is not there is as it should be.
            return []
        if isinstance(first, (Point, Picture)):
            del self._tails[first.path], self._unconfirmed[first.path]
            self._look_at_tails(operation.changes)
            points = (change for change in operation.changes if isinstance(change, (Point, Picture)))
            return [Refused(point, reason) for point in points if not self._tails[first.path].has(point)]
        if isinstance(first, Assignment):
            # A field of another type may be in the way: one that changes its type in a batch that comes again.
            bodies = [*_bodies(Removal(first.row, first.path)), operation.body]
            if not self._ask("executeOperations", query={"experimentId": self._id}, body=_encode(bodies)):
                return []
        return [Refused(first, reason)]

    def _look_at_tails(self, changes: Iterable[Change]) -> None:
        """Read back how far the series are that this connection has not looked at yet."""
        firsts: dict[str, Point | Picture] = {}
        for change in changes:
            if isinstance(change, (Point, Picture)) and change.path not in self._tails:
                firsts.setdefault(change.path, change)
        self._tails.update(zip(firsts, _side_by_side(self._tail, list(firsts.values())), strict=True))

    def _tail(self, first: Point | Picture) -> _Tail:
        count, entry = self._entry(first, first.place)
        if count > first.place + 1:
            _, entry = self._entry(first, count - 1)
        has_step = isinstance(first, Point) and entry is not None
        return _Tail(count, entry["step"] if has_step else float("-inf"))

    def _is_confirmed(self, last: Point | Picture) -> bool:
        count, entry = self._entry(last, last.place)
        if isinstance(last, Picture):
            return count > last.place
        if entry is not None and entry["step"] == last.step:
            return True
        _, entry = self._entry(last, max(0, count - 1))
        is_there = entry is not None and bool(entry["step"] >= last.step)
        if is_there:
            _log.warning("neptune: %s has %d points where %d were expected", last.path, count, last.place + 1)
        return is_there

    def _entry(self, change: Point | Picture, place: int) -> tuple[int, Any]:
        """How many points the series has, and the one at this place."""
        query = {"experimentId": self._id, "attribute": change.path, "offset": place, "limit": 1}
        try:
            page = self._ask(f"get{change.kind}SeriesValues", query=query)
        except NotThere:
            return 0, None
        return page["totalItemCount"], next(iter(page.get("values") or ()), None)

    def _upload(self, upload: Upload) -> str | None:
        """Upload a file; what was wrong with it."""
        from neptune.internal.backends.hosted_file_operations import upload_file_attribute

        path, extension, source = upload.path, upload.extension, upload.source
        try:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            if size > MAX_WHOLE_FILE_BYTES:
                whole = source if isinstance(source, bytes) else str(source)
                errors = upload_file_attribute(self._client, self._id, path, whole, extension, None)
                return "; ".join(str(error) for error in errors) if errors else None
            content = source if isinstance(source, bytes) else source.read_bytes()
        except FileNotFoundError:
            return f"{source!s} is gone"
        query = {"experimentIdentifier": self._id, "attribute": path, "ext": extension}
        answer = self._ask("fileAtomUpload", query=query, body=content, kind="application/octet-stream")
        return "; ".join(error["errorDescription"] for error in (answer or {}).get("errors", ())) or None

    def _ping(self) -> None:
        if time.monotonic() >= self._ping_at:
            self._ask("ping", query={"experimentId": self._id})
            self._ping_at = time.monotonic() + PING_EVERY_S

    def _ask(self, name: str, **request: Any) -> Any:
        """The answer to one call, which is JSON."""
        return _decode(self._send(name, **request) or b"null")

    def _send(self, name: str, *, query: Any = None, body: bytes = b"", kind: str = "application/json") -> bytes:
        """The answer to one call, sent once: the SDK repeats for a minute, also what was done but went unanswered."""
        from neptune.internal.backends.utils import build_operation_url

        operation = getattr(self._client.api, name).operation
        http = self._client.swagger_spec.http_client
        http.authenticator.auth.refresh_token_if_needed()
        response = http.session.request(
            operation.http_method.upper(),
            build_operation_url(self._client.swagger_spec.api_url, operation.path_name),
            params=query,
            data=body,
            headers={"Content-Type": kind, "X-Neptune-LegacyClient": "false"},
            auth=http.authenticator.auth,
            timeout=(CONNECT_WITHIN_S, ANSWER_WITHIN_S),
        )
        check_answer(response, name)
        return bytes(response.content)


def _knock(address: str) -> None:
    """Ask once whether the server is there: the SDK would ask for a minute before it says no."""
    import requests
    from neptune.internal.backends.hosted_client import BACKEND_SWAGGER_PATH
    from neptune.internal.backends.utils import build_operation_url, ssl_verify

    url = build_operation_url(address, BACKEND_SWAGGER_PATH)
    answer = requests.get(url, timeout=(CONNECT_WITHIN_S, ANSWER_WITHIN_S), verify=ssl_verify())
    try:
        check_answer(answer, BACKEND_SWAGGER_PATH)
        is_neptune = "paths" in _decode(answer.content, type=dict)
    except (NotThere, msgspec.DecodeError):
        is_neptune = False
    if not is_neptune:
        raise DeliveryRefused(f"there is no Neptune server at {address}{told_of_closing(address)}: {WAY_OUT}")


def _side_by_side(ask: Callable[[_Asked], _Answered], about: Sequence[_Asked]) -> list[_Answered]:
    """The answers in order. One by one, those on hundreds of series would take longer than what they confirm."""
    if len(about) < 2:
        return [ask(one) for one in about]
    with ThreadPoolExecutor(max_workers=min(MAX_QUESTIONS, len(about))) as pool:
        return list(pool.map(ask, about))


def _requests(operations: Iterable[_Operation]) -> Iterator[list[_Operation]]:
    request: list[_Operation] = []
    weight = 0
    for operation in operations:
        if request and weight + operation.weight > MAX_REQUEST:
            yield request
            request, weight = [], 0
        request.append(operation)
        weight += operation.weight
    if request:
        yield request


def _bodies(change: Change) -> Iterator[dict[str, Any]]:
    if isinstance(change, Removal):
        yield {"path": change.path, "deleteAttribute": {}}
    elif isinstance(change, Assignment):
        name = "valueMilliseconds" if change.kind == "Datetime" else "value"
        yield {"path": change.path, f"assign{change.kind}": {name: change.value}}
    elif isinstance(change, Texts):
        yield {"path": change.path, "clearStringSet": {}}
        if change.values:
            yield {"path": change.path, "insertStrings": {"values": list(change.values)}}


def _logged(points: Sequence[Point | Picture]) -> _Operation:
    entries = [{"value": point.value, "step": point.step, "timestampMilliseconds": point.at_ms} for point in points]
    first = points[0]
    weight = len(first.content) // 1000 if isinstance(first, Picture) else len(entries)
    return _Operation(points, {"path": first.path, f"log{first.kind}s": {"entries": entries}}, weight)
