"""Curves: one metric of a comparison as a chart, each replicate group in its own colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.align import Align, group_curve, later_of_each_place, positions
from trackbridge.comparison.comparison import Comparison
from trackbridge.report.chart import Band, Chart, Line
from trackbridge.report.text import counted, number_text
from trackbridge.store.records import RunRecord, Series
from trackbridge.store.series import pick

MAX_THIN_LINES = 100
"""Above this many runs, those of groups are a cloud that hides the means."""

# Groups are averaged over whole numbers: of steps and samples, of millionths of an epoch, of thousandths of a second.
_PER_UNIT: Mapping[Align, int] = {"step": 1, "epoch": 1_000_000, "time": 1000, "samples": 1}


def metric_chart(comparison: Comparison, metric: str) -> Chart:
    """A chart of one metric: up to 100 runs, and for groups of several the mean with a band of one sd.

    It is drawn over what the comparison aligns by. A mean and its band stop where the group's first member stops; the
    members' own lines go on.
    """
    lines: list[Line] = []
    bands: list[Band] = []
    for style, group in enumerate(comparison.groups):
        members = [_placed(comparison, metric, run, style) for run in group.runs if metric in run.metrics]
        if len(members) == 1:
            lines.append(dataclasses.replace(members[0][1], label=group.label))
        elif members:
            curve = group_curve([series for series, _ in members])
            if len(comparison.runs) <= MAX_THIN_LINES:
                lines += [dataclasses.replace(line, weight="thin") for _, line in members]
            places = _in_units(curve.steps, comparison.align)
            lines.append(Line(group.label, places, curve.mean, style))
            bands.append(Band(places, curve.mean - curve.sd, curve.mean + curve.sd, style))
    unit = comparison.metrics[metric].common.unit
    return Chart(metric, tuple(lines), tuple(bands), x_title=unit, summary="; ".join(_told(comparison, metric)))


def _placed(comparison: Comparison, metric: str, run: RunRecord, style: int) -> tuple[Series, Line]:
    """A run's points with their places in small units as steps, and the line to draw through them."""
    series = run.series(metric)
    places = np.round(positions(run, series, comparison.align) * _PER_UNIT[comparison.align]).astype(np.int64)
    kept = later_of_each_place(places)
    series, places = pick(series, kept), places[kept]
    score = comparison.metrics[metric].run(run.run_id)
    best = None
    if score is not None and score.chosen is not None and len(series) > 1:
        best = min(int(np.searchsorted(series.steps, score.chosen.step)), len(series) - 1)
    line = Line(run.name, _in_units(places, comparison.align), series.values, style, best=best)
    return dataclasses.replace(series, steps=places), line


def _in_units(places: NDArray[np.int64], align: Align) -> NDArray[np.int64] | NDArray[np.float64]:
    return places if _PER_UNIT[align] == 1 else places / _PER_UNIT[align]


def _told(comparison: Comparison, metric: str) -> Iterator[str]:
    for group in comparison.metrics[metric].groups:
        scores = group.scores
        spread = f", sd {number_text(scores.sd, 2)}" if scores.sd is not None else ""
        yield f"{group.label}: {comparison.at} {number_text(scores.mean)}{spread} over {counted(scores.n, 'run')}"
