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
import weakref
import zlib
from collections import Counter
from collections.abc import Callable
from os import write as os_write
from pathlib import Path
from time import time_ns
from typing import Any

from msgspec.structs import replace

from trackbridge.errors import JournalWriteError, RunClosedError
from trackbridge.events.models import EventsDropped, Integrity, KnownEvent, MetricsLogged, WriterOpened
from trackbridge.journal.codec import crc_covered, encode, encode_finite
from trackbridge.journal.paths import journal_file, new_id
from trackbridge.journal.process import started_s

INTEGRITY_EVERY_LINES = 4000
_LINES_BEFORE_LAST = INTEGRITY_EVERY_LINES - 1
SYNC_EVERY_NS = 5_000_000_000
DEATH_TIMEOUT_S = 2.0
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

        `after_sync` may be set to something to look after every few seconds in which events are written.

        Raises:
            OSError: the folder cannot be written at all (permission, not a folder); a full disk does not raise.
        """
        self.folder = folder
        self._identity = {"session_id": new_id(), **identity}
        # The main writer's id is the session's, so that the others of a session can name it.
        self.writer_id = new_id() if identity.get("role") in ("rank", "system") else self._identity["session_id"]
        self._strict = strict
        # Re-entrant: a program's own signal handler may log while this thread is in here.
        self._lock = threading.RLock()
        self._dropped: Counter[str] = Counter()
        self._dropped_since = 0
        self._dropped_reason = ""
        self._warned: set[str] = set()
        self.after_sync: Callable[[], None] | None = None
        # False once the last word is written, and in a forked child, whose run it is not.
        self._may_end = True
        self._is_shut = False
        self._reset()
        self._open_or_note()
        _writers.add(self)

    def _reset(self) -> None:
        self._fd = _CLOSED
        self._seq = 0
        self._pending = b""
        # Lines since the last integrity line, kept until it: one checksum over many is cheaper than many.
        self._unchecked: list[bytes] = []
        # When there is more to do than to write a line; 0 while the disk makes trouble.
        self._chores_due = 0

    @property
    def path(self) -> Path:
        """The journal file."""
        return journal_file(self.folder, self.writer_id)

    def append(self, kind: type[KnownEvent], **fields: Any) -> bool:
        """True when the event is written; False when the disk refused it and it was counted as dropped.

        Raises:
            JournalWriteError: the disk refused it and the writer is strict.
            RunClosedError: the writer is closed.
        """
        with self._lock:
            return self._write(kind, fields)

    def append_finite(self, step: int, metrics: dict[str, float], epoch: float | None = None) -> bool:
        """The same for finite numbers: the call in a training loop, straight to the one `write` if nothing is due."""
        with self._lock:
            now, seq = time_ns(), self._seq
            line = encode_finite(seq, now, step, metrics, epoch)
            # What `_put` does; calling it would cost a tenth of all this.
            if seq == self._seq and now < self._chores_due and len(self._unchecked) < _LINES_BEFORE_LAST:
                self._seq = seq + 1
                self._unchecked.append(line)
                try:
                    written = os_write(self._fd, line)
                except OSError:
                    # Tried again below, where it is counted as dropped and told.
                    self._seq = seq
                    self._unchecked.pop()
                else:
                    if written != len(line):
                        self._pending = line[written:]
                        self._do_chores()
                    return True
            return self._write(MetricsLogged, {"step": step, "metrics": metrics, "epoch": epoch})

    def _write(self, kind: type[KnownEvent], fields: dict[str, Any]) -> bool:
        if self._is_shut:
            raise RunClosedError(
                f"{self.path} was closed before this event: end a run after the threads that log to it"
            )
        try:
            self._catch_up()
            self._write_line(kind, **fields)
        except OSError as error:
            self._count(kind, error)
            return False
        self._do_chores()
        return True

    def _catch_up(self) -> None:
        """Open the file, finish a torn line and tell what was dropped, where any of it is due."""
        if self._fd == _CLOSED:
            self._open()
        self._write_pending()
        if self._dropped:
            counts, reason = dict(self._dropped), self._dropped_reason
            self._write_line(EventsDropped, counts=counts, reason=reason, since_t=self._dropped_since)
            self._dropped.clear()

    def _do_chores(self) -> None:
        """What is due after a line: the rest of it, a checksum, the platter."""
        due, self._chores_due = self._chores_due, 0
        try:
            self._write_pending()
            if len(self._unchecked) >= INTEGRITY_EVERY_LINES:
                self._write_integrity()
        except OSError as error:
            self._note_trouble(error)
        if time_ns() >= due:
            self._sync()
            if self.after_sync is not None:
                self.after_sync()
        elif not self._pending:
            self._chores_due = due

    def drop(self, kind: type[KnownEvent], error: OSError) -> None:
        """Count an event as dropped because the file that belongs to it could not be stored.

        Raises:
            JournalWriteError: the writer is strict.
        """
        with self._lock:
            self._count(kind, error)

    def tell(self, error: OSError) -> None:
        """Warn of trouble with a file beside the journal, once per kind of trouble.

        Raises:
            JournalWriteError: the writer is strict.
        """
        with self._lock:
            self._note_trouble(error)

    def sync(self) -> None:
        """Write an integrity line and ask the disk to hold everything so far."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        if self._fd == _CLOSED and not self._dropped:
            return
        self._chores_due = 0
        try:
            self._catch_up()
            self._write_integrity()
        except OSError as error:
            self._note_trouble(error)
        if self._fd != _CLOSED:
            self._sync()

    def close(self) -> None:
        """Write the last integrity line, sync and close the file."""
        with self._lock:
            try:
                self._settle()
            finally:
                self._shut()

    def end(self, kind: type[KnownEvent], **fields: Any) -> None:
        """Write the last event and close. A forked child only closes: the run is not its to end."""
        with self._lock:
            try:
                self._write_end(kind, fields)
            finally:
                self._shut()

    def end_for_death(self, kind: type[KnownEvent], **fields: Any) -> None:
        """The same for a process about to die by a signal, but keep the lock, so that nobody writes after it.

        Whoever logs meanwhile waits for a death that is near. A disk that hangs must not keep the process alive.
        """
        if self._lock.acquire(timeout=DEATH_TIMEOUT_S):
            self._write_end(kind, fields)

    def _write_end(self, kind: type[KnownEvent], fields: dict[str, Any]) -> None:
        if self._may_end:
            self._may_end = False
            self._write(kind, fields)
        self._settle()

    def _shut(self) -> None:
        _writers.discard(self)
        self._is_shut, self._chores_due = True, 0
        self._close_file()

    def _close_file(self) -> None:
        fd, self._fd = self._fd, _CLOSED
        try:
            if fd != _CLOSED:
                os.close(fd)
        except OSError as error:
            # NFS tells of a full disk here.
            self._note_trouble(error)

    def _open_or_note(self) -> None:
        try:
            self._open()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):
                raise
            self._note_trouble(error)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(self.path, flags | getattr(os, "O_CLOEXEC", 0), 0o644)
        opened = WriterOpened(seq=0, t=time_ns(), writer_id=self.writer_id, **self._identity)
        line = encode(opened)
        try:
            _write_whole(fd, line)
        except OSError:
            os.close(fd)
            self.path.unlink()
            raise
        self._reset()
        self._fd, self._seq, self._unchecked = fd, 1, [line]
        self._chores_due = time_ns() + SYNC_EVERY_NS

    def _write_line(self, kind: type[KnownEvent], **fields: Any) -> None:
        def build() -> tuple[bytes, list[bytes]]:
            line = encode(kind(**{"seq": self._seq, "t": time_ns(), **fields}))
            return line, [*self._unchecked, line]

        self._put(build)

    def _put(self, build: Callable[[], tuple[bytes, list[bytes]]]) -> None:
        """A line after what is pending, and the lines without a checksum from then on; an OSError changes nothing."""
        self._write_pending()
        while True:
            before = self._seq, self._unchecked
            line, unchecked = build()
            # Else a signal handler logged meanwhile, and the line's number is taken.
            if self._seq == before[0]:
                break
        # Counted first: Ctrl-C may strike as the write returns, with the line in the file.
        self._seq, self._unchecked = before[0] + 1, unchecked
        try:
            self._pending = line[os_write(self._fd, line) :]
        except OSError:
            self._seq, self._unchecked = before
            raise

    def _write_pending(self) -> None:
        # What the disk did not take goes before anything else: a line may be torn, never interleaved.
        while self._pending:
            self._pending = self._pending[os_write(self._fd, self._pending) :]

    def _write_integrity(self) -> None:
        if self._unchecked:
            self._put(self._build_integrity)
            self._write_pending()

    def _build_integrity(self) -> tuple[bytes, list[bytes]]:
        covered = b"".join(self._unchecked)
        draft = Integrity(seq=self._seq, t=time_ns(), size_bytes=len(covered), crc32=0)
        crc = zlib.crc32(crc_covered(encode(draft)), zlib.crc32(covered))
        return encode(replace(draft, crc32=crc)), []

    def _sync(self) -> None:
        self._chores_due = 0 if self._pending else time_ns() + SYNC_EVERY_NS
        try:
            _sync_file(self._fd)
        except OSError as error:
            self._note_trouble(error)

    def _count(self, kind: type[KnownEvent], error: OSError) -> None:
        self._chores_due = 0
        if not self._dropped:
            self._dropped_since = time_ns()
        self._dropped[str(kind.__struct_config__.tag)] += 1
        self._dropped_reason = _name(error)
        self._note_trouble(error)

    def _note_trouble(self, error: OSError) -> None:
        name, path = _name(error), error.filename or self.path
        if self._strict:
            raise JournalWriteError(error.errno, f"cannot write {path}: {error.strerror} ({name})") from error
        if name not in self._warned:
            self._warned.add(name)
            _log.warning(
                "trackbridge cannot write %s: %s (%s). Training goes on; events are counted as dropped until"
                " there is room, and the journal will say how many.",
                path, error.strerror, name,
            )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """For a spawned worker, which writes on in a journal of its own, as a forked one does."""
        return {**self.__dict__, "_lock": None, "_fd": _CLOSED, "_unchecked": [], "after_sync": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._continue_in_child()
        _writers.add(self)

    def _continue_in_child(self) -> None:
        # The parent's lock may be held by a thread that does not exist here, and its file is the parent's.
        self._lock = threading.RLock()
        fd = self._fd
        self._reset()
        self._dropped.clear()
        if fd != _CLOSED:
            os.close(fd)
        self.writer_id = new_id()
        self._may_end = False
        self._identity = {**self._identity, "role": "child", "pid": os.getpid(), "pid_started": started_s(os.getpid())}


def _write_whole(fd: int, line: bytes) -> None:
    while line:
        line = line[os_write(fd, line) :]


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._continue_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
