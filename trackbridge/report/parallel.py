"""
Parallel coordinates: one upright axis per parameter, one line per run, and the score on the last axis.

Source: A. Inselberg, "The plane with parallel coordinates" (1985). The better a run's score, the stronger its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackbridge.report.chart import Size
from trackbridge.report.markup import element, line_path, text
from trackbridge.report.palette import colour
from trackbridge.report.picture import picture
from trackbridge.report.scale import LogScale, NameScale, Scale, suitable_scale
from trackbridge.report.text import number_text, value_text

MAX_NAMES = 12
MAX_CHARS = 18
FACTORS = 8
MIN_DISTANCE = 116
_TOP, _BOTTOM, _SIDE = 46, 24, 70


@dataclass(frozen=True, slots=True)
class Dimension:
    """One axis: its title and each run's value there, None where it has none."""

    title: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where an axis stands, its scale, and where each run crosses it: float64[n], NaN where it does not."""

    dimension: Dimension
    x: float
    scale: Scale
    places: NDArray[np.float64]


def draw_parallel(names: Sequence[str], dimensions: Sequence[Dimension], lower_is_better: bool, *, size: Size) -> str:
    """The picture as an `<svg>` element, for a page that has `chart_css()`.

    Args:
        names: the runs, one line each.
        dimensions: the axes from left to right; the last one is the score.
        lower_is_better: which end of the last axis is the better one.
        size: what it is drawn for.
    """
    # Axes that stand closer have titles that run into each other: a page scrolls instead.
    size = Size(max(size.width, 2 * _SIDE + MIN_DISTANCE * (len(dimensions) - 1)), size.height)
    distance = (size.width - 2 * _SIDE) / max(1, len(dimensions) - 1)
    axes = [_axis(one, _SIDE + index * distance) for index, one in enumerate(dimensions)]
    strength = _strengths(axes[-1].places, lower_is_better)
    # Strong lines last, so that they lie on top.
    lines = [_line(names[at], axes, at, float(strength[at]), size) for at in np.argsort(strength).tolist()]
    told = f"{len(names)} runs over {', '.join(one.title for one in dimensions)}; the strongest lines score best"
    body = "".join([*lines, *(part for axis in axes for part in _drawn(axis, size))])
    return picture(f"parallel coordinates to {dimensions[-1].title}", told, size.width, size.height, body, css="")


def _axis(dimension: Dimension, x: float) -> _Axis:
    known = [value for value in dimension.values if value is not None]
    if known and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        numbers = np.array([np.nan if value is None else value for value in dimension.values], dtype=np.float64)
        # Less than three decades are enough here: learning rates are chosen by factors.
        finite = numbers[np.isfinite(numbers)]
        by_factors = len(finite) > 0 and finite.min() > 0 and finite.max() / finite.min() >= FACTORS
        kind = LogScale if by_factors else suitable_scale([numbers])
        scale: Scale = kind.covering(numbers)
        places = np.full(len(numbers), np.nan)
        is_placed = np.isfinite(numbers)
        places[is_placed] = scale.place(numbers[is_placed])
        return _Axis(dimension, x, scale, places)
    shown = ["" if value is None else value_text(value) for value in dimension.values]
    distinct = sorted({name for name in shown if name})
    scale = NameScale(tuple(distinct))
    numbers = np.array([distinct.index(name) if name else np.nan for name in shown], dtype=np.float64)
    return _Axis(dimension, x, scale, scale.place(numbers))


def _strengths(scores: NDArray[np.float64], lower_is_better: bool) -> NDArray[np.float64]:
    """How strong each line is, from 0 to 1, by the rank of its score; float64[n]."""
    ranked = np.where(np.isfinite(scores), -scores if lower_is_better else scores, -np.inf)
    return np.argsort(np.argsort(ranked, kind="stable")) / max(1, len(scores) - 1)


def _line(name: str, axes: Sequence[_Axis], at: int, strength: float, size: Size) -> str:
    crossed = [(axis.x, _down(float(axis.places[at]), size)) for axis in axes if np.isfinite(axis.places[at])]
    if not crossed:
        return ""
    x, y = np.array(crossed).T
    told = f"{name}: " + ", ".join(f"{axis.dimension.title} {_value_text(axis.dimension.values[at])}" for axis in axes)
    return element(
        "path",
        element("title", text(told[:600])),
        d=line_path(x, y),
        stroke=colour(0),
        stroke_width=1.2 + 1.4 * strength,
        stroke_opacity=f"{0.15 + 0.8 * strength:.2f}",
    )


def _drawn(axis: _Axis, size: Size) -> Iterator[str]:
    bottom = size.height - _BOTTOM
    yield element("line", x1=axis.x, x2=axis.x, y1=_TOP, y2=bottom, stroke="var(--muted)")
    title = element("title", text(axis.dimension.title)) + text(_cut(axis.dimension.title))
    yield element("text", title, x=axis.x, y=22, text_anchor="middle", font_weight="600")
    for tick in axis.scale.ticks(5)[:MAX_NAMES]:
        y = _down(float(axis.scale.place(np.array([tick.value]))[0]), size)
        yield element("line", x1=axis.x - 4, x2=axis.x, y1=y, y2=y, stroke="var(--muted)")
        # A halo keeps labels legible on the lines they lie on.
        yield element(
            "text", text(_cut(tick.label)), x=axis.x - 7, y=y + 4, text_anchor="end", class_="m",
            paint_order="stroke", stroke="var(--paper)", stroke_width=5, stroke_linejoin="round",
        )  # fmt: skip


def _down(place: float, size: Size) -> float:
    return size.height - _BOTTOM - place * (size.height - _BOTTOM - _TOP)


def _value_text(value: Any) -> str:
    return number_text(value) if isinstance(value, float) and abs(value) >= 0.01 else value_text(value)


def _cut(name: str) -> str:
    return name if len(name) <= MAX_CHARS else f"{name[:8]}…{name[-8:]}"
