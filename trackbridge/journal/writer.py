"""
The append-only writer of one journal file: one process, one file, one `write(2)` a line.

There is no thread, no buffer and no lock file. What `append` returned from has reached the kernel, so it
survives `kill -9`; it reaches the platter on `sync()` and every few seconds in between. When the disk
refuses a line, the event is counted, and an `events_dropped` line says so as soon as writing works again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackbridge.errors import JournalWriteError
from trackbridge.events.models import EventsDropped, Integrity, KnownEvent, WriterOpened
from trackbridge.journal.codec import crc_covered, encode
from trackbridge.journal.paths import journal_file, new_id
from trackbridge.journal.process import started_s

INTEGRITY_EVERY_LINES = 4000
SYNC_EVERY_NS = 5_000_000_000
_CLOSED = -1

_log = logging.getLogger(__name__)
# macOS and Windows have no fdatasync.
_sync_file: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """Appends events to a journal of its own in a run folder. Safe for threads; a forked child gets a new file."""

    def __init__(self, folder: Path, identity: dict[str, Any], *, strict: bool = False) -> None:
        """
        Open a new journal in `folder` (made if missing) whose first line says who writes.

        Args:
            folder: the run folder.
            identity: fields of `WriterOpened` but for `seq`, `t` and `writer_id`.
            strict: raise JournalWriteError when the disk refuses a line.

        Raises:
            OSError: the folder cannot be written at all (permission, not a folder); a full disk does not raise.
        """
        self.folder = folder
        self.writer_id = new_id()
        self._identity = {"session_id": self.writer_id, **identity}
        self._strict = strict
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._dropped_since = 0
        self._dropped_reason = ""
        self._warned: set[str] = set()
        self._reset()
        self._open_or_count()
        _writers.add(self)

    def _reset(self) -> None:
        self._fd = _CLOSED
        self._seq = 0
        self._crc = 0
        self._crc_bytes = 0
        self._lines = 0
        self._pending = b""
        self._sync_due = 0

    @property
    def path(self) -> Path:
        """The journal file."""
        return journal_file(self.folder, self.writer_id)

    def append(self, kind: type[KnownEvent], **fields: Any) -> bool:
        """True when the event is in the file; False when the disk refused it and it was counted as dropped.

        Raises:
            JournalWriteError: the disk refused it and the writer is strict.
        """
        with self._lock:
            now = time.time_ns()
            line = encode(kind(seq=self._seq, t=now, **fields))
            if self._dropped or self._pending or self._fd == _CLOSED:
                return self._append_after_trouble(kind, fields)
            try:
                written = os.write(self._fd, line)
            except OSError as error:
                return self._count(kind, error)
            if written != len(line):
                # The rest goes first at the next append: the line is torn until then, never interleaved.
                self._pending = line[written:]
            self._seq += 1
            self._crc = zlib.crc32(line, self._crc)
            self._crc_bytes += len(line)
            self._lines += 1
            if self._lines >= INTEGRITY_EVERY_LINES:
                self._write_integrity()
            if now >= self._sync_due:
                self._sync(now)
            return True

    def sync(self) -> None:
        """Write an integrity line and ask the disk to hold everything so far."""
        with self._lock:
            if self._fd != _CLOSED:
                self._write_integrity()
                self._sync(time.time_ns())

    def close(self) -> None:
        """Write the last integrity line, sync and close the file. Later appends open nothing new: do not append."""
        self.sync()
        with self._lock:
            _writers.discard(self)
            if self._fd != _CLOSED:
                os.close(self._fd)
                self._fd = _CLOSED

    def _open_or_count(self) -> bool:
        try:
            self._open()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):
                raise
            self._note_trouble(error)
            return False
        return True

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(self.path, flags | getattr(os, "O_CLOEXEC", 0), 0o644)
        opened = WriterOpened(seq=0, t=time.time_ns(), writer_id=self.writer_id, **self._identity)
        line = encode(opened)
        try:
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.close(fd)
            self.path.unlink()
            raise
        self._reset()
        self._fd, self._seq = fd, 1
        self._crc, self._crc_bytes, self._lines = zlib.crc32(line), len(line), 1
        self._sync_due = time.time_ns() + SYNC_EVERY_NS

    def _append_after_trouble(self, kind: type[KnownEvent], fields: dict[str, Any]) -> bool:
        try:
            if self._fd == _CLOSED:
                self._open()
            self._write_pending()
            if self._dropped:
                counts, reason = dict(self._dropped), self._dropped_reason
                self._write_whole(EventsDropped, counts=counts, reason=reason, since_t=self._dropped_since)
                self._dropped.clear()
            self._write_whole(kind, **fields)
        except OSError as error:
            return self._count(kind, error)
        return True

    def _write_pending(self) -> None:
        while self._pending:
            self._pending = self._pending[os.write(self._fd, self._pending) :]

    def _write_whole(self, kind: type[KnownEvent], **fields: Any) -> None:
        self._write_line(encode(kind(seq=self._seq, t=time.time_ns(), **fields)))

    def _write_line(self, line: bytes) -> None:
        written = os.write(self._fd, line)
        self._pending = line[written:]
        self._seq += 1
        self._crc = zlib.crc32(line, self._crc)
        self._crc_bytes += len(line)
        self._lines += 1

    def _write_integrity(self) -> None:
        if self._pending or self._dropped or self._lines == 0:
            return
        event = Integrity(seq=self._seq, t=time.time_ns(), size_bytes=self._crc_bytes, crc32=0)
        covered = crc_covered(encode(event))
        checked = encode(
            Integrity(seq=event.seq, t=event.t, size_bytes=event.size_bytes, crc32=zlib.crc32(covered, self._crc))
        )
        try:
            self._write_line(checked)
        except OSError as error:
            self._note_trouble(error)
            return
        self._crc = self._crc_bytes = self._lines = 0

    def _sync(self, now: int) -> None:
        self._sync_due = now + SYNC_EVERY_NS
        try:
            _sync_file(self._fd)
        except OSError as error:
            self._note_trouble(error)

    def _count(self, kind: type[KnownEvent], error: OSError) -> bool:
        if not self._dropped:
            self._dropped_since = time.time_ns()
        self._dropped[str(kind.__struct_config__.tag)] += 1
        self._dropped_reason = _name(error)
        self._note_trouble(error)
        return False

    def _note_trouble(self, error: OSError) -> None:
        name = _name(error)
        if self._strict:
            raise JournalWriteError(error.errno, f"cannot write {self.path}: {error.strerror} ({name})") from error
        if name not in self._warned:
            self._warned.add(name)
            _log.warning(
                "trackbridge cannot write %s: %s (%s). Training goes on; events are counted as dropped until"
                " there is room, and the journal will say how many.",
                self.path, error.strerror, name,
            )  # fmt: skip

    def _continue_in_child(self) -> None:
        # The parent's lock may be held by a thread that does not exist here, and its file is the parent's.
        self._lock = threading.Lock()
        fd = self._fd
        self._reset()
        self._dropped.clear()
        if fd != _CLOSED:
            os.close(fd)
        self.writer_id = new_id()
        self._identity = {**self._identity, "role": "child", "pid": os.getpid(), "pid_started": started_s(os.getpid())}


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._continue_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
