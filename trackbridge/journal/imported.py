"""
Writes the journal of an import: many events at once, each with the time at which it happened elsewhere.

The file gets its name when it is whole, so an import that is killed leaves no half of a run behind.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from trackbridge.events.models import FORMAT_VERSION, Integrity, KnownEvent, MetricsLogged, WriterOpened
from trackbridge.journal.codec import crc_covered, encode, encode_finite
from trackbridge.journal.paths import draft_path, journal_file

INTEGRITY_EVERY_LINES = 4000


class ImportedJournal:
    """A journal that is written in one go. As a context manager it is kept on a normal end and dropped on any other.

    One without any event but its first line is dropped, too.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], *, started_ns: int) -> None:
        """`identity`: the fields of `WriterOpened` but for `seq`, `t` and `v`.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path = journal_file(folder, identity["writer_id"])
        self._draft = draft_path(self.path)
        self._file = self._draft.open("wb")
        self._seq = 0
        self._lines: list[bytes] = []
        self._last_ns = started_ns
        self.append(WriterOpened(seq=0, t=started_ns, v=FORMAT_VERSION, **identity))

    def append(self, event: KnownEvent) -> None:
        """Write an event under the next number."""
        self._last_ns = event.t
        self._put(encode(replace(event, seq=self._seq)))

    def append_points(self, t: int, step: int, metrics: dict[str, float], epoch: float | None) -> None:
        """Write scalars at a step."""
        if all(map(math.isfinite, metrics.values())) and (epoch is None or math.isfinite(epoch)):
            self._last_ns = t
            self._put(encode_finite(self._seq, t, step, metrics, epoch))
        else:
            self.append(MetricsLogged(seq=0, t=t, step=step, metrics=metrics, epoch=epoch))

    def __enter__(self) -> ImportedJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._seq > 1:
            self._keep()
        else:
            self._file.close()
            self._draft.unlink(missing_ok=True)

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._seq += 1
        if len(self._lines) >= INTEGRITY_EVERY_LINES:
            self._write_integrity()

    def _write_integrity(self) -> None:
        covered = b"".join(self._lines)
        draft = Integrity(seq=self._seq, t=self._last_ns, size_bytes=len(covered), crc32=0)
        crc = zlib.crc32(crc_covered(encode(draft)), zlib.crc32(covered))
        self._file.write(covered + encode(replace(draft, crc32=crc)))
        self._lines = []
        self._seq += 1

    def _keep(self) -> None:
        try:
            self._write_integrity()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._draft.replace(self.path)
        finally:
            self._file.close()
            self._draft.unlink(missing_ok=True)
