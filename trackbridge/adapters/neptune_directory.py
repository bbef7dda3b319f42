"""
An offline directory that `neptune sync` takes: `<folder>/.neptune/offline/run__<run id>/`.

It has the layout that the client writes in its offline mode, without the client: operations as JSON lines, versions
in files of their own. The client's own directory loses what its buffer holds when the process is killed; here what
counts is `trackbridge.json`, replaced as a whole, which says how many bytes and operations are there for good. Files
are copied into the directory, so that it can be moved to a machine with a network.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from trackbridge.adapters.base import RemoteRef, RunHeader
from trackbridge.adapters.neptune_fields import Assignment, Change, Picture, Point, Refused, Removal, Texts, Upload
from trackbridge.adapters.shaping import disk_trouble_passes

OPERATIONS, COMMIT, UPLOADS = "data-1.log", "trackbridge.json", "upload_path"
# The client writes as many values into one operation; `neptune sync` sends 1000 operations in a request.
MAX_VALUES = 100
_encode = msgspec.json.encode
_log = logging.getLogger(__name__)


class Commit(msgspec.Struct):
    """How much of the directory counts, and the ledger after it."""

    size_bytes: int
    operations: int
    ledger: msgspec.Raw


class NeptuneDirectory:
    """The directory of one run.

    Attributes:
        path: where it is.
        remote_id: how `neptune sync --object offline/<remote id>` names it.
    """

    def __init__(self, run: RunHeader, folder: Path) -> None:
        self.path = folder / ".neptune" / "offline" / f"run__{run.run_id}"
        self.remote_id = run.run_id
        self.url = str(self.path)
        self._run = run

    def open(self, remote: RemoteRef | None) -> bytes:
        """Go on where the directory stands, or write it anew; the ledger that was kept in it, or nothing."""
        with disk_trouble_passes(self.path):
            commit = self._last_commit() if remote is not None else None
            if commit is None:
                self._begin()
            self._n_operations = commit.operations if commit else 0
            self._operations = (self.path / OPERATIONS).open("r+b")
            # What stands after the last commit was never confirmed, so it will be handed over again.
            self._operations.truncate(commit.size_bytes if commit else 0)
            self._operations.seek(0, os.SEEK_END)
        return bytes(commit.ledger) if commit else b""

    def take(self, changes: Iterable[Change]) -> list[Refused]:
        """Add the changes; with `keep` they count."""
        refused = []
        series: dict[str, list[Point | Picture]] = {}
        with disk_trouble_passes(self.path):
            for change in changes:
                if isinstance(change, (Point, Picture)):
                    series.setdefault(change.path, []).append(change)
                elif isinstance(change, Upload) and not self._copied(change):
                    refused.append(Refused(change, f"{change.source!s} is gone"))
                else:
                    self._write(_told(change), path=change.path)
            for path, points in series.items():
                for start in range(0, len(points), MAX_VALUES):
                    self._write([_logged(points[start : start + MAX_VALUES])], path=path)
        return refused

    def confirm(self, timeout_s: float) -> bool:
        """True: `keep` waits for the disk."""
        return True

    def keep(self, ledger: bytes) -> None:
        """Bring all to the platter; from here on it counts."""
        with disk_trouble_passes(self.path):
            self._operations.flush()
            os.fsync(self._operations.fileno())
            (self.path / "last_put_version").write_text(str(self._n_operations))
            commit = Commit(self._operations.tell(), self._n_operations, msgspec.Raw(ledger))
            draft = self.path / f"{COMMIT}.draft"
            draft.write_bytes(_encode(commit))
            draft.replace(self.path / COMMIT)

    def end(self) -> None:
        """Close the file; the format has no mark for the end of a run."""
        self._operations.close()
        _log.info("neptune: neptune sync --path %s --object offline/%s", self.path.parents[2], self.remote_id)

    def _begin(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        (self.path / UPLOADS).mkdir(parents=True)
        (self.path / OPERATIONS).touch()
        (self.path / "last_ack_version").write_text("0")
        (self.path / "last_put_version").write_text("0")
        identity = {"mode": "offline", "containerId": self._run.run_id, "containerType": "run", "structureVersion": 3}
        (self.path / "metadata.json").write_bytes(_encode(identity))

    def _last_commit(self) -> Commit | None:
        try:
            commit = msgspec.json.decode((self.path / COMMIT).read_bytes(), type=Commit)
            is_whole = (self.path / OPERATIONS).stat().st_size >= commit.size_bytes
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return commit if is_whole else None

    def _write(self, operations: Iterable[dict[str, Any]], *, path: str) -> None:
        for operation in operations:
            self._n_operations += 1
            line = {"obj": {"path": path.split("/"), **operation}, "version": self._n_operations, "at": None}
            self._operations.write(_encode(line) + b"\n")

    def _copied(self, upload: Upload) -> bool:
        target = self.path / UPLOADS / _file_name(upload)
        if isinstance(upload.source, bytes):
            target.write_bytes(upload.source)
            return True
        try:
            shutil.copyfile(upload.source, target)
        except FileNotFoundError:
            return False
        return True


def _file_name(upload: Upload) -> str:
    # The same row gives the same name, so a file from before a crash is replaced, not left over.
    digest = hashlib.blake2b(upload.path.encode(), digest_size=6).hexdigest()
    return f"{upload.row}-{digest}-{PurePosixPath(upload.path).name}"[:200]


def _told(change: Change) -> Iterator[dict[str, Any]]:
    if isinstance(change, Removal):
        yield {"type": "DeleteAttribute"}
    elif isinstance(change, Texts):
        yield {"type": "ClearStringSet"}
        if change.values:
            yield {"type": "AddStrings", "values": list(change.values)}
    elif isinstance(change, Upload):
        yield {"type": "UploadFile", "ext": change.extension, "tmp_file_name": _file_name(change)}
    elif isinstance(change, Assignment):
        yield {"type": f"Assign{change.kind}", "value": change.value}


def _logged(points: Sequence[Point | Picture]) -> dict[str, Any]:
    # The client cuts `ts * 1000` to an integer, which the half millisecond saves from being one too few.
    times_s = [(point.at_ms + 0.5) / 1000 for point in points]
    values = [
        {"value": point.value, "step": point.step, "ts": time_s} for point, time_s in zip(points, times_s, strict=True)
    ]
    return {"type": f"Log{points[0].kind}s", "values": values}
