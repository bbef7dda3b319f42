"""
Pictures, tables, histograms and texts: each knows the bytes and the suffix of the one file it becomes.

A matplotlib or PIL figure is an image, a plotly figure keeps its JSON; all are recognised by their module,
none is imported here.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trackbridge.errors import MisuseError
from trackbridge.events.models import MediaType
from trackbridge.events.values import as_json, as_labels, as_text, clean_text, shown
from trackbridge.journal.codec import encode_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNATURES = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): "png",
    re.compile(rb"\xff\xd8\xff"): "jpg",
    re.compile(rb"GIF8"): "gif",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "webp",
    re.compile(rb"\s*(<\?xml.{0,2000}?)?<svg", re.DOTALL): "svg",
}


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
        self.columns = as_labels("columns", columns)
        if not isinstance(rows, Iterable):
            raise MisuseError(f"rows is {shown(rows)} ({type(rows).__name__}); expected one sequence of values per row")
        self.rows = [_as_row(number, row, len(self.columns)) for number, row in enumerate(rows)]
        self.caption = _as_caption(caption)

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
        self.caption = _as_caption(caption)

    def encode(self) -> Encoded:
        """UTF-8 text."""
        return Encoded(self.text.encode("utf-8"), "txt")


class Histogram:
    """The distribution of many values in `bins` equal bins; non-finite values are counted apart."""

    media: MediaType = "histogram"

    def __init__(self, values: Any, *, bins: int = 64, caption: str | None = None) -> None:
        import numpy as np

        if type(bins) is not int or bins < 1:
            raise MisuseError(f"bins is {shown(bins)}; expected an integer from 1 on")
        array = _as_array(values)
        if array.dtype.kind not in "biuf":
            raise MisuseError(f"tb.Histogram takes numbers, not an array of {array.dtype}")
        flat = array.astype(np.float64).ravel()
        finite = flat[np.isfinite(flat)]
        counts, edges = _histogram(finite, bins)
        self.counts: list[int] = counts.tolist()
        self.edges: list[float] = edges.tolist()
        self.n_nonfinite = int(flat.size - finite.size)
        self.caption = _as_caption(caption)

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
        self.caption = _as_caption(caption)

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


def _as_caption(caption: object) -> str | None:
    return None if caption is None else as_text("caption", caption)


def _as_row(number: int, row: object, n_columns: int) -> list[Any]:
    if isinstance(row, str) or not isinstance(row, Iterable):
        told = f"{shown(row)} ({type(row).__name__})"
        raise MisuseError(f"table row {number} is {told}; expected a sequence of {n_columns} values")
    copied: list[Any] = as_json(list(row), where=f"table row {number}")
    if len(copied) != n_columns:
        raise MisuseError(f"table row {number} has {len(copied)} values for {n_columns} columns")
    return copied


def _histogram(finite: NDArray[np.float64], bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    import numpy as np

    try:
        with np.errstate(over="raise"):
            return np.histogram(finite, bins=bins)
    except (ValueError, FloatingPointError):
        # Floats so near or so far from each other have no edges in between: they share one bin.
        return np.array([finite.size]), np.array([finite.min(), finite.max()])


def _encode_picture(picture: Any) -> Encoded:
    if isinstance(picture, (str, Path)):
        try:
            return _recognised(Path(picture).read_bytes(), shown(str(picture)))
        except OSError as error:
            raise MisuseError(f"picture {str(picture)!r} cannot be read: {error.strerror}") from error
    if isinstance(picture, (bytes, bytearray)):
        return _recognised(bytes(picture), f"{len(picture)} bytes")
    buffer = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(buffer, format="png", bbox_inches="tight")
        return Encoded(buffer.getvalue(), "png")
    if type(picture).__module__.partition(".")[0] == "PIL":
        picture.save(buffer, format="PNG")
        return Encoded(buffer.getvalue(), "png")
    return Encoded(_png(_as_pixels(picture)), "png")


def _recognised(content: bytes, told_as: str) -> Encoded:
    for signature, suffix in _SIGNATURES.items():
        if signature.match(content):
            return Encoded(content, suffix)
    raise MisuseError(f"{told_as} starting with {content[:8]!r} are no PNG, JPEG, GIF, WebP or SVG picture")


def _as_array(values: Any) -> NDArray[Any]:
    import numpy as np

    if callable(getattr(values, "detach", None)):
        tensor = values.detach().cpu()
        # NumPy has no bfloat16.
        return np.asarray(tensor.float() if "bfloat16" in str(tensor.dtype) else tensor)
    return np.asarray(values)


def _as_pixels(picture: Any) -> NDArray[np.uint8]:
    import numpy as np

    array = _as_array(picture)
    if array.dtype.kind not in "biuf":
        raise MisuseError(f"tb.Image takes a path, encoded bytes, a figure or an array, not {shown(picture)}")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise MisuseError(
            "an image array has the shape height x width, or height x width x 1, 3 or 4; this one has"
            f" {array.shape}: for channels first, transpose it to height x width x channels"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not np.all((array >= 0) & (array <= 1)):
        told = f"{array.dtype} from {array.min()} to {array.max()}"
        raise MisuseError(f"an image array is uint8, or floats from 0 to 1; this one is {told}")
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
