"""Weights & Biases: online, or as an offline run that `wandb sync` uploads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal
from weakref import WeakValueDictionary

from trackbridge.adapters.base import Capabilities, Delivery, Ending, RemoteRef, Row, RunHeader
from trackbridge.adapters.wandb_folder import FolderRun
from trackbridge.adapters.wandb_rows import Marks, RowWriter
from trackbridge.adapters.wandb_sdk import TESTED_VERSIONS, load_sdk, sdk_calls
from trackbridge.adapters.wandb_server import ServerRun
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import RunFinished

FEW_ROWS = 1000


class WandbAdapter:
    """Delivers a run to W&B: the row's number is W&B's step, the user's step is the column `trainer/step`.

    Key, server and entity come from W&B's own variables: `WANDB_API_KEY`, `WANDB_BASE_URL`, `WANDB_ENTITY`.
    """

    name: ClassVar[str] = "wandb"
    capabilities: ClassVar[Capabilities] = Capabilities(
        start_time="changed",
        tags="changed",
        tables="changed",
        texts="changed",
        status="changed",
        rules={
            "original_step": "charts use the column trainer/step; W&B's own step counts events, so that steps which go"
            " back after a resume are all shown, the later session's after the superseded ones",
            "original_time": "_timestamp is the logged time; W&B's relative time counts from the delivery",
            "start_time": "W&B shows when the delivery began; the true time is config trackbridge.started_at",
            "system_metrics": "a section `system` of its own, drawn over the column system/seconds",
            "nested_config": "a NaN in config or summary is the text NaN",
            "images": "an SVG is an HTML panel, its caption a column beside it",
            "histograms": "captions and the count of values that are not finite are columns beside; of more than 512"
            " bins, neighbours are put together",
            "tags": "a tag keeps its first 64 characters",
            "tables": "a cell that is a list or an object is JSON text, one that is not finite is a text such as NaN",
            "texts": "a text is a preformatted HTML panel, its caption a column beside it",
            "status": "killed and lost are shown as failed; the summary has the true one as trackbridge/status",
            "console": "the page of logs, where the time before a line is that of the delivery; lines of an earlier"
            " failure stay above",
        },
        sdk="wandb",
        tested_versions=TESTED_VERSIONS,
    )

    pause_s: ClassVar[float] = 2.0

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._mode = mode
        self._confirmed_at = -math.inf
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Create the run at W&B, or take it up by its id."""
        with _TAKING:
            is_ours = _OPEN.setdefault(run.run_id, self) is self
        if not is_ours:
            other = "wandb" if self._mode == "offline" else "wandb:offline"
            raise TransientDeliveryError(f"the W&B SDK takes a run once in a process: this waits until {other} is done")
        try:
            return self._open(run)
        except BaseException:
            _OPEN.pop(run.run_id, None)
            raise

    def _open(self, run: RunHeader) -> RemoteRef:
        load_sdk(self._mode)
        folder = (self._folder or run.folder / "offline" / self.name).resolve()
        is_offline = self._mode == "offline"
        self._place = FolderRun(run, folder) if is_offline else ServerRun(run)
        self._writer = RowWriter(run, staging=folder / "artifacts" if is_offline else None)
        self._run_id = run.run_id
        self._unconfirmed: list[Row] = []
        with sdk_calls():
            return self._place.open(self._writer)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Hand the rows to the SDK; history rows that W&B has already are left out."""
        with sdk_calls():
            rejections = [rejection for row in rows for rejection in self._writer.write(row)]
        self._unconfirmed.extend(rows)
        return Delivery(tuple(rejections))

    def flush(self, timeout_s: float) -> bool:
        """True when the server, or the offline file, has been read back and has every row."""
        if self._writer.marks:
            self._pause(timeout_s)
            with sdk_calls():
                if not self._place.confirm(self._writer, self._unconfirmed, timeout_s):
                    return False
        self._writer.marks = Marks()
        self._unconfirmed.clear()
        self._confirmed_at = time.monotonic()
        return True

    def _pause(self, timeout_s: float) -> None:
        """Hold a small batch back for a moment: a confirmation takes eight requests, and W&B limits them."""
        is_last = any(isinstance(row.event, RunFinished) for row in self._unconfirmed)
        if self._mode == "online" and len(self._unconfirmed) < FEW_ROWS and not is_last:
            left_s = self._confirmed_at + self.pause_s - time.monotonic()
            time.sleep(max(0.0, min(left_s, timeout_s)))

    def close(self, ending: Ending | None) -> None:
        """End the run with its status, or only this connection."""
        try:
            with sdk_calls():
                self._place.close(ending)
        finally:
            _OPEN.pop(self._run_id, None)


_TAKING = threading.Lock()
_OPEN: WeakValueDictionary[str, WandbAdapter] = WeakValueDictionary()
"""The runs that are open in this process: taking one up a second time would end the SDK's service for all."""
