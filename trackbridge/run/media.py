"""
Pictures, tables, histograms and texts: each knows the bytes and the suffix of the one file it becomes.

A matplotlib or PIL figure is an image, a plotly figure keeps its JSON; all are recognised by their module,
none is imported here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trackbridge.errors import MisuseError
from trackbridge.events.models import MediaType
from trackbridge.events.values import as_json, clean_text
from trackbridge.journal.codec import encode_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp", b"<svg": "svg"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of a media file and its suffix, such as `png`."""

    content: bytes
    suffix: str


class Media(Protocol):
    """What can be logged beside scalars."""

    media: MediaType
    caption: str | None

    def encode(self) -> Encoded:
        """The bytes to store."""


class Table:
    """A table: `columns` are names, `rows` are sequences of JSON-like values of that length."""

    media: MediaType = "table"

    def __init__(self, columns: Iterable[str], rows: Iterable[Sequence[Any]], *, caption: str | None = None) -> None:
        self.columns = [clean_text(str(column)) for column in columns]
        self.rows = [as_json(list(row), where="table row") for row in rows]
        self.caption = caption
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise MisuseError(f"table row {number} has {len(row)} values for {len(self.columns)} columns")

    def encode(self) -> Encoded:
        """JSON: `{"columns": [...], "rows": [[...], ...]}`."""
        return Encoded(encode_json({"columns": self.columns, "rows": self.rows}), "json")


class Text:
    """A text, such as a generated sample."""

    media: MediaType = "text"

    def __init__(self, text: str, *, caption: str | None = None) -> None:
        if not isinstance(text, str):
            raise MisuseError(f"tb.Text takes a string, not {type(text).__name__}")
        self.text = clean_text(text)
        self.caption = caption

    def encode(self) -> Encoded:
        """UTF-8 text."""
        return Encoded(self.text.encode("utf-8"), "txt")


class Histogram:
    """The distribution of many values in `bins` equal bins; non-finite values are counted apart."""

    media: MediaType = "histogram"

    def __init__(self, values: Any, *, bins: int = 64, caption: str | None = None) -> None:
        import numpy as np

        flat = _as_array(values).astype(np.float64).ravel()
        finite = flat[np.isfinite(flat)]
        counts, edges = np.histogram(finite, bins=bins)
        self.counts: list[int] = counts.tolist()
        self.edges: list[float] = edges.tolist()
        self.n_nonfinite = int(flat.size - finite.size)
        self.caption = caption

    def encode(self) -> Encoded:
        """JSON: `{"edges": [n + 1 floats], "counts": [n ints], "n_nonfinite": int}`."""
        content = {"edges": self.edges, "counts": self.counts, "n_nonfinite": self.n_nonfinite}
        return Encoded(encode_json(content), "json")


class Image:
    """A picture: a path, encoded bytes, a PIL image, a matplotlib figure, or an array of height x width [x 1, 3, 4].

    Arrays are uint8, or floats from 0 to 1. A torch picture of channels x height x width wants
    `.permute(1, 2, 0)` first.
    """

    media: MediaType = "image"

    def __init__(self, picture: Any, *, caption: str | None = None) -> None:
        self._encoded = _encode_picture(picture)
        self.caption = caption

    def encode(self) -> Encoded:
        """The picture's own format where it has one, PNG for arrays and figures."""
        return self._encoded


class _PlotlyFigure:
    media: MediaType = "plotly"
    caption: str | None = None

    def __init__(self, figure: Any) -> None:
        self._json = str(figure.to_json())

    def encode(self) -> Encoded:
        return Encoded(self._json.encode("utf-8"), "json")


def as_media(value: object) -> Media | None:
    """The value as media, when it is one of ours or a figure of matplotlib, PIL or plotly; else None."""
    if isinstance(value, (Table, Image, Histogram, Text)):
        return value
    module = type(value).__module__.partition(".")[0]
    if module == "plotly" and hasattr(value, "to_json"):
        return _PlotlyFigure(value)
    if (module == "matplotlib" and hasattr(value, "savefig")) or (module == "PIL" and hasattr(value, "save")):
        return Image(value)
    return None


def _encode_picture(picture: Any) -> Encoded:
    module = type(picture).__module__.partition(".")[0]
    if isinstance(picture, (str, Path)):
        path = Path(picture)
        return Encoded(path.read_bytes(), path.suffix.lstrip(".").lower() or "png")
    if isinstance(picture, (bytes, bytearray)):
        return _recognised(bytes(picture))
    buffer = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(buffer, format="png", bbox_inches="tight")
        return Encoded(buffer.getvalue(), "png")
    if module == "PIL":
        picture.save(buffer, format="PNG")
        return Encoded(buffer.getvalue(), "png")
    return Encoded(_png(_as_pixels(picture)), "png")


def _recognised(content: bytes) -> Encoded:
    for signature, suffix in _SIGNATURES.items():
        if content.startswith(signature):
            return Encoded(content, suffix)
    raise MisuseError(f"{len(content)} bytes starting with {content[:8]!r} are no PNG, JPEG, GIF, WebP or SVG picture")


def _as_array(values: Any) -> NDArray[Any]:
    import numpy as np

    detach = getattr(values, "detach", None)
    return np.asarray(detach().cpu() if callable(detach) else values)


def _as_pixels(picture: Any) -> NDArray[np.uint8]:
    import numpy as np

    array = _as_array(picture)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise MisuseError(
            f"an image array has the shape height x width, or height x width x 1, 3 or 4; this one has {array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not np.all((array >= 0) & (array <= 1)):
        raise MisuseError(f"an image array is uint8, or floats from 0 to 1; this one is {array.dtype} outside of that")
    return (array * 255 + 0.5).astype(np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    # Source: PNG (Portable Network Graphics) Specification, third edition, sections 5 and 11.2. Written here
    # because the alternative is a 7 MB dependency for everyone who logs a heat map.
    height, width, channels = pixels.shape
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
