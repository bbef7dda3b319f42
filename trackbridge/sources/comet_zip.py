"""
Zip archives of unknown origin: what they hold is checked before any of it is unpacked, and nothing is unpacked to disk.

An archive that was cut off has no table of contents any more; its members are then found by the header that stands
before each. Source of the format: APPNOTE.TXT of PKWARE, sections 4.3 and 4.4.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import SourceFile
from trackbridge.sources.files import checked_name

MAX_MEMBERS = 1_000_000
MAX_UNPACKED_BYTES = 1 << 40
# Deflate packs at most 1,032 to 1, and the text of a long training about 30 to 1.
MAX_RATIO = 200
UNSUSPICIOUS_BYTES = 256 << 20

_HEADER = struct.Struct("<4sHHHHHLLLHH")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_STORED, _DEFLATED = 0, 8
_BLOCK_BYTES = 1 << 16
_TOO_LARGE_FOR_32_BITS = 0xFFFFFFFF


class _Member(NamedTuple):
    """A member: where its bytes begin, how many there are packed and unpacked, and the CRC-32 of the latter."""

    name: str
    method: int
    start: int
    packed_bytes: int
    size_bytes: int
    crc: int
    is_encrypted: bool


def zip_members(path: Path) -> dict[str, SourceFile]:
    """The members of an archive by name, called `<archive>/<name>`; of several of one name the last.

    Reading one raises `OSError` where it is damaged.

    Raises:
        SourceRefused: it was made to do harm.
        OSError: the file cannot be read.
    """
    members = _members(path)
    _check(path, members)
    return {one.name: SourceFile(f"{path.name}/{one.name}", partial(_opened, path, one)) for one in members}


def zip_holds(path: Path, name: str) -> bool:
    """True for an archive with a member of this name, however it came there.

    Raises:
        OSError: the file cannot be read.
    """
    return any(one.name == name for one in _members(path))


def _members(path: Path) -> list[_Member]:
    try:
        return _listed(path)
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError):
        return list(_scanned(path))


def _listed(path: Path) -> list[_Member]:
    """The members by the table of contents at the archive's end."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = []
        for info in archive.infolist():
            if info.is_dir():
                continue
            file.seek(info.header_offset)
            start = _start(file.read(_HEADER.size), info.header_offset)
            sizes = (info.compress_size, info.file_size, info.CRC)
            is_encrypted = bool(info.flag_bits & _ENCRYPTED)
            members.append(_Member(info.filename, info.compress_type, start, *sizes, is_encrypted))
        return members


def _scanned(path: Path) -> Iterator[_Member]:
    """The members by the header before each, up to the first place where there is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(_HEADER.size)
            try:
                start = _start(head, at)
            except ValueError:
                return
            _, _, flags, method, _, _, crc, packed, unpacked, name_bytes, extra_bytes = _HEADER.unpack(head)
            name = file.read(name_bytes).decode("utf-8", "replace")
            if packed == _TOO_LARGE_FOR_32_BITS:
                packed, unpacked = _large_sizes(file.read(extra_bytes), packed, unpacked)
            if flags & _SIZES_FOLLOW and not packed:
                # Where it ends is written behind it, and nobody knows where that is.
                packed = unpacked = size - start
            if not name.endswith("/"):
                yield _Member(name, method, start, packed, unpacked, crc, bool(flags & _ENCRYPTED))
            at = start + packed


def _start(head: bytes, at: int) -> int:
    if len(head) < _HEADER.size or not head.startswith(_SIGNATURE):
        raise ValueError(f"there is no member at byte {at}")
    *_, name_bytes, extra_bytes = _HEADER.unpack(head)
    return int(at + _HEADER.size + name_bytes + extra_bytes)


def _large_sizes(extra: bytes, packed: int, unpacked: int) -> tuple[int, int]:
    """The sizes in the extra field of archives above 4 GB."""
    if match := re.search(rb"\x01\x00\x10\x00(.{16})", extra, re.DOTALL):
        unpacked, packed = struct.unpack("<QQ", match[1])
    return packed, unpacked


def _check(path: Path, members: Sequence[_Member]) -> None:
    if len(members) > MAX_MEMBERS:
        raise SourceRefused(f"{path.name} holds {len(members):,} files")
    archive_bytes = path.stat().st_size
    unpacked = end = 0
    for one in sorted(members, key=lambda member: member.start):
        checked_name(one.name, named_by=path.name)
        if one.is_encrypted:
            raise SourceRefused(f"{path.name} holds {one.name!r} encrypted: unpack it, and import the folder")
        if one.method not in (_STORED, _DEFLATED):
            raise SourceRefused(f"{path.name} packs {one.name!r} in a way (method {one.method}) that Comet never does")
        if one.start < end:
            # https://www.bamsoftware.com/hacks/zipbomb/
            raise SourceRefused(f"{path.name} uses the same bytes for {one.name!r} and for another file")
        end = one.start + one.packed_bytes
        unpacked += one.size_bytes
    if unpacked > MAX_UNPACKED_BYTES or unpacked > max(UNSUSPICIOUS_BYTES, MAX_RATIO * archive_bytes):
        raise SourceRefused(f"{path.name} has {archive_bytes:,} bytes and says that it unpacks to {unpacked:,}")


def _opened(path: Path, member: _Member) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_MemberReader(path, member), _BLOCK_BYTES))


class _MemberReader(io.RawIOBase):
    """The bytes of a member, never more than it says that it has; damage is an `OSError` behind what can be read."""

    def __init__(self, path: Path, member: _Member) -> None:
        self._file = path.open("rb")
        self._file.seek(member.start)
        self._member = member
        self._packed_left = member.packed_bytes
        self._left = member.size_bytes
        self._inflating = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
        self._crc = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast(bytearray, buffer)).cast("B")
        wanted = min(len(target), self._left)
        if not wanted:
            self._check_sum()
            return 0
        content = self._next(wanted)
        if not content:
            raise OSError(f"the archive ends {self._left:,} bytes before the end of this file")
        target[: len(content)] = content
        self._left -= len(content)
        self._crc = zlib.crc32(content, self._crc)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check_sum(self) -> None:
        if self._member.crc and self._crc != self._member.crc:
            raise OSError("its checksum does not match: bytes of it were changed")

    def _next(self, wanted: int) -> bytes:
        if self._inflating is None:
            return self._packed(wanted)
        content = b""
        while not content and not self._inflating.eof:
            packed = self._inflating.unconsumed_tail or self._packed(_BLOCK_BYTES)
            try:
                content = self._inflating.decompress(packed, wanted)
            except zlib.error as error:
                raise OSError(f"it cannot be unpacked: {error}") from error
            if not packed and not content:
                return b""
        return content

    def _packed(self, wanted: int) -> bytes:
        content = self._file.read(min(wanted, self._packed_left))
        self._packed_left -= len(content)
        return content
