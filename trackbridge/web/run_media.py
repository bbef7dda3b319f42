"""Pictures, tables, histograms and texts of a run, step by step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackbridge.errors import NotFoundError
from trackbridge.report.chart import Chart, Line, Size, draw_chart
from trackbridge.report.html import lines_html, table_html
from trackbridge.report.markup import element, text
from trackbridge.report.tables import Cell, Column, Table
from trackbridge.report.text import number_text, value_text
from trackbridge.store.media import read_media
from trackbridge.store.records import Media, RunRecord
from trackbridge.web.catalogue import Catalogue

MAX_TABLE_ROWS = 200
MAX_TEXT_CHARS = 100_000
MAX_CELL_CHARS = 500
N_SHADES = 10
_HISTOGRAM_SIZES = ((Size(720, 280), "wide"), (Size(350, 240), "narrow"))
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml"}


def media_names(run: RunRecord) -> dict[str, list[int]]:
    """Per name the steps it was logged at, in order; what a resume superseded is left out."""
    steps: dict[str, set[int]] = {}
    for one in run.media:
        if not one.superseded:
            steps.setdefault(one.name, set()).add(one.step)
    return {name: sorted(found) for name, found in steps.items()}


def media_panel(catalogue: Catalogue, run_id: str, name: str, step: str) -> dict[str, Any]:
    """One thing logged at one step, as markup; the last one where no step is named.

    Raises:
        NotFoundError: there is no such run, name or step.
    """
    run = catalogue.run(run_id)
    logged = {one.step: index for index, one in enumerate(run.media) if one.name == name and not one.superseded}
    if not logged:
        raise NotFoundError(f"run {run.name!r} has logged nothing under {name!r}")
    wanted = int(step) if step.lstrip("-").isdecimal() else max(logged)
    if wanted not in logged:
        raise NotFoundError(f"{name!r} was not logged at step {wanted}")
    index = logged[wanted]
    media = run.media[index]
    caption = element("figcaption", text(media.caption[:MAX_CELL_CHARS])) if media.caption else ""
    return {"step": wanted, "html": element("figure", caption, _shown(run, media, index))}


def media_bytes(catalogue: Catalogue, run_id: str, index: int) -> tuple[bytes, str]:
    """A logged file and its type; anything that is no picture is plain text, whatever it says of itself.

    Raises:
        NotFoundError: there is no such run or file.
    """
    run = catalogue.run(run_id)
    if index >= len(run.media):
        raise NotFoundError(f"run {run.name!r} has {len(run.media)} files, none of number {index}")
    media = run.media[index]
    suffix = media.path.rpartition(".")[2].lower()
    kind = _PICTURES.get(suffix) if media.media == "image" else None
    return read_media(run, media), kind or "text/plain; charset=utf-8"


def _shown(run: RunRecord, media: Media, index: int) -> str:
    address = f"/run/{run.run_id}/file/{index}"
    if media.media == "image":
        return element("img", src=address, alt=media.caption or f"{media.name} at step {media.step}", loading="lazy")
    content = read_media(run, media)
    try:
        if media.media == "table":
            return _table(media, json.loads(content))
        if media.media == "histogram":
            return _histogram(media, json.loads(content))
    except (ValueError, KeyError, TypeError, IndexError):
        return element("p", "This file is not what its journal says it is.", class_="bad") + _link(address)
    if media.media == "text":
        return lines_html(content[:MAX_TEXT_CHARS].decode("utf-8", "replace"))
    return _link(address)


def _link(address: str) -> str:
    return element("p", element("a", "Open the file", href=address))


def _table(media: Media, content: Any) -> str:
    columns, rows = [str(name) for name in content["columns"]], content["rows"]
    shades = _shades(rows)
    cells = tuple(
        tuple(_cell(value, shades, line, at) for at, value in enumerate(row[: len(columns)]))
        for line, row in enumerate(rows[:MAX_TABLE_ROWS])
    )
    heads = tuple(Column(name, "right" if _is_numeric(rows, at) else "left") for at, name in enumerate(columns))
    more = f"The first {MAX_TABLE_ROWS} of {len(rows)} rows." if len(rows) > MAX_TABLE_ROWS else ""
    words = element("p", text(more), class_="muted") if more else ""
    return words + table_html(Table(f"{media.name} at step {media.step}", heads, cells))


def _shades(rows: Sequence[Sequence[Any]]) -> NDArray[np.int64] | None:
    """For a matrix of counts with a label before each row, such as a confusion matrix: int64[n, n] from 0 to 9."""
    try:
        counts = np.array([row[1:] for row in rows], dtype=np.float64)
    except (ValueError, TypeError):
        return None
    is_matrix = counts.ndim == 2 and 2 <= len(counts) == counts.shape[1] and bool(np.isfinite(counts).all())
    if not is_matrix or not all(isinstance(row[0], str) for row in rows) or counts.min() < 0:
        return None
    # Each row is read against its own sum: a rare class is as visible as a frequent one.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    shades: NDArray[np.int64] = np.minimum(N_SHADES - 1, (shares * N_SHADES).astype(np.int64))
    return shades


def _is_numeric(rows: Sequence[Any], at: int) -> bool:
    values = [row[at] for row in rows[:50] if isinstance(row, list) and len(row) > at]
    return bool(values) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _cell(value: Any, shades: NDArray[np.int64] | None, line: int, at: int) -> Cell:
    is_score = isinstance(value, float) and math.isfinite(value)
    words = f"{value:.6g}" if is_score else value_text(value)
    words = words if len(words) <= MAX_CELL_CHARS else words[: MAX_CELL_CHARS - 1] + "…"
    return Cell(words, shade=int(shades[line, at - 1]) if shades is not None and at else None)


def _histogram(media: Media, content: Any) -> str:
    edges, counts = np.array(content["edges"], np.float64), np.array(content["counts"], np.float64)
    # An outline of steps: up at the left edge of every bin, down at its right.
    x, y = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(counts, 2), [0.0]])
    told = f"{int(counts.sum())} values from {number_text(float(edges[0]))} to {number_text(float(edges[-1]))}"
    chart = Chart(media.name, (Line(media.name, x, y, 0),), x_title="value", summary=told)
    lost = content.get("n_nonfinite") or 0
    words = element("p", text(told + (f"; {lost} not finite" if lost else "")), class_="muted")
    drawn = (element("div", draw_chart(chart, size=size, css=""), class_=name) for size, name in _HISTOGRAM_SIZES)
    return words + "".join(drawn)
