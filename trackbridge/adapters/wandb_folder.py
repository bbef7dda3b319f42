"""
A run as W&B's offline folder, for `wandb sync`.

A folder that was left by a killed process is not added to but written anew from the first row: only the SDK writes this
format. What has been synced stays, and the next folder holds the history rows after it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters.base import Ending, RemoteRef, Row, RunHeader
from trackbridge.adapters.wandb_log import WandbLog, drop_ending, last_step
from trackbridge.adapters.wandb_rows import ROWS, RowWriter
from trackbridge.adapters.wandb_sdk import start
from trackbridge.adapters.wandb_server import exit_code_of, write_ending
from trackbridge.errors import TransientDeliveryError

CLOSE_TIMEOUT_S = 60.0
_POLL_S = 0.02


class FolderRun:
    """The run in `<folder>/wandb/offline-run-<time>-<run id>`. Not thread-safe."""

    def __init__(self, header: RunHeader, folder: Path) -> None:
        self._header = header
        self._folder = folder
        self.run: Any = None

    def open(self, writer: RowWriter) -> RemoteRef:
        """Begin the folder; nothing counts as delivered that is not synced."""
        synced_step = -1
        for file in self._folder.glob(f"wandb/offline-run-*-{self._header.run_id}*/run-*.wandb"):
            if file.with_name(f"{file.name}.synced").exists():
                synced_step = max(synced_step, last_step(file))
            else:
                shutil.rmtree(file.parent)
        self.run = start(self._header, self._folder, "offline", settings=_WRITE_SOON)
        self._log = WandbLog(Path(self.run.settings.sync_file))
        writer.attach(self.run, synced_step + 1)
        return RemoteRef(remote_id=self._header.run_id, delivered_rows=0)

    def confirm(self, writer: RowWriter, rows: Sequence[Row], timeout_s: float) -> bool:
        """Wait until a mark behind the last row is in the file; the file has everything in order."""
        wanted = rows[-1].number + 1
        self.run.summary.update({ROWS: wanted})
        return self._appears(lambda record: _rows_marked(record) >= wanted, timeout_s)

    def close(self, ending: Ending | None) -> None:
        """Complete the folder; without an ending it reads as a run that goes on."""
        if ending is not None:
            write_ending(self.run, ending)
        self.run.finish(exit_code=0 if ending is None else exit_code_of(ending))
        # The SDK returns while its service still writes.
        if not self._appears(lambda record: record.HasField("exit"), CLOSE_TIMEOUT_S):
            raise TransientDeliveryError(f"W&B's SDK did not complete {self._log.path} in {CLOSE_TIMEOUT_S:.0f} s")
        if ending is None:
            drop_ending(self._log.path)

    def _appears(self, is_wanted: Callable[[Any], bool], timeout_s: float) -> bool:
        """Wait until such a record is in the file."""
        deadline = time.monotonic() + timeout_s
        while not any(is_wanted(record) for _, record in self._log.new_records()):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def _rows_marked(record: Any) -> int:
    items = [item for item in record.summary.update if item.key == ROWS or list(item.nested_key) == [ROWS]]
    return max((int(json.loads(item.value_json)) for item in items), default=0)


_WRITE_SOON = {"x_transaction_log_flush_interval": 0.2}
