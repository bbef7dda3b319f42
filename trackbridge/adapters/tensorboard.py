"""
The TensorBoard adapter: event files in a folder, which `tensorboard --logdir` shows, while they grow or years later.

Neither TensorBoard nor TensorFlow is needed to write them. A run is a folder of its own below the log folder:

    events.out.tfevents.<started>.<run id>.0-description   hyperparameters and texts, replaced whole
    events.out.tfevents.<started>.<run id>.1-rows          everything with a step, appended to only
    events.out.tfevents.<started>.<run id>.2-ending        how the run ended, while it has ended
    trackbridge.msgpack                                    the commit: how many rows and bytes are there for good

What a killed process left behind the last row that counts is cut off and written again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from trackbridge.adapters import tensorboard_events as events
from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.description import Description
from trackbridge.adapters.shaping import disk_trouble_passes
from trackbridge.adapters.tensorboard_description import description_records, ending_records
from trackbridge.adapters.tensorboard_rows import RowWriter

COMMIT = "trackbridge.msgpack"


class Commit(msgspec.Struct, kw_only=True):
    """What of a run is here for good."""

    run_id: str
    rows: int = 0
    size_bytes: int = 0
    description: Description = msgspec.field(default_factory=Description)


class TensorboardAdapter:
    """Writes a run as event files, `<folder>/<name>-<end of the run id>`."""

    name: ClassVar[str] = "tensorboard"
    capabilities: ClassVar[Capabilities] = Capabilities(
        online="changed",
        original_step="changed",
        nested_config="changed",
        tags="changed",
        group="changed",
        notes="changed",
        tables="changed",
        artifacts="no",
        status="changed",
        rules={
            "online": "the same log folder as offline, `<run folder>/offline/tensorboard`: there is no server to"
            " deliver to, `tensorboard --logdir` reads the folder",
            "original_step": "a resume writes TensorBoard's own restart mark: steps that it superseded stay in the"
            " file and are hidden on the page (so are earlier system metrics, under `--load_fast=false`)",
            "non_finite": "TensorBoard's scalars are float32, in which numbers above 3.4e38 are infinite; the float64"
            " stands beside it in the file, as `double_val`",
            "original_time": "float seconds, exact to a microsecond",
            "system_metrics": "a section `system` of its own; the step is seconds since the start",
            "nested_config": "flat hyperparameters such as `script/optimizer/lr`, lists as JSON text; whole and nested"
            " in the text `trackbridge/config`",
            "tags": "the hyperparameter `tags`, separated by commas",
            "group": "the hyperparameter `group`",
            "notes": "the text `trackbridge/notes`",
            "images": "PNG, JPEG and GIF; other formats are rejected",
            "tables": "a Markdown table among the texts",
            "artifacts": "TensorBoard keeps no files",
            "status": "the HPARAMS page knows success and failure only; the text `trackbridge/ending` says which",
            "console": "the text `trackbridge/console`, until the run goes on",
        },
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._log_folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Begin the run's folder, or go on where its files stand."""
        self._run = run
        name = re.sub(r"[^\w.-]+", "_", run.name)[:60]
        self._folder = (self._log_folder or run.folder / "offline" / self.name) / f"{name}-{run.run_id[-12:]}"
        with disk_trouble_passes(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file("2-ending").unlink(missing_ok=True)
            self._commit = self._last_commit() or Commit(run_id=run.run_id)
            self._writer = RowWriter(run.folder)
            self._write_description()
            self._rows = self._file("1-rows").open("ab")
            self._rows.truncate(self._commit.size_bytes)
            self._rows.seek(0, os.SEEK_END)
            if not self._commit.size_bytes:
                self._rows.write(events.version_record(run.started_ns / 1e9))
        self._is_described = True
        return RemoteRef(run.run_id, str(self._folder), delivered_rows=self._commit.rows)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Append the rows that are not here yet."""
        rejections: list[Rejection] = []
        for row in rows:
            is_new = row.number >= self._commit.rows
            for made in self._writer.records(row):
                if isinstance(made, Rejection):
                    rejections.append(made)
                elif is_new:
                    self._write(made)
            if is_new:
                self._commit.rows = row.number + 1
                self._is_described &= self._commit.description.take(row.event) is None
        return Delivery(tuple(rejections))

    def flush(self, timeout_s: float) -> bool:
        """Bring everything to the platter; True when that is done."""
        with disk_trouble_passes(self._folder):
            self._rows.flush()
            os.fsync(self._rows.fileno())
            if not self._is_described:
                self._write_description()
                self._is_described = True
            self._commit.size_bytes = self._rows.tell()
            # Not JSON: a config may hold NaN.
            self._replace(self._folder / COMMIT, msgspec.msgpack.encode(self._commit))
        return True

    def close(self, ending: Ending | None) -> None:
        """Note how the run ended; with None only the files are closed."""
        self.flush(0.0)
        with disk_trouble_passes(self._folder):
            self._rows.close()
            if ending is not None:
                self._replace(self._file("2-ending"), ending_records(ending, self._run))

    def _write(self, record: bytes) -> None:
        with disk_trouble_passes(self._folder):
            self._rows.write(record)

    def _write_description(self) -> None:
        self._replace(self._file("0-description"), description_records(self._commit.description, self._run))

    def _last_commit(self) -> Commit | None:
        try:
            commit = msgspec.msgpack.decode((self._folder / COMMIT).read_bytes(), type=Commit)
            is_whole = self._file("1-rows").stat().st_size >= commit.size_bytes
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return commit if is_whole else None

    def _file(self, part: str) -> Path:
        # TensorBoard reads the files of a run in the order of their names.
        started_s = self._run.started_ns // 1_000_000_000
        return self._folder / f"events.out.tfevents.{started_s}.{self._run.run_id}.{part}"

    def _replace(self, path: Path, content: bytes) -> None:
        draft = self._folder / "draft"
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
