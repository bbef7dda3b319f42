"""The files of a run beside its journal: media written once, folders kept by hard link, digests."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trackbridge.errors import JournalWriteError

_log = logging.getLogger(__name__)
_HASH_BLOCK = 1 << 20


@contextmanager
def trouble_is_told(what: str) -> Iterator[None]:
    """Turn an OSError into a warning: a full disk must not stop a training. `strict` errors pass."""
    try:
        yield
    except JournalWriteError:
        raise
    except OSError as error:
        _log.warning("trackbridge could not store a %s: %s. Training goes on.", what, error)


def write_once(path: Path, content: bytes) -> None:
    """Store content under a name made from its digest: what is there already is the same."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def keep_folder(source: Path, target: Path) -> Path | None:
    """A copy of a folder that shares its bytes where the file system allows; None when it could not be made.

    An older copy at `target` is replaced. The copy appears whole or not at all.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft, copy_function=_link_or_copy)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        _log.warning("trackbridge could not keep checkpoint %s: %s. Training goes on.", source, error)
        return None
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
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
    if path.is_file():
        return path.stat().st_size, _sha256(path)
    total, lines = 0, []
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        total += file.stat().st_size
        lines.append(f"{file.relative_to(path).as_posix()}\0{_sha256(file)}\n")
    return total, hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _sha256(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()
