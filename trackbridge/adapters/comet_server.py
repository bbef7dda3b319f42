"""
A Comet server, spoken to over the SDK's own HTTP clients: each request is answered before the next is sent.

The SDK's "internal" classes are used where the public ones cannot say what happened (`RestServerConnection`), or send a
point per request (`APIExperiment`). They are the ones its own streamer uses, in comet_ml 3.58.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trackbridge.adapters.base import Ending, Rejection, RemoteRef, RunHeader
from trackbridge.adapters.comet_messages import (
    Asset,
    Described,
    Message,
    Other,
    Output,
    Packages,
    Parameter,
    Point,
    SystemInformation,
    Tags,
    fitting_value,
)
from trackbridge.adapters.comet_sdk import WAY_OUT, is_limit, load_sdk, told_as_delivery_errors
from trackbridge.errors import DeliveryError, DeliveryRefused

if TYPE_CHECKING:
    from comet_ml.connection import RestApiClient, RestServerConnection

MAX_BATCH = 1000
BEAT_EVERY_S = 10.0
# Twice of what is repeated after a time-out that the server did not notice is once too often: so be patient.
ANSWER_WITHIN_S = 60.0


class CometServer:
    """One experiment at a server."""

    def __init__(self, run: RunHeader) -> None:
        self._run = run
        self._key = run.run_id
        self._arrived: _Arrived | None = None
        self._beat_at = 0.0

    def open(self, remote: RemoteRef | None) -> RemoteRef:
        """Create the experiment, or take it up again."""
        load_sdk()
        with told_as_delivery_errors():
            workspace = self._connect()
            answer = self._connection.add_run(self._run.project, workspace, get_or_create_mode=True)
            self._client.set_experiment_state(self._key, "running")
            if remote is None:
                self._introduce()
        self._is_known = remote is not None
        link = answer.focus_link
        return RemoteRef(self._key, f"{link}{self._key}" if link else None)

    def take(self, messages: Sequence[Message], *, upto_row: int) -> list[Rejection]:
        """Send the messages; when this returns, all were answered. What a limit of Comet's kept out is rejected."""
        try:
            with told_as_delivery_errors():
                return self._send(messages)
        except DeliveryError:
            # Nobody knows whether the last request arrived: look before anything is sent again.
            self._arrived = None
            raise

    def confirm(self) -> None:
        """Tell the server that the run is alive, when it is time; nothing else is on its way."""
        if time.monotonic() >= self._beat_at:
            with told_as_delivery_errors():
                self._client.update_experiment_status(self._key)
            self._beat_at = time.monotonic() + BEAT_EVERY_S

    def end(self, ending: Ending | None) -> None:
        """End the experiment, or only hang up."""
        with told_as_delivery_errors():
            if ending is not None:
                ended_ns = ending.ended_ns or time.time_ns()
                self._set_times(ended_ns // 1_000_000)
                self._client.update_experiment_error_status(
                    self._key, is_alive=False, error_value=ending.error, has_crashed=ending.status != "finished"
                )
            self._client.close()
            self._connection.close()

    def _connect(self) -> str | None:
        from comet_ml.config import get_api_key, get_config
        from comet_ml.connection.connection_factory import get_rest_api_client, get_rest_server_connection

        settings = get_config()
        key = get_api_key(None, settings)
        if key is None:
            raise DeliveryRefused(f"Comet needs an API key: {WAY_OUT}")
        self._connection: RestServerConnection = get_rest_server_connection(
            api_key=key, experiment_key=self._key, default_timeout=ANSWER_WITHIN_S
        )
        self._client: RestApiClient = get_rest_api_client("v2", api_key=key, check_version=False)
        # The SDK repeats a request whose answer was lost, which doubles its points; we look before we repeat.
        for http in (self._connection._low_level_http_client, self._client.low_level_api_client):
            http.retry_session = http.session
        workspace: str | None = settings.get_string(None, "comet.workspace")
        return workspace

    def _introduce(self) -> None:
        run = self._run
        labels = {"Name": run.name, "group": run.group, "notes": fitting_value(run.notes)}
        # By Comet's own word for it the run is known as one of ours when it is imported.
        labels["Created from"] = "trackbridge"
        for key, value in labels.items():
            if value:
                self._client.log_experiment_other(self._key, key, value)
        if run.tags:
            self._client.add_experiment_tags(self._key, list(run.tags))
        self._set_times(None)

    def _set_times(self, ended_ms: int | None) -> None:
        # Of an imported run it may be unknown, which is 0; then Comet shows when it was delivered.
        self._client.set_experiment_start_end(self._key, self._run.started_ns // 1_000_000 or None, ended_ms)

    def _send(self, messages: Sequence[Message]) -> list[Rejection]:
        if self._arrived is None:
            self._arrived = _Arrived(self._client, self._key, is_all_in_doubt=not self._is_known)
        by_kind: dict[type, list[Any]] = {kind: [] for kind in _SENT_BY}
        for message in messages:
            if not isinstance(message, Described):
                by_kind[type(message)].append(message)
        rejections: list[Rejection] = []
        for kind, send in _SENT_BY.items():
            if by_kind[kind]:
                rejections += send(self, by_kind[kind]) or ()
        return rejections

    def _send_tags(self, tags: list[Tags]) -> None:
        there, wanted = set(self._client.get_experiment_tags(self._key)["tags"]), set(tags[-1].tags)
        if there - wanted:
            self._client.delete_experiment_tags(self._key, sorted(there - wanted))
        if wanted - there:
            self._client.add_experiment_tags(self._key, sorted(wanted - there))

    def _send_system_information(self, parts: list[SystemInformation]) -> None:
        facts = [{"key": key, "value": value} for part in parts for key, value in part.values.items()]
        self._client.log_experiment_system_info(self._key, facts)

    def _send_packages(self, packages: list[Packages]) -> None:
        self._client.set_experiment_installed_packages(self._key, list(packages[-1].names))

    def _send_parameters(self, parameters: list[Parameter]) -> None:
        from comet_ml.batch_utils import MessageBatchItem
        from comet_ml.messages import ParameterMessage

        items = []
        for parameter in {parameter.name: parameter for parameter in parameters}.values():
            message = ParameterMessage(timestamp=parameter.at_ms)
            message.set_param(parameter.name, parameter.value, source=ParameterMessage.source_manual)
            items.append(MessageBatchItem(message))
        for start in range(0, len(items), MAX_BATCH):
            self._connection.log_parameters_batch(items[start : start + MAX_BATCH])

    def _send_others(self, others: list[Other]) -> None:
        for key, value in {other.key: other.value for other in others}.items():
            self._client.log_experiment_other(self._key, key, value)

    def _send_output(self, outputs: list[Output]) -> None:
        there = self._client.get_experiment_output(self._key) or {}
        for output in outputs:
            # Lines are added to those that are there, so what went unanswered must not be sent again.
            if output.text not in str(there.get("output")):
                self._client.log_experiment_output(self._key, output.text, timestamp=output.at_ms / 1000)

    def _send_assets(self, assets: list[Asset]) -> list[Rejection]:
        assert self._arrived is not None
        rejections = []
        for asset in assets:
            if self._arrived.has(asset):
                continue
            try:
                self._upload(asset)
            except Exception as error:
                if not is_limit(error):
                    raise
                rejections.append(Rejection(asset.row, asset.event_kind, asset.name, f"Comet refuses it: {error}"))
        return rejections

    def _upload(self, asset: Asset) -> None:
        self._client.log_experiment_asset(
            self._key,
            file_data=io.BytesIO(asset.source) if isinstance(asset.source, bytes) else str(asset.source),
            file_name=asset.name,
            ftype=asset.type,
            step=asset.step,
            metadata={"kind": asset.kind, "row": asset.row, "caption": asset.caption},
        )

    def _send_points(self, points: list[Point]) -> None:
        from comet_ml.batch_utils import MessageBatchItem
        from comet_ml.messages import MetricMessage

        assert self._arrived is not None
        missing = self._arrived.without_arrived(points)
        for start in range(0, len(missing), MAX_BATCH):
            items = []
            for name, value, step, epoch, at_ms in missing[start : start + MAX_BATCH]:
                message = MetricMessage(timestamp=at_ms)
                message.set_metric(name, value, step=step, epoch=epoch)
                items.append(MessageBatchItem(message))
            self._connection.log_metrics_batch(items)


# In this order: what describes the run comes before its curves.
_SENT_BY: dict[type, Callable[[CometServer, list[Any]], list[Rejection] | None]] = {
    Tags: CometServer._send_tags,
    SystemInformation: CometServer._send_system_information,
    Packages: CometServer._send_packages,
    Parameter: CometServer._send_parameters,
    Other: CometServer._send_others,
    Output: CometServer._send_output,
    Asset: CometServer._send_assets,
    Point: CometServer._send_points,
}


class _Arrived:
    """What of a run an experiment has already, read back while it may be handed over again.

    Requests are answered one at a time and rows keep their order, so after a batch of which nothing had arrived,
    nothing later has. Only a run whose cursor was lost (`is_all_in_doubt`) is looked at to its end.
    """

    def __init__(self, client: RestApiClient, key: str, *, is_all_in_doubt: bool) -> None:
        self._client = client
        self._key = key
        self._is_all_in_doubt = is_all_in_doubt
        self._is_in_doubt = True
        self._metrics: set[str] | None = None
        self._points: dict[str, Counter[tuple[int, int]]] = {}
        self._assets: set[tuple[int, str]] | None = None

    def without_arrived(self, points: list[Point]) -> list[Point]:
        """The points that still have to be sent, in order."""
        if not self._is_in_doubt:
            return points
        missing = [point for point in points if not self._strike_off(point)]
        if len(missing) == len(points) and not self._is_all_in_doubt:
            self._is_in_doubt = False
            self._points.clear()
        return missing

    def has(self, asset: Asset) -> bool:
        """True when the asset of this row and name is there."""
        if self._assets is None:
            self._assets = set()
            for found in self._client.get_experiment_asset_list(self._key) or ():
                metadata = found.get("metadata") or {}
                row = (json.loads(metadata) if isinstance(metadata, str) else metadata).get("row", -1)
                self._assets.add((row, found["fileName"]))
        return (asset.row, asset.name) in self._assets

    def _strike_off(self, point: Point) -> bool:
        if point.name not in self._points:
            self._points[point.name] = self._read(point.name)
        there, place = self._points[point.name], (point.step, point.at_ms)
        if not there[place]:
            return False
        there[place] -= 1
        if not there[place]:
            del there[place]
        return True

    def _read(self, metric: str) -> Counter[tuple[int, int]]:
        if self._metrics is None:
            summaries = self._client.get_experiment_metrics_summaries(self._key)
            self._metrics = {summary["name"] for summary in summaries["values"]}
        if metric not in self._metrics:
            return Counter()
        points = self._client.get_experiment_metric(self._key, metric)["metrics"]
        return Counter((int(point["step"] or 0), int(point["timestamp"])) for point in points)
