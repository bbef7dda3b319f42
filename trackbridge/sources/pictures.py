"""Which kind of picture some bytes are, by the first of them: names of files lie, or there are none."""

from __future__ import annotations

_MARKS = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF8": "gif",
    b"RIFF": "webp",
    b"BM": "bmp",
    b"<svg": "svg",
    b"<?xml": "svg",
}
SUFFIXES = frozenset((*_MARKS.values(), "jpeg"))
"""What the names of pictures end in."""


def picture_suffix(start: bytes) -> str | None:
    """The suffix of a picture that starts so, at least its first 16 bytes; None where it is none that is known."""
    return next((suffix for mark, suffix in _MARKS.items() if start.startswith(mark)), None)
