"""
The MLflow adapter: online to a tracking server, offline to an SQLite database with a folder of artifacts beside it,
which `mlflow server` shows.

A project is an experiment; the run keeps its name, and our id as the tag `trackbridge.run_id`. Numbers of the summary
are the metrics `summary/<name>` at step 0, its texts are tags. What is true of the run as a whole is also there
unabridged, as the JSON artifacts `trackbridge/config.json`, `environment.json`, `summary.json` and `checkpoints.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.description import Description
from trackbridge.adapters.mlflow_entries import OURS, Entry, File, Translator
from trackbridge.adapters.mlflow_run import MlflowRun
from trackbridge.adapters.mlflow_sdk import TESTED_VERSIONS, error_code, load_sdk, told_as_delivery_errors
from trackbridge.errors import DeliveryRefused
from trackbridge.events.redact import mask_text
from trackbridge.journal.codec import encode_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DOCUMENTS = ("config", "environment", "summary", "checkpoints")


class MlflowAdapter:
    """Delivers a run to MLflow."""

    name: ClassVar[str] = "mlflow"
    capabilities: ClassVar[Capabilities] = Capabilities(
        non_finite="changed",
        nested_config="changed",
        tags="changed",
        group="changed",
        tables="changed",
        histograms="changed",
        rules={
            "offline": "an SQLite database `mlflow.db` with its artifacts beside it, for `mlflow server"
            " --backend-store-uri sqlite:///<path>`; to move it to a server, deliver the run again to `mlflow`",
            "original_time": "whole milliseconds; of several points equal in name, step, millisecond and value one is"
            " kept, the others are rejections",
            "original_step": "points of steps that a resume superseded stay; the later ones follow at the same steps",
            "non_finite": "NaN as it is; infinities as the largest float, which is how MLflow's databases keep them",
            "system_metrics": "MLflow's page of system metrics has them; the step is seconds since the start",
            "nested_config": "flat params such as `script/optimizer/lr`, lists as JSON text, cut at 6,000 characters;"
            " MLflow never changes a param: a later value is the tag `changed/<param>`; whole, nested and up to date"
            " in the artifact `trackbridge/config.json`",
            "tags": "a JSON list in the tag `trackbridge.tags`",
            "group": "the tag `trackbridge.group`",
            "notes": "the run's description, cut at 5,000 characters",
            "images": "PNG in the page's grid of images by step, other formats as artifacts below `media/`",
            "tables": "CSV artifacts below `media/`, which the page shows as tables",
            "histograms": "JSON artifacts of edges and counts below `media/`",
            "status": "a lost run is shown as killed; the tag `trackbridge.status` tells",
            "console": "the artifact `trackbridge/console.txt`; that of an earlier failure stays",
        },
        sdk="mlflow",
        tested_versions=TESTED_VERSIONS,
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._mode = mode
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Find the run by our id, or create it."""
        load_sdk()
        with told_as_delivery_errors():
            client, experiment_id = self._connect(run)
            self._run = MlflowRun(client, run, experiment_id, remote)
            self._description = msgspec.convert(self._run.documents(), Description)
        self._translator = Translator(run)
        self._next_row = self._run.rows
        place = mask_text(client.tracking_uri)
        page = f"{place}/#/experiments/{experiment_id}/runs/{self._run.id}" if place.startswith("http") else place
        return RemoteRef(self._run.id, page, delivered_rows=self._next_row)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Hand over the rows that the run does not have; of the others only the rejections are told again."""
        entries: list[Entry] = []
        rejections: list[Rejection] = []
        changed: set[str | None] = set()
        for row in rows:
            is_new = row.number >= self._next_row
            for made in self._translator.translate(row):
                if isinstance(made, Rejection):
                    rejections.append(made)
                elif is_new:
                    entries.append(made)
            if is_new:
                changed.add(self._description.take(row.event))
        if changed:
            with told_as_delivery_errors():
                rejections += self._send(entries, changed, upto_row=rows[-1].number + 1)
            self._next_row = rows[-1].number + 1
        return Delivery(tuple(rejections))

    def flush(self, timeout_s: float) -> bool:
        """True: every request was answered with success before `deliver` returned."""
        return True

    def close(self, ending: Ending | None) -> None:
        """End the run with its status; with None there is nothing to do."""
        if ending is not None:
            with told_as_delivery_errors():
                self._run.end(ending)

    def _send(self, entries: Sequence[Entry], changed: set[str | None], *, upto_row: int) -> list[Rejection]:
        """Files go first: the rows count as delivered with the last of the points."""
        files = [entry for entry in entries if isinstance(entry, File)]
        for name in _DOCUMENTS:
            if name in changed:
                content = msgspec.json.format(encode_json(getattr(self._description, name)))
                files.append(File(upto_row, "document", f"{OURS}/{name}.json", content))
        rejections = [rejection for file in files if (rejection := self._run.upload(file)) is not None]
        batch = [entry for entry in entries if not isinstance(entry, File)]
        self._run.send(batch, upto_row=upto_row)
        return rejections

    def _connect(self, run: RunHeader) -> tuple[MlflowClient, str]:
        from mlflow import MlflowClient

        if self._mode == "offline":
            folder = (self._folder or run.folder / "offline" / self.name).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            client = MlflowClient(f"sqlite:///{(folder / 'mlflow.db').as_posix()}")
            return client, _experiment(client, run.project, artifacts=(folder / "artifacts").as_uri())
        client = MlflowClient(_tracking_uri())
        return client, _experiment(client, run.project, artifacts=None)


def _tracking_uri() -> str:
    import mlflow

    if not mlflow.is_tracking_uri_set():
        raise DeliveryRefused(
            "no MLflow server is named: set MLFLOW_TRACKING_URI, for example to http://127.0.0.1:5000, or deliver to"
            " 'mlflow:offline'"
        )
    return str(mlflow.get_tracking_uri())


def _experiment(client: MlflowClient, name: str, *, artifacts: str | None) -> str:
    """The id of the experiment of this name, which is created if there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except Exception as error:
            # Another relay may have created it a moment ago.
            found = client.get_experiment_by_name(name)
            if found is None or error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
    if found.lifecycle_stage == "deleted":
        way_out = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        raise DeliveryRefused(f"the experiment {name!r} was deleted in MLflow; to go on with it: {way_out}")
    return str(found.experiment_id)
