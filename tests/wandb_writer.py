"""Writes `.wandb` files by hand, for what the SDK would not write: hostile, old, typed, damaged."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 1 << 15
STARTED_S = 1_700_000_000


class WrittenRun:
    """A run, record by record."""

    def __init__(self, run_id: str = "hostile", *, started_s: int = STARTED_S, **told: str) -> None:
        self.records: list[Record] = []
        record = self.add()
        record.run.run_id, record.run.project = run_id, "sentiment"
        record.run.start_time.seconds = started_s
        for name, value in told.items():
            setattr(record.run, name, value)

    def add(self) -> Record:
        """A record to be filled in."""
        self.records.append(Record(num=len(self.records) + 1))
        return self.records[-1]

    def log(self, number: int, values: dict[str, Any]) -> WrittenRun:
        """A row of history; each value is one item of JSON, as old SDKs wrote it."""
        history = self.add().history
        history.step.num = number
        for name, value in {"_step": number, "_timestamp": STARTED_S + number, **values}.items():
            history.item.add(key=name, value_json=json.dumps(value))
        return self

    def log_json(self, number: int, name: str, text: str) -> WrittenRun:
        """A row with a value whose text is given."""
        return self.log_path(number, [name], text)

    def log_path(self, number: int, path: list[str], text: str) -> WrittenRun:
        """The same for a nested value."""
        history = self.add().history
        history.step.num = number
        history.item.add(nested_key=path, value_json=text)
        return self

    def configure_json(self, name: str, text: str) -> WrittenRun:
        """A config record."""
        self.add().config.update.add(key=name, value_json=text)
        return self

    def finish(self, exit_code: int = 0) -> WrittenRun:
        """The end."""
        self.add().exit.exit_code = exit_code
        return self

    def write(self, path: Path) -> Path:
        """The file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = bytearray(b":W&B\xe1\xbe\x00")
        for record in self.records:
            _append(content, record.SerializeToString())
        path.write_bytes(content)
        return path


def _append(content: bytearray, payload: bytes) -> None:
    is_first = True
    while True:
        left = BLOCK - len(content) % BLOCK
        if left < 7:
            content += bytes(left)
            continue
        piece, payload = payload[: left - 7], payload[left - 7 :]
        kind = bytes([(1 if is_first else 4) if not payload else (2 if is_first else 3)])
        content += zlib.crc32(kind + piece).to_bytes(4, "little") + len(piece).to_bytes(2, "little") + kind + piece
        is_first = False
        if not payload:
            return
