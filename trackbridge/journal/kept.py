"""
The file `trackbridge-kept.json` in a kept checkpoint: what its files were when it was kept.

A kept checkpoint shares its bytes with the original through hard links, and `torch.save` writes over an existing
file in place. Whoever saves into the original folder again changes both; this file tells.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from trackbridge.journal.sampling import sampled_sha256

KEPT_NAME = "trackbridge-kept.json"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """`files` maps each file's relative name to its `sampled_sha256`."""

    v: int = 1
    files: dict[str, str]


def write_manifest(folder: Path) -> None:
    """Note in a kept checkpoint what its files are now.

    Raises:
        OSError: it cannot be read or written.
    """
    files = {file.relative_to(folder).as_posix(): sampled_sha256(file) for file in _files(folder)}
    (folder / KEPT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(Kept(files=files)), indent=2) + b"\n")


def changed_files(folder: Path) -> list[str]:
    """The files of a kept checkpoint that changed or vanished since it was kept; none in a folder that is no such.

    Raises:
        OSError: a file cannot be read.
    """
    try:
        kept = msgspec.json.decode((folder / KEPT_NAME).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    return [
        name
        for name, digest in kept.files.items()
        if not (folder / name).is_file() or sampled_sha256(folder / name) != digest
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != KEPT_NAME)
