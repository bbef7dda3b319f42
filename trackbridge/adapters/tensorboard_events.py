"""
TensorBoard's event files, written without TensorBoard: TFRecord frames around `tensorboard.Event` messages.

Sources: the frame and the mask of its checksums are those of `tensorflow/core/lib/io/record_writer.cc`, CRC-32C
that of RFC 3720 appendix B.4; field numbers are those of `tensorboard/compat/proto/*.proto` and
`tensorboard/plugins/hparams/*.proto`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, TypeAlias

Hyperparameter: TypeAlias = bool | int | float | str | None

_DT_FLOAT, _DT_DOUBLE, _DT_STRING = 1, 2, 7
_SCALAR, _TENSOR, _BLOBS = 1, 2, 3
_STATUS = {"success": 1, "failure": 2}
_LARGEST_EXACT_INT = 2**53


def version_record(time_s: float) -> bytes:
    """The record that has to come first in a file; its time is when the run started."""
    return _record(_event(time_s, 0) + _field(3, b"brain.Event:2"))


def start_record(time_s: float, step: int) -> bytes:
    """The start of a session: each but the first makes TensorBoard hide everything before it from `step` on."""
    start = 1
    return _record(_event(time_s, step) + _field(7, _number(1, start)))


def record(time_s: float, step: int, values: Sequence[bytes]) -> bytes:
    """Values at one step: any of `scalar`, `text`, `image`, `histogram`, `hyperparameters`, `session_end`."""
    return _record(_event(time_s, step) + _field(5, b"".join(_field(1, value) for value in values)))


def scalar(tag: str, value: float) -> bytes:
    """One number: as float32, which is all that TensorBoard's data server loads, and beside it as float64."""
    head, between = _around_scalar(tag)
    return head + _float32(value) + between + struct.pack("<d", value)


def text(tag: str, content: str, *, description: str = "") -> bytes:
    """A text, which TensorBoard shows as Markdown; the description stands in the file only."""
    tensor = _tensor(_DT_STRING, (), _field(8, content.encode()))
    return _value(tag, "text", _TENSOR, tensor, description=description)


def image(tag: str, width: int, height: int, content: bytes) -> bytes:
    """An encoded picture: PNG, JPEG, GIF or SVG."""
    strings = (str(width).encode(), str(height).encode(), content)
    return _value(tag, "images", _BLOBS, _tensor(_DT_STRING, (3,), b"".join(_field(8, one) for one in strings)))


def histogram(tag: str, edges: Sequence[float], counts: Sequence[int], *, description: str = "") -> bytes:
    """Counts between n + 1 edges; the description stands in the file only."""
    bins = [number for bin_ in zip(edges, edges[1:], counts, strict=False) for number in bin_]
    packed = _field(4, struct.pack(f"<{len(bins)}d", *bins))
    return _value(tag, "histograms", _TENSOR, _tensor(_DT_DOUBLE, (len(bins) // 3, 3), packed), description=description)


def hyperparameters(values: Mapping[str, Hyperparameter], started_s: float) -> bytes:
    """What the HPARAMS page shows of a run; the first such value in a run's folder counts."""
    pairs = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _hyperparameter(value))) for name, value in values.items()
    )
    return _hparams("_hparams_/session_start_info", _field(3, pairs + _double(5, started_s)))


def session_end(status: Literal["success", "failure"], ended_s: float) -> bytes:
    """How a run ended, for the HPARAMS page."""
    return _hparams("_hparams_/session_end_info", _field(4, _number(1, _STATUS[status]) + _double(2, ended_s)))


def masked_crc32c(content: bytes) -> int:
    """The checksum of a TFRecord: CRC-32C, rotated and moved so that a file in a file does not look like one."""
    table, crc = _crc_table(), 0xFFFFFFFF
    n_halves = len(content) // 2
    for half in struct.unpack_from(f"<{n_halves}H", content):
        crc = (crc >> 16) ^ table[(crc ^ half) & 0xFFFF]
    if len(content) % 2:
        crc = (crc >> 8) ^ table[((crc ^ content[-1]) & 0xFF) << 8]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    # Two bytes a step: half the iterations of the usual table of 256, which pays for its 65,536 entries (2 ms) at once.
    import numpy as np

    crc = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        crc = (crc >> 1) ^ np.where(crc & 1, np.uint32(0x82F63B78), np.uint32(0))
    entries: list[int] = crc.tolist()
    return entries


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    checked_length = struct.pack("<I", masked_crc32c(length))
    return length + checked_length + content + struct.pack("<I", masked_crc32c(content))


def _event(time_s: float, step: int) -> bytes:
    return _double(1, time_s) + _number(2, step)


def _value(tag: str, plugin: str, data_class: int, tensor: bytes, content: bytes = b"", description: str = "") -> bytes:
    told = _field(3, description.encode()) if description else b""
    metadata = _field(1, _field(1, plugin.encode()) + _field(2, content)) + told + _number(4, data_class)
    return _field(1, tag.encode()) + _field(9, metadata) + _field(8, tensor)


@cache
def _around_scalar(tag: str) -> tuple[bytes, bytes]:
    # A run has a few names and many points: all but the twelve bytes of the number is the same every time. Readers of
    # a DT_FLOAT tensor look at `float_val` only; `double_val` keeps what float32 cannot.
    between = _field(6, bytes(8))[:-8]
    tensor = _tensor(_DT_FLOAT, (), _field(5, bytes(4)) + between + bytes(8))
    return _value(tag, "scalars", _SCALAR, tensor)[: -12 - len(between)], between


def _float32(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _tensor(data_type: int, shape: tuple[int, ...], content: bytes) -> bytes:
    dimensions = b"".join(_field(2, _number(1, size)) for size in shape)
    return _number(1, data_type) + _field(2, dimensions) + content


def _hparams(tag: str, content: bytes) -> bytes:
    nothing = _tensor(_DT_FLOAT, (1,), _field(5, bytes(4)))
    return _value(tag, "hparams", _TENSOR, nothing, content)


def _hyperparameter(value: Hyperparameter) -> bytes:
    if isinstance(value, bool):
        return _number(4, value)
    if value is None or isinstance(value, str) or not math.isfinite(value) or abs(value) > _LARGEST_EXACT_INT:
        return _field(3, str(value).encode())
    return _double(2, float(value))


# Protocol buffers: a field is its number and wire type (0 varint, 1 eight bytes, 2 length and bytes), then its content.
# Source: https://protobuf.dev/programming-guides/encoding/


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*groups, value))
