"""A lock of the operating system on a file, which a killed holder cannot leave behind: one relay per run and target."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_log = logging.getLogger(__name__)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """True while this process holds the lock; False when another one does.

    Raises:
        OSError: the file cannot be made: its folder is gone or read-only.
    """
    fd, is_ours = _open_and_try(path)
    try:
        yield is_ours
    finally:
        os.close(fd)


def _open_and_try(path: Path) -> tuple[int, bool]:
    fd = _open(path)
    try:
        return fd, _try_lock(fd)
    except OSError as error:
        # Lustre without the mount option `flock`, NFS without a lock service.
        _log.warning("%s cannot be locked (%s): it is guarded on this machine only", path, error.strerror)
        os.close(fd)
    fd = _open(local_stand_in(path))
    return fd, _try_lock(fd)


def local_stand_in(path: Path) -> Path:
    """What is locked instead where the file system has no locks."""
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
    return Path(tempfile.gettempdir()) / f"trackbridge-{name}.lock"


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o644)


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
