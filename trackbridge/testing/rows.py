"""Rows built by hand, for tests of what delivers them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from trackbridge.adapters.base import Row, RunHeader
from trackbridge.events.models import CheckpointSaved, KnownEvent, MediaLogged, MetricsLogged, RunStarted, UnknownEvent
from trackbridge.run.media import Media

STARTED_NS = 1_700_000_000_123_000_000
SECOND_NS = 1_000_000_000


class RowBuilder:
    """The rows of one run, numbered 0, 1, 2, ...; one second passes from row to row.

    Attributes:
        header: the run's header; its folder is where media are written.
        rows: the rows so far, the first of which is `run_started`.
    """

    def __init__(self, folder: Path, run_id: str = "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b", **header: Any) -> None:
        fields: dict[str, Any] = {"project": "demo", "name": "baseline", **header}
        self.header = RunHeader(run_id=run_id, folder=folder, started_ns=STARTED_NS, **fields)
        self.rows: list[Row] = []
        self.add(
            RunStarted,
            project=self.header.project,
            name=self.header.name,
            group=self.header.group,
            tags=list(self.header.tags),
            notes=self.header.notes,
        )

    def add(self, kind: type[KnownEvent], **fields: Any) -> Row:
        """Append an event of this kind."""
        number = len(self.rows)
        row = Row(number, kind(seq=number, t=STARTED_NS + number * SECOND_NS, **fields))
        self.rows.append(row)
        return row

    def add_unknown(self, kind: str, **fields: Any) -> Row:
        """Append an event of a kind that this version does not know."""
        number = len(self.rows)
        row = Row(number, UnknownEvent(kind=kind, seq=number, t=STARTED_NS + number * SECOND_NS, fields=fields))
        self.rows.append(row)
        return row

    def add_metrics(self, step: int, metrics: Mapping[str, float], epoch: float | None = None) -> Row:
        """Append scalars at a step."""
        return self.add(MetricsLogged, step=step, metrics=dict(metrics), epoch=epoch)

    def add_checkpoint(
        self,
        step: int,
        folder: Path,
        metrics: Mapping[str, float],
        *,
        upload: Literal["best", "other"] | None = None,
    ) -> Row:
        """Append a checkpoint with its scores, marked as the relay would where its bytes are to be uploaded."""
        row = self.add(CheckpointSaved, step=step, path=str(folder), metrics=dict(metrics))
        self.rows[-1] = row._replace(upload=upload)
        return self.rows[-1]

    def add_media(self, step: int, name: str, media: Media) -> Row:
        """Append a picture, table, histogram or text, and write its file as a run would."""
        encoded = media.encode()
        sha256 = hashlib.sha256(encoded.content).hexdigest()
        path = f"files/media/{sha256[:24]}.{encoded.suffix}"
        (self.header.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.header.folder / path).write_bytes(encoded.content)
        return self.add(
            MediaLogged,
            name=name,
            step=step,
            media=media.media,
            path=path,
            size_bytes=len(encoded.content),
            sha256=sha256,
            caption=media.caption,
        )
