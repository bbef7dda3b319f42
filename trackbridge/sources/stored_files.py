"""The files of an imported run: copied once under a name made from their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from trackbridge.errors import SourceRefused
from trackbridge.journal.paths import draft_path, files_folder
from trackbridge.sources.base import SourceFile

MAX_FILE_BYTES = 20 << 30
_BLOCK_BYTES = 1 << 20
_Name: TypeAlias = Callable[[str], str]


class StoredFile(NamedTuple):
    """A file in a run folder; `path` is relative to that. `is_new` says that it was not there before."""

    path: str
    size_bytes: int
    sha256: str
    is_new: bool


def store_media(run_folder: Path, file: SourceFile, suffix: str) -> StoredFile:
    """Copy media to `files/media/<digest>.<suffix>`.

    Raises:
        OSError: it cannot be read or written.
        SourceRefused: it is larger than any file of a run.
    """
    plain = re.sub(r"[^A-Za-z0-9]", "", suffix)[:20] or "bin"
    return _store(run_folder, file, lambda sha256: f"media/{sha256[:24]}.{plain}")


def store_artifact(run_folder: Path, file: SourceFile) -> StoredFile:
    """Copy any other file to `files/artifacts/<digest>-<its name>`; errors as for media."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(file.name.replace("\\", "/")).name)[-80:]
    return _store(run_folder, file, lambda sha256: f"artifacts/{sha256[:24]}-{name}")


def _store(run_folder: Path, file: SourceFile, name_for: _Name) -> StoredFile:
    folder = files_folder(run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    draft = draft_path(folder / "copy")
    sha256, size_bytes = hashlib.sha256(), 0
    try:
        with file.open() as source, draft.open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                size_bytes += len(block)
                if size_bytes > MAX_FILE_BYTES:
                    raise SourceRefused(f"{file.name!r} holds more than {MAX_FILE_BYTES >> 30} GB")
                sha256.update(block)
                target.write(block)
        digest = sha256.hexdigest()
        path = folder / name_for(digest)
        is_new = not path.exists()
        path.parent.mkdir(exist_ok=True)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return StoredFile(path.relative_to(run_folder).as_posix(), size_bytes, digest, is_new)
