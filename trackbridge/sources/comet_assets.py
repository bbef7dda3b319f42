"""Files of a Comet experiment in the journal's words: media where they are some, else artifacts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trackbridge.events.models import MediaType
from trackbridge.journal.codec import encode_json
from trackbridge.sources.base import Fact, SourceArtifact, SourceFile, SourceMedia, SourceProblem, Unmapped
from trackbridge.sources.comet_messages import Message, read_json
from trackbridge.sources.pictures import picture_suffix

# Comet's page shows texts without a name.
UNNAMED_TEXT = "auto-generated-in-the-backend"
_MAX_TABLE_BYTES = 64 << 20
_MAX_BINS = 10_000


class Asset(NamedTuple):
    """A file as Comet describes it; `line` says where it is told of."""

    t: int
    name: str
    type: str
    step: int
    file: SourceFile
    metadata: Mapping[str, Any]
    line: str = ""


def asset_of(message: Message, file: SourceFile) -> Asset:
    """The asset of a `file_upload` message."""
    parameters, metadata = (message.payload.get(key) or {} for key in ("additional_params", "metadata"))
    kind = str(parameters.get("type") or message.payload.get("upload_type") or "asset")
    name = str(parameters.get("figName") or parameters.get("fileName") or message.payload.get("file_path"))
    if group := parameters.get("groupingName"):
        name = f"{group}/{name}"
    step = parameters.get("step")
    whole = int(step) if isinstance(step, (int, float)) and math.isfinite(step) else 0
    return Asset(message.t, name, kind, whole, file, metadata, f"line {message.line}")


def asset_facts(asset: Asset) -> Iterator[Fact]:
    """What an asset is here; one that is not what its type says is kept as a file."""
    if asset.metadata:
        # Many texts have one name and one step; where they are told of differs.
        yield Unmapped(asset.t, f"metadata/{asset.name}/{asset.line}", dict(asset.metadata))
    try:
        yield _MEDIA.get(_kind(asset), _file)(asset)
    except OSError as error:
        yield SourceProblem(asset.file.name, asset.line, f"{asset.name} cannot be read: {error}")
    except (ValueError, LookupError, TypeError, OverflowError, csv.Error):
        yield _file(asset)


def media_of(asset: Asset, name: str, media: MediaType, suffix: str, content: bytes | None = None) -> SourceMedia:
    """Media of this content, or of the asset's own bytes."""
    file = asset.file if content is None else SourceFile.of(asset.file.name, content)
    return SourceMedia(asset.t, name, asset.step, media, suffix, file)


def picture(asset: Asset) -> Fact:
    """A picture by its first bytes; a file where these are those of none."""
    with asset.file.open() as file:
        start = file.read(16)
    suffix = picture_suffix(start)
    return _file(asset) if suffix is None else media_of(asset, asset.name, "image", suffix)


def histogram(asset: Asset) -> Fact:
    """A histogram of Comet's, whose bins grow by a factor from the middle to both sides, with its bins spelled out."""
    told = read_json(asset.file)
    ratio, first, last = (float(told[key]) for key in ("step", "start", "stop"))
    n_bins = math.log(last / first) / math.log(ratio)
    if told.get("values") or told.get("offset") or not 0 < n_bins < _MAX_BINS:
        return _file(asset)
    counts = {int(index): count for index, count in told["index_values"]}
    if not counts:
        return _file(asset)
    positive = [first]
    while positive[-1] * ratio <= last:
        positive.append(positive[-1] * ratio)
    # What comet_ml.Histogram calls a bin's index: from the most negative to the largest, 0 being an edge in the middle.
    edges = [*(-edge for edge in reversed(positive)), 0.0, *positive]
    low, high = min(counts), max(counts)
    if low < 1 or high >= len(edges):
        return _file(asset)
    content = {"edges": edges[low - 1 : high + 1], "counts": [counts.get(index, 0) for index in range(low, high + 1)]}
    return media_of(asset, asset.name, "histogram", "json", encode_json(content))


def text(asset: Asset) -> Fact:
    """A text; Comet gives it no name."""
    return media_of(asset, "text" if asset.name == UNNAMED_TEXT else asset.name, "text", "txt")


def table(asset: Asset) -> Fact:
    """A table from CSV, which tells of no types: its cells are texts."""
    with asset.file.open() as file:
        content = file.read(_MAX_TABLE_BYTES + 1)
    if len(content) > _MAX_TABLE_BYTES:
        return _file(asset)
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return _file(asset)
    table = encode_json({"columns": rows[0], "rows": rows[1:]})
    return media_of(asset, asset.name.removesuffix(".csv"), "table", "json", table)


def _kind(asset: Asset) -> str:
    return "table" if asset.type == "asset" and asset.name.lower().endswith(".csv") else asset.type


def _file(asset: Asset) -> SourceArtifact:
    return SourceArtifact(asset.t, asset.name, asset.type, SourceFile(asset.name, asset.file.open))


_MEDIA = {"image": picture, "visualization": picture, "histogram3d": histogram, "text-sample": text, "table": table}
