"""
An offline archive that `comet upload` takes: `<folder>/<run_id>.zip` of `experiment.json`, `messages.json` and files.

The SDK writes its archive only when a run ends, and never when its process is killed. Here the parts grow in
`<folder>/<run_id>.parts/`, and the archive beside them is made anew as they grow, whole or not at all. What counts is
`experiment.json` among the parts: it says how many rows, and how many bytes of messages, are there for good. Beside
Comet's own files are two kinds that `comet upload` leaves alone: the events that describe the run, and the originals of
tables and histograms. With them the run can be imported as it was.

The format is that of comet_ml 3.58, `comet_ml/schemas/offline-*.schema.json`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

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
from trackbridge.adapters.shaping import disk_trouble_passes, spelled
from trackbridge.journal.codec import encode

MESSAGES, EXPERIMENT, EVENTS = "messages.json", "experiment.json", "trackbridge-events.jsonl"
ORIGINAL = ".original"
# An archive of gigabytes takes seconds to make: it is made at most this part of the time.
ARCHIVING_SHARE = 0.1
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


class Commit(msgspec.Struct, kw_only=True):
    """`experiment.json`: Comet's fields, and ours, which `comet upload` does not look at."""

    offline_id: str
    project_name: str
    workspace: str | None = None
    start_time: int
    stop_time: int
    tags: list[str] = []
    # With `create` a second upload is refused by the server instead of doubling every point.
    resume_strategy: str = "create"
    customer_error_reported: bool = False
    customer_error_message: str | None = None
    user_provided_experiment_key: bool = True
    comet_start_sourced: bool = True
    trackbridge_rows: int = 0
    trackbridge_message_bytes: int = 0
    trackbridge_event_bytes: int = 0
    trackbridge_output_ms: int = -1


class CometArchive:
    """The archive of one run, and the parts it is made from."""

    def __init__(self, run: RunHeader, folder: Path) -> None:
        self.path = folder / f"{run.run_id}.zip"
        self._parts = folder / f"{run.run_id}.parts"
        self._run = run
        self._archive_at = 0.0

    def open(self, remote: RemoteRef | None) -> RemoteRef:
        """Go on where the parts, or else the archive, stand; without both, begin."""
        with disk_trouble_passes(self.path):
            if not (self._parts / EXPERIMENT).exists() and self.path.exists():
                self._unpack()
            self._commit = self._last_commit() or self._begin()
            # What stands after the last commit was never confirmed, and is handed over again.
            os.truncate(self._parts / MESSAGES, self._commit.trackbridge_message_bytes)
            os.truncate(self._parts / EVENTS, self._commit.trackbridge_event_bytes)
        self._commit.customer_error_reported, self._commit.customer_error_message = False, None
        return RemoteRef(self._run.run_id, str(self.path), delivered_rows=self._commit.trackbridge_rows)

    def take(self, messages: Sequence[Message], *, upto_row: int) -> list[Rejection]:
        """Add messages; with them everything before row `upto_row` is here."""
        with disk_trouble_passes(self.path):
            lines = [line for message in messages for line in self._lines(message)]
            told = [encode(message.event) for message in messages if isinstance(message, Described)]
            commit = self._commit
            message_bytes = _extended(self._parts / MESSAGES, commit.trackbridge_message_bytes, lines)
            commit.trackbridge_event_bytes = _extended(self._parts / EVENTS, commit.trackbridge_event_bytes, told)
            commit.trackbridge_message_bytes = message_bytes
        commit.trackbridge_rows = upto_row
        return []

    def confirm(self) -> None:
        """Commit the parts, and make the archive anew unless that was done a moment ago."""
        with disk_trouble_passes(self.path):
            self._commit_parts()
            if time.monotonic() >= self._archive_at:
                started = time.monotonic()
                self._make_archive()
                now = time.monotonic()
                self._archive_at = now + (now - started) / ARCHIVING_SHARE

    def end(self, ending: Ending | None) -> None:
        """Complete the archive; with an ending its parts are removed, as it can be unpacked again."""
        if ending is not None:
            self._commit.stop_time = (ending.ended_ns or 0) // 1_000_000 or self._commit.stop_time
            self._commit.customer_error_reported = ending.status != "finished"
            self._commit.customer_error_message = ending.error
        with disk_trouble_passes(self.path):
            self._commit_parts()
            self._make_archive()
            if ending is not None:
                (self._parts / EXPERIMENT).unlink()
                shutil.rmtree(self._parts)
        _log.info("comet: upload with COMET_OFFLINE_SAMPLING_SIZE=1000000000 comet upload %s", self.path)

    def _begin(self) -> Commit:
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir(parents=True)
        run, started_ms = self._run, self._run.started_ns // 1_000_000
        commit = Commit(
            offline_id=run.run_id,
            project_name=run.project,
            start_time=started_ms,
            stop_time=started_ms,
            tags=list(run.tags),
        )
        header = {"Name": run.name, "group": run.group, "notes": fitting_value(run.notes)}
        with (self._parts / MESSAGES).open("wb") as messages:
            messages.writelines(_line("log_other", key=key, value=value) for key, value in header.items() if value)
            commit.trackbridge_message_bytes = messages.tell()
        (self._parts / EVENTS).touch()
        return commit

    def _last_commit(self) -> Commit | None:
        try:
            commit = msgspec.json.decode((self._parts / EXPERIMENT).read_bytes(), type=Commit)
            sizes = [(self._parts / name).stat().st_size for name in (MESSAGES, EVENTS)]
            committed = (commit.trackbridge_message_bytes, commit.trackbridge_event_bytes)
            is_whole = all(size >= size_bytes for size, size_bytes in zip(sizes, committed, strict=True))
        except (OSError, msgspec.DecodeError):
            return None
        return commit if is_whole else None

    def _commit_parts(self) -> None:
        draft = self._parts / f"{EXPERIMENT}.draft"
        with draft.open("wb") as file:
            file.write(_encode(self._commit))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._parts / EXPERIMENT)

    def _make_archive(self) -> None:
        draft = self.path.with_suffix(".zip.draft")
        with zipfile.ZipFile(draft, "w", allowZip64=True) as archive:
            for part in sorted(self._parts.iterdir()):
                archive.write(part, part.name)
        draft.replace(self.path)

    def _unpack(self) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if name != EXPERIMENT]
                # The commit comes last: without it the parts do not count.
                for name in [*names, EXPERIMENT]:
                    archive.extract(name, self._parts)
        except (zipfile.BadZipFile, KeyError) as error:
            _log.warning("comet: %s is damaged (%s) and is made anew", self.path, error)

    def _lines(self, message: Message) -> Iterator[bytes]:
        self._commit.stop_time = max(self._commit.stop_time, getattr(message, "at_ms", 0))
        if isinstance(message, Tags):
            self._commit.tags = list(message.tags)
        elif isinstance(message, Described):
            return
        elif isinstance(message, Asset):
            yield self._asset(message)
        elif isinstance(message, Output):
            # Lines are added to those that are there, and an end may be told again.
            if message.at_ms != self._commit.trackbridge_output_ms:
                yield _line("standard_output", output=message.text, stderr=False, local_timestamp=message.at_ms)
            self._commit.trackbridge_output_ms = message.at_ms
        else:
            yield from _LINES[type(message)](message)

    def _asset(self, asset: Asset) -> bytes:
        # The same row gives the same name, so a file from before a crash is replaced, not doubled.
        digest = hashlib.blake2b(f"{self._run.run_id}/{asset.row}/{asset.name}".encode(), digest_size=16).hexdigest()
        member = f"asset-{digest}{PurePosixPath(asset.name).suffix}"
        if isinstance(asset.source, bytes):
            (self._parts / member).write_bytes(asset.source)
        else:
            shutil.copyfile(asset.source, self._parts / member)
        if asset.original is not None:
            shutil.copyfile(asset.original, self._parts / f"{member}{ORIGINAL}")
        return _line(
            "file_upload",
            file_path=member,
            upload_type="visualization" if asset.type == "image" else asset.type,
            additional_params=_asset_parameters(asset, digest),
            metadata={"kind": asset.kind, "row": asset.row, "caption": asset.caption},
            local_timestamp=asset.at_ms,
            clean=True,
        )


def _extended(path: Path, from_byte: int, lines: Sequence[bytes]) -> int:
    """Write lines into a file from a byte on, over what an attempt that failed may have left; the file's size then."""
    with path.open("r+b") as file:
        file.truncate(from_byte)
        file.seek(0, os.SEEK_END)
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _asset_parameters(asset: Asset, asset_id: str) -> dict[str, Any]:
    common: dict[str, Any] = {"context": None, "overwrite": False, "step": asset.step}
    if extension := PurePosixPath(asset.name if asset.type != "image" else str(asset.source)).suffix:
        common["extension"] = extension.removeprefix(".")
    if asset.type == "image":
        return {**common, "figName": asset.name, "figCounter": 0, "imageId": asset_id}
    return {**common, "fileName": asset.name, "assetId": asset_id, "type": asset.type}


def _line(kind: str, **payload: Any) -> bytes:
    return _encode({"type": kind, "payload": payload}) + b"\n"


def _point(point: Point) -> Iterator[bytes]:
    name, value, step, epoch, at_ms = point
    metric = {"metricName": name, "metricValue": spelled(value), "step": step, "epoch": epoch}
    yield _line("metric_msg", local_timestamp=at_ms, metric=metric)


def _parameter(parameter: Parameter) -> Iterator[bytes]:
    param = {"paramName": parameter.name, "paramValue": parameter.value, "step": None, "source": "manual"}
    yield _line("parameter_msg", local_timestamp=parameter.at_ms, param=param)


def _other(other: Other) -> Iterator[bytes]:
    yield _line("log_other", key=other.key, value=other.value)


def _system(information: SystemInformation) -> Iterator[bytes]:
    for key, value in information.values.items():
        yield _line("system_info", system_info={"key": key, "value": value})


def _packages(packages: Packages) -> Iterator[bytes]:
    yield _line("installed_packages", installed_packages=packages.names)


_LINES: dict[type, Callable[[Any], Iterator[bytes]]] = {
    Point: _point,
    Parameter: _parameter,
    Other: _other,
    SystemInformation: _system,
    Packages: _packages,
}
