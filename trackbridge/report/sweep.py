"""A sweep as a chart: a dot for each run, a line through the means, a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trackbridge.comparison.sweep import Sweep, SweepLine
from trackbridge.report.chart import Band, Chart, Line
from trackbridge.report.text import counted, number_text


def sweep_chart(sweep: Sweep) -> Chart:
    """The chart of a sweep: the key's values across, the scores up."""
    lines = [line for style, one in enumerate(sweep.lines) for line in _lines(one, style)]
    bands = [_band(one, style) for style, one in enumerate(sweep.lines)]
    told = "; ".join(_told(one) for one in sweep.lines)
    return Chart(sweep.metric, tuple(lines), tuple(bands), x_title=sweep.key, summary=told)


def _lines(one: SweepLine, style: int) -> Iterator[Line]:
    for point in one.points:
        for score in point.scores:
            yield Line(f"{one.label}: a run", np.array([point.value]), np.array([score]), style, weight="thin")
    means = np.array([np.nan if point.together.mean is None else point.together.mean for point in one.points])
    yield Line(one.label, np.array([point.value for point in one.points]), means, style)


def _band(one: SweepLine, style: int) -> Band:
    known = [
        (point.value, point.together.mean, point.together.sd)
        for point in one.points
        if point.together.mean is not None and point.together.sd is not None
    ]
    values, means, deviations = np.array(known, dtype=np.float64).reshape(-1, 3).T
    return Band(values, means - deviations, means + deviations, style)


def _told(one: SweepLine) -> str:
    means = (
        f"{number_text(point.together.mean)} at {point.value:g} ({counted(point.together.n, 'run')})"
        for point in one.points
    )
    return f"{one.label}: {', '.join(means)}"
