"""The file `trackbridge.json` in a checkpoint directory: which run, and at which step, so a resume finds its run."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

SIDECAR_NAME = "trackbridge.json"


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint knows of its run. `root` is where the run's project folder was when it was written."""

    v: int = 1
    run_id: str
    project: str
    name: str
    step: int
    root: str


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Put the sidecar into a checkpoint directory, whole or not at all.

    Raises:
        OSError: the directory cannot be written.
    """
    # Replaced, never rewritten in place: a kept checkpoint may share the old file through a hard link.
    draft = folder / f".{SIDECAR_NAME}.{os.getpid()}"
    try:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")
        draft.replace(folder / SIDECAR_NAME)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_sidecar(folder: Path) -> Sidecar | None:
    """The sidecar of a checkpoint directory, or None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / SIDECAR_NAME).read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
