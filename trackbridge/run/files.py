"""The files of a run beside its journal: media written once, checkpoints kept, digests."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from trackbridge.journal.kept import KEPT_NAME, write_manifest
from trackbridge.journal.paths import draft_path
from trackbridge.journal.sampling import sampled_sha256

_log = logging.getLogger(__name__)
_HASH_BLOCK = 1 << 20


def write_once(path: Path, content: bytes) -> None:
    """Store content under a name made from its digest: what is there already is the same.

    Raises:
        OSError: the disk refuses it.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_path(path)
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def keep_folder(source: Path, target: Path) -> Path | None:
    """A copy of a checkpoint, at `step-<n>`; None when it could not be made, which is told.

    The copy appears whole or not at all, in the place of an older one. It shares its bytes with a source whose name
    ends in the same number (`checkpoint-500`, kept as `step-500`), where the file system allows: such a folder is
    written once. A folder without a step in its name (`best`) is saved to again and again, so it is copied.
    """
    is_written_once = source.name.rpartition("-")[2] == target.name.rpartition("-")[2]
    draft = draft_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = _link_or_copy if is_written_once else shutil.copy2
        shutil.copytree(source, draft, copy_function=place, ignore=shutil.ignore_patterns(KEPT_NAME))
        write_manifest(draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
    except (OSError, UnicodeEncodeError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        _log.warning("trackbridge could not keep checkpoint %s: %s. Training goes on.", source, error)
        return None
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        # A link to a symbolic link would dangle with it.
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def size_bytes(path: Path) -> int:
    """The bytes in a file, or in all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file; of a folder, over the relative names and digests of its files.

    Raises:
        OSError: it cannot be read.
    """
    return size_bytes(path), _digest(path, _sha256)


def sampled_digest(path: Path) -> str:
    """The same without the size and from samples of each file, which takes no longer for a large one.

    Raises:
        OSError: it cannot be read.
    """
    return _digest(path, sampled_sha256)


def _digest(path: Path, digest_of: Callable[[Path], str]) -> str:
    if path.is_file():
        return digest_of(path)
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{file.relative_to(path).as_posix()}\0{digest_of(file)}\n" for file in inside)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _sha256(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()
