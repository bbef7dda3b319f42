"""
Overlay: one metric of many runs in one chart, over steps, epochs or time, smoothed or not, run by run or by group.

A run's points become positions across the chart, whole numbers of an axis's smallest unit, so that everything that
aligns steps aligns epochs and times as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.align import group_curve, later_of_each_place, positions
from trackbridge.report.chart import Band, Chart, Line
from trackbridge.report.scale import LinearScale, LogScale, ScaleKind, TimeScale
from trackbridge.report.text import counted, number_text
from trackbridge.store.records import RunRecord, Series

Axis: TypeAlias = Literal["step", "epoch", "time"]

# Positions per unit of the axis: steps are whole, epochs are told to a millionth, seconds to a thousandth.
_PER_UNIT: dict[Axis, int] = {"step": 1, "epoch": 1_000_000, "time": 1000}
_TITLES: dict[Axis, str] = {"step": "step", "epoch": "epoch", "time": "training time"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A run's points in an overlay. Curves of one `style` are replicates, whose name is `group`."""

    run: RunRecord
    group: str
    style: int
    series: Series

    @property
    def label(self) -> str:
        """The name of the run."""
        return self.run.name


@dataclass(frozen=True, slots=True)
class View:
    """How an overlay is looked at: `low` and `high` cut the axis, `smoothing` is the weight of what came before."""

    axis: Axis = "step"
    low: float | None = None
    high: float | None = None
    smoothing: float = 0.0
    is_log_x: bool = False
    is_grouped: bool = False

    @property
    def x_scale(self) -> ScaleKind:
        """The kind of scale the axis is drawn with."""
        return LogScale if self.is_log_x else TimeScale if self.axis == "time" else LinearScale


@dataclass(frozen=True, slots=True)
class ReadOut:
    """A curve's last point at or before a place; `sd` and `n` are those of a group's mean. None where it has none."""

    label: str
    style: int
    value: float | None
    at: float | None
    sd: float | None = None
    n: int = 1


def overlay_chart(metric: str, curves: Sequence[Curve], view: View) -> Chart:
    """The chart: every run bold, or thin behind the means and bands (one sd) of groups of several."""
    lines: list[Line] = []
    bands: list[Band] = []
    for label, style, members in _entries(curves, view):
        if len(members) > 1:
            mean, band = _mean_and_band(label, style, members, view)
            lines += [_cut(_line(one, view, weight="thin"), view) for one in members]
            lines.append(_cut(mean, view))
            bands.append(_cut_band(band, view))
        else:
            lines += _single(members[0], label, view)
    title = _TITLES[view.axis]
    told = "; ".join(_told(line, title) for line in lines if line.weight == "bold" and len(line.values))
    return Chart(metric, tuple(lines), tuple(bands), x_title=title, summary=told, x_range=_range(lines, view))


def read_out(curves: Sequence[Curve], view: View, at: float) -> list[ReadOut]:
    """What each line of the chart stands at, at a place on the axis: the values logged, smoothed where the chart is."""
    found = []
    for label, style, members in _entries(curves, view):
        mean, band = _mean_and_band(label, style, members, view)
        value, place = _last_before(mean, at)
        sd = None
        if len(members) > 1 and place is not None:
            index = int(np.searchsorted(band.steps, place, side="right")) - 1
            sd = float(band.high[index] - mean.values[index])
        found.append(ReadOut(label, style, value, place, sd, len(members)))
    return found


def smoothed(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """The exponential moving average of float64[n], without the pull towards 0 at its beginning.

    Source: D. P. Kingma and J. Ba, "Adam" (2015), section 3, bias correction. Values that are not finite stay as
    they are and change no other.
    """
    average, out = 0.0, np.array(values, dtype=np.float64)
    for n_seen, index in enumerate(np.flatnonzero(np.isfinite(values)).tolist(), start=1):
        average = weight * average + (1 - weight) * float(values[index])
        out[index] = average / (1 - weight**n_seen)
    return out


def place_text(at: float, axis: Axis) -> str:
    """A place on an axis in words: `step 1200`, `epoch 1.5`, `12 min 5 s`."""
    if axis == "time":
        return TimeScale.label(at)
    return f"{axis} {at:.0f}" if axis == "step" else f"{axis} {at:.4g}"


def _entries(curves: Sequence[Curve], view: View) -> Iterator[tuple[str, int, list[Curve]]]:
    """What has a label of its own: each run, or each group of replicates."""
    if not view.is_grouped:
        yield from ((one.label, one.style, [one]) for one in curves)
        return
    members: dict[int, list[Curve]] = {}
    for one in curves:
        members.setdefault(one.style, []).append(one)
    yield from ((alike[0].group, style, alike) for style, alike in members.items())


def _single(curve: Curve, label: str, view: View) -> Iterator[Line]:
    line = _line(curve, view)
    if view.smoothing:
        # What was logged stays in sight behind what smoothing makes of it.
        yield replace(_cut(_line(curve, replace(view, smoothing=0.0)), view), weight="thin")
    yield _cut(replace(line, label=label), view)


def _line(curve: Curve, view: View, weight: Literal["thin", "bold"] = "bold") -> Line:
    places, values = _points(curve, view)
    return Line(curve.label, places / _PER_UNIT[view.axis], values, curve.style, weight)


def _points(curve: Curve, view: View) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where a curve's points lie, strictly increasing, and their values; without those that have no time or epoch."""
    series = curve.series
    values = smoothed(series.values, view.smoothing) if view.smoothing else series.values
    if view.axis == "step":
        return series.steps, values
    if view.axis == "time":
        told, where = series.times_ns > 0, positions(curve.run, series, "time")
    else:
        told, where = np.isfinite(series.epochs), series.epochs
    places = np.round(where[told] * _PER_UNIT[view.axis]).astype(np.int64)
    kept = later_of_each_place(places)
    return places[kept], values[told][kept]


def _mean_and_band(label: str, style: int, members: Sequence[Curve], view: View) -> tuple[Line, Band]:
    placed = [(one.series, *_points(one, view)) for one in members]
    aligned = [replace(series, steps=places, values=values) for series, places, values in placed]
    curve = group_curve(aligned)
    x = curve.steps / _PER_UNIT[view.axis]
    return Line(label, x, curve.mean, style), Band(x, curve.mean - curve.sd, curve.mean + curve.sd, style)


def _cut(line: Line, view: View) -> Line:
    inside = _inside(line.steps, view)
    return replace(line, steps=line.steps[inside], values=line.values[inside])


def _cut_band(band: Band, view: View) -> Band:
    inside = _inside(band.steps, view)
    return Band(band.steps[inside], band.low[inside], band.high[inside], band.style)


def _inside(steps: NDArray[np.float64 | np.int64], view: View) -> slice:
    """The points in the range, and one on either side, so that a line goes on to the edge."""
    first = 0 if view.low is None else max(0, int(np.searchsorted(steps, view.low, side="left")) - 1)
    last = len(steps) if view.high is None else int(np.searchsorted(steps, view.high, side="right")) + 1
    return slice(first, last)


def _range(lines: Sequence[Line], view: View) -> tuple[float, float] | None:
    if view.low is None and view.high is None:
        return None
    steps = np.concatenate([np.empty(0), *(line.steps for line in lines)])
    low = view.low if view.low is not None else float(steps.min()) if len(steps) else 0.0
    high = view.high if view.high is not None else float(steps.max()) if len(steps) else 1.0
    return (low, high) if low < high else None


def _last_before(line: Line, at: float) -> tuple[float | None, float | None]:
    index = int(np.searchsorted(line.steps, at, side="right")) - 1
    return (float(line.values[index]), float(line.steps[index])) if index >= 0 else (None, None)


def _told(line: Line, title: str) -> str:
    return f"{line.label} ends at {number_text(float(line.values[-1]))} at {title} {line.steps[-1]:.6g}"


def overlay_words(curves: Sequence[Curve], view: View, n_without: int) -> str:
    """What the chart shows, in one sentence for a caption."""
    n_groups = len({one.style for one in curves})
    words = counted(len(curves), "run")
    if view.is_grouped:
        words += f" in {counted(n_groups, 'group')}: bold is the mean as far as all runs of a group go, the band one sd"
    if view.smoothing:
        words += f"; smoothed by {view.smoothing:g}, as logged behind it"
    return words + (f"; {counted(n_without, 'run')} without it" if n_without else "")
