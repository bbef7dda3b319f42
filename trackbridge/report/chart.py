"""
Charts: series in, one SVG string out. Drawn in Python without a plotting library, so that the report, a
notebook and the web page show the same picture, and a mail shows it without running anything.

Non-finite values are marked where they are and break the line: nothing is drawn that was not logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.report.downsample import min_max_indices
from trackbridge.report.labels import CHARACTER_WIDTH, Label, end_labels, label_width, legend
from trackbridge.report.markup import element, line_path, text
from trackbridge.report.palette import colour, dash
from trackbridge.report.picture import picture
from trackbridge.report.scale import LinearScale, LogScale, Scale, ScaleKind
from trackbridge.report.text import number_text

MAX_END_LABELS = 8
MAX_LABEL_SHARE = 0.3

Places: TypeAlias = NDArray[np.int64 | np.float64]
"""Where points lie across a chart: steps, or the values of a config key."""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: `steps` int64[n], or float64[n] of another axis, `values` float64[n], NaN and infinities included.

    Lines of one `style` share colour and dash. A `thin` line is one of many and has no label of its own.
    `best` is the index of the point to mark, None for none.
    """

    label: str
    steps: Places
    values: NDArray[np.float64]
    style: int
    weight: Literal["thin", "bold"] = "bold"
    best: int | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A filled range around a line of the same style: `steps` as there, `low` and `high` float64[n]."""

    steps: Places
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    style: int


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows. `summary` tells it in words to those who do not see it.

    With `x_range` exactly that stretch is shown, and what of the lines lies outside is cut off.
    """

    y_title: str
    lines: tuple[Line, ...]
    bands: tuple[Band, ...] = ()
    x_title: str = "step"
    summary: str = ""
    x_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels, and how many points all lines together may have."""

    width: int
    height: int
    max_points: int = 4000


WIDE = Size(880, 340)
NARROW = Size(370, 300, 2000)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plot area in pixels, the scales that fill it, what lies across, and how many buckets fold a long curve."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale
    x_title: str
    n_buckets: int

    def across(self, steps: Places) -> NDArray[np.float64]:
        return self.left + self.x.place(steps.astype(np.float64)) * (self.right - self.left)

    def down(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.bottom - self.y.place(values) * (self.bottom - self.top)


def draw_chart(
    chart: Chart,
    *,
    size: Size = WIDE,
    x_scale: ScaleKind = LinearScale,
    y_scale: ScaleKind = LinearScale,
    css: str | None = None,
) -> str:
    """The chart as an `<svg>` element that needs nothing around it.

    Args:
        chart: what to show.
        size: the size it is drawn for; it scales with its container, but text is meant for this width.
        x_scale: the kind of step axis.
        y_scale: the kind of value axis.
        css: rules that go into the element; all it needs (`chart_css()`) when None, none ("") where a page has them.
    """
    named = list({line.style: Label(line.label, line.style) for line in chart.lines if line.weight == "bold"}.values())
    has_room = size.width >= 600 and label_width(named) <= MAX_LABEL_SHARE * size.width
    beside = len(named) <= MAX_END_LABELS and has_room
    legend_rows, legend_height = ("", 0.0) if beside or len(named) < 2 else legend(named, size.width, top=30)
    gap = label_width(named) if beside and len(named) > 1 else 14
    frame = _Frame(
        left=52,
        top=32 + legend_height,
        right=size.width - gap,
        bottom=size.height + legend_height - 42,
        x=_step_axis(chart, x_scale),
        y=y_scale.covering(_shown_values(chart)),
        x_title=chart.x_title,
        n_buckets=_buckets(chart, size),
    )
    body = [
        *_axes(frame, chart),
        *_plotted(chart, frame),
        *(_end_labels(chart.lines, named, frame) if beside and len(named) > 1 else (legend_rows,)),
    ]
    return _document(chart, frame, Size(size.width, round(size.height + legend_height)), "".join(body), css)


def _step_axis(chart: Chart, scale: ScaleKind) -> Scale:
    if chart.x_range is not None:
        return scale.covering(np.array(chart.x_range), padding=0)
    steps = np.concatenate([np.empty(0), *(line.steps for line in chart.lines)])
    covering = scale.covering(steps, padding=0)
    # Training starts at 0, so the axis does too, unless that would leave most of it empty.
    begins_near_0 = not isinstance(covering, LogScale) and 0 < covering.low < covering.high / 4
    return scale.covering(np.array([0, covering.high]), padding=0) if begins_near_0 else covering


def _shown_values(chart: Chart) -> NDArray[np.float64]:
    curves = [(line.steps, line.values) for line in chart.lines]
    curves += [(band.steps, edge) for band in chart.bands for edge in (band.low, band.high)]
    if chart.x_range is not None:
        low, high = chart.x_range
        curves = [(steps, values[(steps >= low) & (steps <= high)]) for steps, values in curves]
    return np.concatenate([np.empty(0), *(values for _, values in curves)])


def _plotted(chart: Chart, frame: _Frame) -> Iterator[str]:
    drawn = [*(_band(band, frame) for band in chart.bands), *_lines(chart.lines, frame)]
    if chart.x_range is None:
        yield from drawn
        return
    mark = f"c{_mark_of(chart, frame.right)}"
    area = element("rect", x=frame.left, y=frame.top, width=frame.right - frame.left, height=frame.bottom - frame.top)
    yield element("clipPath", area, id=mark) + element("g", *drawn, clip_path=f"url(#{mark})")


def _mark_of(chart: Chart, width: float) -> str:
    # Several charts stand in one page, and each names its parts by id.
    told = f"{width}{chart.y_title}{chart.summary}{chart.x_range}".encode("utf-8", "replace")
    return hashlib.blake2b(told, digest_size=5).hexdigest()


def _document(chart: Chart, frame: _Frame, size: Size, body: str, css: str | None) -> str:
    return picture(
        f"{chart.y_title} by {chart.x_title}",
        chart.summary or _spoken(chart),
        size.width,
        size.height,
        body,
        css=css,
        # Where the plot lies in the picture and what its width stands for, for whoever points at it.
        data_plot=f"{frame.left:g} {frame.top:g} {frame.right:g} {frame.bottom:g}",
        data_x=f"{frame.x.low:.17g} {frame.x.high:.17g}",
        data_x_scale="log" if isinstance(frame.x, LogScale) else "linear",
    )


def _spoken(chart: Chart) -> str:
    ends = [
        f"{line.label} ends at {number_text(float(line.values[-1]))} at {chart.x_title} {line.steps[-1]}"
        for line in chart.lines
        if line.weight == "bold" and len(line.steps)
    ]
    return "; ".join(ends) or "no points"


def _axes(frame: _Frame, chart: Chart) -> Iterator[str]:
    note = frame.y.note
    for tick in frame.y.ticks(5):
        y = float(frame.down(np.array([tick.value]))[0])
        yield element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, stroke="var(--grid)")
        yield element("text", text(tick.label), x=frame.left - 8, y=y + 4, text_anchor="end", class_="m")
    for tick in frame.x.ticks(max(2, int((frame.right - frame.left) / 90))):
        x = float(frame.across(np.array([tick.value]))[0])
        yield element("line", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 4, stroke="var(--muted)")
        # The last label would be cut off where it is wider than what is left of the picture.
        is_cut = x + CHARACTER_WIDTH * len(tick.label) / 2 > frame.right + 14
        anchor = "end" if is_cut else "middle"
        yield element("text", text(tick.label), x=x, y=frame.bottom + 18, text_anchor=anchor, class_="m")
    yield element("line", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom, stroke="var(--muted)")
    title = text(chart.y_title) + (element("tspan", text(f"  {note}"), class_="m", font_weight="400") if note else "")
    yield element("text", title, x=8, y=18, font_weight="600")
    middle = (frame.left + frame.right) / 2
    yield element("text", text(chart.x_title), x=middle, y=frame.bottom + 35, text_anchor="middle", class_="m")


def _buckets(chart: Chart, size: Size) -> int:
    # A bucket is two points of a curve, and a band has two curves.
    n_curves = max(1, len(chart.lines) + 2 * len(chart.bands))
    return max(12, min(size.width, size.max_points // (2 * n_curves)))


def _lines(lines: Sequence[Line], frame: _Frame) -> Iterator[str]:
    # Thin lines first, so that the means lie on top of the runs they are made of.
    for line in sorted(lines, key=lambda line: line.weight == "bold"):
        yield from _line(line, frame)
        yield from _non_finite_marks(line, frame)
    for line in lines:
        # At the best step of the leading metric another one may be NaN, which has a mark of its own.
        if line.best is not None and np.isfinite(line.values[line.best]):
            yield _best_mark(line, line.best, frame)


def _line(line: Line, frame: _Frame) -> Iterator[str]:
    paths = []
    for steps, values in _finite_stretches(line, frame.n_buckets):
        x, y = frame.across(steps), frame.down(values)
        if len(steps) == 1:
            # A stretch of one point has no length to draw: it is shown as a dot.
            dot = element("title", text(line.label))
            yield element("circle", dot, cx=float(x[0]), cy=float(y[0]), r=3, fill=colour(line.style))
        else:
            paths.append(line_path(x, y))
    if paths:
        yield element("path", element("title", text(line.label)), d="".join(paths), **_look(line))


def _look(line: Line) -> dict[str, str | float]:
    if line.weight == "thin":
        return {"stroke": colour(line.style), "stroke_width": 1.1, "stroke_opacity": ".45"}
    return {"stroke": colour(line.style), "stroke_width": 2.2, "stroke_dasharray": dash(line.style)}


def _finite_stretches(line: Line, n_buckets: int) -> Iterator[tuple[Places, NDArray[np.float64]]]:
    finite = np.isfinite(line.values)
    steps, values, gaps = line.steps[finite], line.values[finite], np.cumsum(~finite)[finite]
    if not len(steps):
        return
    kept = min_max_indices(steps, values, n_buckets)
    cuts = np.flatnonzero(np.diff(gaps[kept])) + 1
    yield from zip(np.split(steps[kept], cuts), np.split(values[kept], cuts), strict=True)


def _non_finite_marks(line: Line, frame: _Frame) -> Iterator[str]:
    """A cross for NaN, an arrow for an infinity, at the edge of the plot; of neighbours within 7 pixels, the first."""
    places = np.flatnonzero(~np.isfinite(line.values))
    across = frame.across(line.steps[places])
    _, first = np.unique(across // 7, return_index=True)
    for index, x in zip(places[first].tolist(), across[first].tolist(), strict=True):
        step, value = line.steps[index], float(line.values[index])
        y, shape = _mark(value, frame)
        yield element(
            "path",
            element("title", text(f"{line.label}: {number_text(value)} at {frame.x_title} {step}")),
            d=f"M{x:.1f} {y:.1f}{shape}",
            stroke=colour(line.style),
            stroke_width=2,
        )


def _mark(value: float, frame: _Frame) -> tuple[float, str]:
    if np.isnan(value):
        return frame.top + 6, "m-4 -4l8 8m0-8l-8 8"
    return (frame.top + 2, "m-4 5l4-5 4 5") if value > 0 else (frame.bottom - 2, "m-4-5l4 5 4-5")


def _best_mark(line: Line, index: int, frame: _Frame) -> str:
    step, value = line.steps[index : index + 1], line.values[index : index + 1]
    told = f"{line.label}: best {number_text(float(value[0]))} at {frame.x_title} {step[0]}"
    return element(
        "circle",
        element("title", text(told)),
        cx=float(frame.across(step)[0]),
        cy=float(frame.down(value)[0]),
        r=3.6 if line.weight == "bold" else 2.6,
        fill=colour(line.style),
        stroke="var(--paper)",
        stroke_width=1.5,
    )


def _band(band: Band, frame: _Frame) -> str:
    kept = np.isfinite(band.low) & np.isfinite(band.high)
    cuts = np.flatnonzero(np.diff(np.cumsum(~kept)[kept])) + 1
    stretches = zip(
        np.split(band.steps[kept], cuts), np.split(band.low[kept], cuts), np.split(band.high[kept], cuts), strict=True
    )
    paths = [_outline(frame, steps, low, high) for steps, low, high in stretches if len(steps) > 1]
    look = {"fill": colour(band.style), "fill_opacity": ".14", "class_": "band"}
    return element("path", d="".join(paths), **look) if paths else ""


def _outline(frame: _Frame, steps: Places, low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    above = min_max_indices(steps, high, frame.n_buckets)
    below = min_max_indices(steps, low, frame.n_buckets)[::-1]
    x = np.concatenate([frame.across(steps[above]), frame.across(steps[below])])
    return line_path(x, np.concatenate([frame.down(high[above]), frame.down(low[below])])) + "z"


def _end_labels(lines: Sequence[Line], named: Sequence[Label], frame: _Frame) -> Iterator[str]:
    ends: dict[int, tuple[float, float]] = {}
    for line in lines:
        finite = np.flatnonzero(np.isfinite(line.values))
        if line.weight == "bold" and len(finite):
            at = slice(finite[-1], finite[-1] + 1)
            ends[line.style] = float(frame.across(line.steps[at])[0]), float(frame.down(line.values[at])[0])
    yield end_labels(
        [(label, *ends[label.style]) for label in named if label.style in ends], frame.right, frame.top, frame.bottom
    )
