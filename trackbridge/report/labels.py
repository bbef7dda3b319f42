"""Labels of lines: beside their ends where there is room, else as a legend above the plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.report.markup import element, text
from trackbridge.report.palette import colour, dash
from trackbridge.report.text import printable

LINE_HEIGHT = 16.0
MAX_CHARS = 30
# Measured over Segoe UI, Roboto and DejaVu Sans at 12 px; a little too wide is better than cut off.
CHARACTER_WIDTH = 6.9


@dataclass(frozen=True, slots=True)
class Label:
    """What a style stands for."""

    name: str
    style: int

    @property
    def shown(self) -> str:
        """The name, cut in the middle where it is too long: the ends are what tells two names apart."""
        name = printable(self.name)
        return name if len(name) <= MAX_CHARS else f"{name[:15]}…{name[-14:]}"


def label_width(labels: Sequence[Label]) -> float:
    """The pixels to leave right of the plot for end labels."""
    return 38 + CHARACTER_WIDTH * max((len(label.shown) for label in labels), default=0)


def end_labels(ends: Sequence[tuple[Label, float, float]], right: float, top: float, bottom: float) -> str:
    """Labels beside the plot's right edge, each as near to its line's end (x, y) as its neighbours allow."""
    ordered = sorted(ends, key=lambda end: end[2])
    heights = _spread([y for _, _, y in ordered], top, bottom)
    return "".join(
        _end_label(label, x, y, height, right) for (label, x, y), height in zip(ordered, heights, strict=True)
    )


def legend(labels: Sequence[Label], width: float, *, top: float) -> tuple[str, float]:
    """Rows of swatches and names, and their height in pixels."""
    entries: list[str] = []
    x, y = 8.0, top + 10
    for label in labels:
        needed = 34 + CHARACTER_WIDTH * len(label.shown) + 14
        if x > 8 and x + needed > width:
            x, y = 8.0, y + LINE_HEIGHT + 2
        entries.append(_swatch(label.style, x, y - 4))
        entries.append(element("text", element("title", text(label.name)), text(label.shown), x=x + 28, y=y))
        x += needed
    return "".join(entries), y - top + 12


def _spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Heights in the same order, a line apart, as near as that allows: pushed down, then back up from the bottom."""
    heights: list[float] = []
    for height in wanted:
        heights.append(max(height, heights[-1] + LINE_HEIGHT if heights else top))
    limit = bottom
    for index in range(len(heights) - 1, -1, -1):
        heights[index] = min(heights[index], limit)
        limit = heights[index] - LINE_HEIGHT
    return heights


def _end_label(label: Label, x: float, y: float, height: float, right: float) -> str:
    # The leader says which line is meant when labels had to move or a line ends early.
    leader = f"M{x + 5:.1f} {y:.1f}L{right + 5:.1f} {height:.1f}"
    swatch = f"M{right + 7:.1f} {height:.1f}h14"
    name = element("title", text(label.name)) + text(label.shown)
    return (
        element("path", d=leader, stroke=colour(label.style), stroke_width=1, stroke_dasharray="1 3")
        + element("path", d=swatch, stroke=colour(label.style), stroke_width=3, stroke_dasharray=dash(label.style))
        + element("text", name, x=right + 26, y=height + 4)
    )


def _swatch(style: int, x: float, y: float) -> str:
    return element(
        "path", d=f"M{x:.1f} {y:.1f}h22", stroke=colour(style), stroke_width=2.2, stroke_dasharray=dash(style)
    )


def line_key(style: int) -> str:
    """A short stroke in the colour and dash of a style, as a picture of its own for a table beside a chart."""
    stroke = element("path", d="M1 4h20", stroke=colour(style), stroke_width=3, stroke_dasharray=dash(style))
    return element("svg", stroke, class_="key", viewBox="0 0 22 8", width=22, height=8, aria_hidden="true")
