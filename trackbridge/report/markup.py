"""SVG and HTML elements as text: every attribute and every text is escaped here, and nowhere else."""

from __future__ import annotations

import html

import numpy as np
from numpy.typing import NDArray

from trackbridge.report.text import printable


def element(name: str, *children: str, **attributes: str | float) -> str:
    """An element with its children, which are markup already.

    `class_` becomes `class` and `stroke_width` becomes `stroke-width`. Numbers are rounded to a tenth (of a
    pixel), and attributes that are an empty string are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(key, value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(content: str) -> str:
    """Text as markup: whatever it holds is shown, nothing of it is obeyed."""
    return html.escape(printable(content), quote=True)


def line_path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Path data through float64[n] points, in tenths of a pixel, relative from point to point to keep it short."""
    points = np.round(np.stack([x, y], axis=1) * 10).astype(np.int64)
    moves = np.diff(points, axis=0)
    start = f"M{_tenths(points[0, 0])} {_tenths(points[0, 1])}"
    return start + ("l" + "".join(_pair(dx, dy) for dx, dy in moves.tolist())[1:] if len(moves) else "h0")


def _pair(dx: int, dy: int) -> str:
    second = _tenths(dy)
    return f" {_tenths(dx)}{second if second.startswith('-') else ' ' + second}"


def _tenths(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, tenth = divmod(int(value), 10)
    return f"{sign}{whole}.{tenth}" if tenth else f"{sign}{whole}"


def _attribute(key: str, value: str | float) -> str:
    if not isinstance(value, str):
        return _tenths(round(value * 10))
    # What a script reads and sends back is not shown, and has to be the name to the letter.
    return html.escape(value, quote=True) if key.startswith("data_") else text(value)
