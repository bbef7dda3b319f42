"""What a tracker has to know of a run before its first row, and how the run ended, read from the journals."""

from __future__ import annotations

from pathlib import Path

from trackbridge.adapters.base import Ending, RunHeader
from trackbridge.store.records import RunRecord


def header_of(record: RunRecord) -> RunHeader:
    """The header of a run as its record tells it now."""
    return RunHeader(
        run_id=record.run_id,
        project=record.project,
        name=record.name,
        folder=Path(record.path),
        group=record.group,
        tags=record.tags,
        notes=record.notes,
        started_ns=record.started_ns,
    )


def ending_of(record: RunRecord) -> Ending | None:
    """How the run ended, or None while its process lives.

    A process that is gone without a word is `lost`: killed by SIGKILL, out of memory, or with its machine.
    """
    if record.status == "running":
        return None
    last = record.sessions[-1] if record.sessions else None
    error = "the process is gone without a word" if record.status == "lost" else None
    return Ending(
        status=record.status,
        exit_code=last.exit_code if last else None,
        error=(last.error if last else None) or error,
        ended_ns=record.ended_ns or record.last_seen_ns,
    )
