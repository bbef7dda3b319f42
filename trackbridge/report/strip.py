"""
Strips: rows of names with a dot for each score, and the mean with its interval where one is known.

Unlike a bar, a strip hides no run: two failed ones among eight are seen, and so is a mean that no run is near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.statistics.intervals import Interval
from trackbridge.report.labels import Label, label_width
from trackbridge.report.markup import element, text
from trackbridge.report.palette import colour
from trackbridge.report.picture import picture
from trackbridge.report.scale import LinearScale
from trackbridge.report.text import number_text

ROW_HEIGHT = 34
MIN_WIDTH_FOR_NAMES_BESIDE = 600
MAX_NAME_SHARE = 0.34
DOT_DISTANCE = 5.0
DOT_HEIGHT = 7.0
MAX_RISE = 14.0
_TOP, _BOTTOM, _NAME_HEIGHT = 34, 42, 17


@dataclass(frozen=True, slots=True)
class Dot:
    """One score, with the name told to whoever points at it; a `hollow` one is no part of the mean."""

    label: str
    value: float
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class StripRow:
    """The scores under one name, their mean, and its 95 % interval; None where there is none."""

    label: str
    style: int
    dots: tuple[Dot, ...]
    mean: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Strip:
    """What a strip shows. `summary` tells it in words to those who do not see it."""

    title: str
    rows: tuple[StripRow, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows lie, in pixels: the names beside the dots, or above them where there is no room."""

    left: float
    right: float
    row_height: float
    scale: LinearScale

    def across(self, values: Sequence[float]) -> NDArray[np.float64]:
        return self.left + self.scale.place(np.asarray(values, dtype=np.float64)) * (self.right - self.left)

    def middle(self, index: int) -> float:
        return _TOP + index * self.row_height + self.row_height - ROW_HEIGHT / 2


def draw_strip(strip: Strip, *, width: int, css: str | None = None) -> str:
    """The strip as an `<svg>` element, drawn for a width in pixels; as high as its rows need.

    Values that are not finite are left out. For `css` see `picture`.
    """
    is_beside = width >= MIN_WIDTH_FOR_NAMES_BESIDE
    names = [Label(row.label, row.style) for row in strip.rows]
    left = min(label_width(names), MAX_NAME_SHARE * width) if is_beside else 14.0
    row_height = ROW_HEIGHT if is_beside else ROW_HEIGHT + _NAME_HEIGHT
    place = _Place(left, width - 18, row_height, LinearScale.covering(_values(strip)))
    height = _TOP + len(strip.rows) * row_height + _BOTTOM
    rows = [part for index, row in enumerate(strip.rows) for part in _row(row, index, place)]
    body = [*_axis(strip, place, height), *rows]
    return picture(strip.title, strip.summary, width, height, "".join(body), css=css)


def _values(strip: Strip) -> NDArray[np.float64]:
    ends = [end for row in strip.rows if row.interval for end in (row.interval.low, row.interval.high)]
    dots = [dot.value for row in strip.rows for dot in row.dots]
    # Two runs have an interval many times as wide as what they are apart, which would squeeze the dots to a line.
    low, high = _range(dots)
    span = high - low or abs(high) * 0.1 or 1.0
    return np.array([*dots, *(min(max(end, low - span), high + span) for end in ends)], dtype=np.float64)


def _range(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if np.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)


def _axis(strip: Strip, place: _Place, height: float) -> Iterator[str]:
    bottom = height - _BOTTOM
    yield element("text", text(strip.title), x=8, y=18, font_weight="600")
    for tick in place.scale.ticks(max(2, int((place.right - place.left) / 90))):
        x = float(place.across([tick.value])[0])
        yield element("line", x1=x, x2=x, y1=_TOP, y2=bottom, stroke="var(--grid)")
        yield element("text", text(tick.label), x=x, y=bottom + 18, text_anchor="middle", class_="m")
    yield element("line", x1=place.left, x2=place.right, y1=bottom, y2=bottom, stroke="var(--muted)")


def _row(row: StripRow, index: int, place: _Place) -> Iterator[str]:
    y = place.middle(index)
    yield _name(row, y, place)
    if row.interval is not None:
        yield _interval(row, row.interval, y, place)
    dots = [dot for dot in row.dots if np.isfinite(dot.value)]
    across = place.across([dot.value for dot in dots])
    for dot, x, rise in zip(dots, across.tolist(), _rises(across), strict=True):
        yield _dot(dot, row, x, y + rise)
    if row.mean is not None:
        x = float(place.across([row.mean])[0])
        told = element("title", text(f"{row.label}: mean {number_text(row.mean)}"))
        yield element("path", told, d=f"M{x:.1f} {y - 11:.1f}v22", stroke=colour(row.style), stroke_width=2.6)


def _name(row: StripRow, y: float, place: _Place) -> str:
    label = Label(row.label, row.style)
    told = element("title", text(row.label)) + text(label.shown)
    if place.row_height > ROW_HEIGHT:
        return element("text", told, x=8, y=y - 19)
    return element("text", told, x=place.left - 14, y=y + 4, text_anchor="end")


def _interval(row: StripRow, interval: Interval, y: float, place: _Place) -> str:
    """A line from end to end; an end that lies outside the picture has no cap."""
    x1, x2 = place.across([interval.low, interval.high]).tolist()
    caps = "".join(f"M{x:.1f} {y - 5:.1f}v10" for x in (x1, x2) if place.left <= x <= place.right)
    x1, x2 = max(x1, place.left), min(x2, place.right)
    told = f"{row.label}: 95 % interval of the mean {number_text(interval.low)} to {number_text(interval.high)}"
    return element(
        "path",
        element("title", text(told)),
        d=f"M{x1:.1f} {y:.1f}H{x2:.1f}{caps}",
        stroke=colour(row.style),
        stroke_width=1.6,
        stroke_opacity=".75",
    )


def _dot(dot: Dot, row: StripRow, x: float, y: float) -> str:
    told = element("title", text(f"{dot.label}: {number_text(dot.value)}" + (" (left out)" if dot.hollow else "")))
    fill, opacity = ("var(--paper)", "1") if dot.hollow else (colour(row.style), ".55")
    return element("circle", told, cx=x, cy=y, r=3.4, fill=fill, fill_opacity=opacity, stroke=colour(row.style))


def _rises(across: NDArray[np.float64]) -> list[float]:
    """How far up or down each dot moves, so that equal scores do not hide one another."""
    columns = [int(x // DOT_DISTANCE) for x in across.tolist()]
    heights, stacked = Counter(columns), Counter[int]()
    rises = []
    for column in columns:
        n_below = stacked[column]
        stacked[column] += 1
        # As many as there are have to fit into the row: only then do they overlap.
        distance = min(DOT_HEIGHT, MAX_RISE / max(1, heights[column] // 2))
        rises.append((n_below + 1) // 2 * distance * (1 if n_below % 2 else -1))
    return rises
