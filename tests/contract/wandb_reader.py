"""Reads W&B offline folders as runs; written from the format's description, for tests only."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackbridge.testing.fake_wandb_run import FakeArtifact, FakeWandbRun
from trackbridge.testing.seen import SeenRun

BLOCK = 1 << 15


def read_records(path: Path) -> Iterator[Any]:
    """Every record of a `.wandb` file, in order."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    assert content[:7] == b":W&B\xe1\xbe\x00"
    payload = bytearray()
    for number in range(0, len(content), BLOCK):
        block = io.BytesIO(content[number : number + BLOCK])
        block.seek(7 if number == 0 else 0)
        while len(head := block.read(7)) == 7:
            size, kind = int.from_bytes(head[4:6], "little"), head[6]
            piece = block.read(size)
            assert zlib.crc32(head[6:] + piece) == int.from_bytes(head[:4], "little")
            payload += piece
            if kind in (1, 4):
                yield Record.FromString(bytes(payload))
                payload.clear()


class OfflineFolder:
    """The offline runs below a folder, as a tracker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_ids(self) -> list[str]:
        return [path.stem.removeprefix("run-") for path in self.folder.glob("wandb/offline-run-*/run-*.wandb")]

    def seen(self, run_id: str) -> SeenRun:
        (path,) = self.folder.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
        return read_run(path).as_seen()


def read_run(path: Path) -> FakeWandbRun:
    run = FakeWandbRun("", "", "")
    for record in read_records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            fields = record.run
            run.run_id, run.project, run.name, run.group = (
                fields.run_id, fields.project, fields.display_name, fields.run_group,
            )  # fmt: skip
            run.notes, run.tags = fields.notes, list(fields.tags)
            put_all(run.config, fields.config.update)
        elif kind == "config":
            put_all(run.config, record.config.update)
        elif kind == "summary":
            put_all(run.summary, record.summary.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            put_all(row, record.history.item)
            run.history.append(json.dumps(row))
        elif kind == "output_logger":
            run.output.append(record.output_logger.line)
        elif kind == "artifact":
            add_artifact(run, record.artifact, path.parent)
        elif kind == "exit":
            run.state = "failed" if record.exit.exit_code else "finished"
    run.config = {key: {"value": value} for key, value in run.config.items()}
    for row in run.rows:
        for value in row.values():
            if isinstance(value, dict) and "path" in value:
                assert (path.parent / "files" / value["path"]).is_file()
    return run


def put_all(into: dict[str, Any], items: Any) -> None:
    for item in items:
        *parents, key = item.nested_key or [item.key]
        place = into
        for parent in parents:
            place = place[parent] if isinstance(place.get(parent), dict) else place.setdefault(parent, {})
        value = json.loads(item.value_json)
        merged = isinstance(value, dict) and isinstance(place.get(key), dict)
        place[key] = {**place[key], **value} if merged else value


def add_artifact(run: FakeWandbRun, artifact: Any, run_folder: Path) -> None:
    added = FakeArtifact(artifact.client_id, artifact.name, artifact.type, artifact.digest, "", "COMMITTED")
    added.aliases = list(artifact.aliases)
    for entry in artifact.manifest.contents:
        assert Path(entry.local_path).is_relative_to(run_folder.parent.parent), entry.local_path
        added.files[entry.path] = Path(entry.local_path).read_bytes()
    run.artifacts[added.id] = added
