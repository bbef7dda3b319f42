"""What the SDK's service tells nobody but its log, `debug-internal.log`: what W&B refused, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

# Too large, or not acceptable in itself. A signed address that has expired is answered 403: that passes.
_REFUSALS = ("400", "411", "413", "414", "415", "422")
_ANSWER = re.compile(r"upload: failed to upload: status: ((\d{3})[^:]*)")
_RETURNED = re.compile(r"returned error ((\d{3}).*)", re.DOTALL)
_FILE = re.compile(r"\bName: (.*), Url: ")


def fatal_message(log: Path) -> str | None:
    """Why the service stopped sending rows."""
    fatal = [str(entry["msg"]) for entry in _entries(log, '"filestream: fatal error')]
    return fatal[-1] if fatal else None


def refused_files(log: Path) -> dict[str, str]:
    """The files that W&B will not take however often they are sent, by name, and its answers."""
    refused = {}
    for entry in _entries(log, "upload: failed to upload"):
        answer, file = _ANSWER.search(str(entry["msg"])), _FILE.search(str(entry.get("task")))
        if answer and file and answer[2] in _REFUSALS:
            refused[file[1]] = answer[1]
    return refused


def refused_artifact(log: Path, error: Exception, files: Collection[str]) -> str | None:
    """W&B's answer, where it will not take an artifact of these files; None where it may take it later."""
    returned = _RETURNED.search(str(error))
    if returned and returned[2] in _REFUSALS:
        return returned[1]
    refused = refused_files(log)
    return next((f"{name}: {refused[name]}" for name in files if name in refused), None)


def _entries(log: Path, text: str) -> Iterator[dict[str, Any]]:
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    yield from (json.loads(line) for line in lines if text in line)
