"""What a tracker has to know of a run before its first row, and of its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from trackbridge.adapters.base import Ending, RunHeader
from trackbridge.store.console import last_words
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
    if record.status == "lost":
        # Of an imported run nobody may know.
        ended_ns = record.last_seen_ns or None
        error = "the process was gone without a word" + (f" after {_utc_text(ended_ns)}" if ended_ns else "")
        return Ending(status="lost", error=error, ended_ns=ended_ns)
    last = record.sessions[-1]
    return Ending(status=record.status, exit_code=last.exit_code, error=last.error, ended_ns=record.ended_ns)


def _utc_text(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def with_last_words(ending: Ending, run_folder: Path) -> Ending:
    """The ending and what the run printed last, unless it finished."""
    return ending if ending.status == "finished" else replace(ending, console=last_words(run_folder))
