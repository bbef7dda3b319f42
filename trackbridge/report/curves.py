"""Curves: one metric of a comparison as a chart, each replicate group in its own colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from trackbridge.comparison.align import group_curve
from trackbridge.comparison.comparison import Comparison
from trackbridge.report.chart import Band, Chart, Line
from trackbridge.report.text import counted, number_text
from trackbridge.store.records import RunRecord, Series

MAX_THIN_LINES = 100
"""Above this many runs, those of groups are a cloud that hides the means."""


def metric_chart(comparison: Comparison, metric: str) -> Chart:
    """A chart of one metric: up to 100 runs, and for groups of several the mean with a band of one sd.

    A mean and its band stop where the group's first member stops; the members' own lines go on.
    """
    lines: list[Line] = []
    bands: list[Band] = []
    for style, group in enumerate(comparison.groups):
        members = [(run, run.series(metric)) for run in group.runs if metric in run.metrics]
        if len(members) == 1:
            run, series = members[0]
            lines.append(dataclasses.replace(_run_line(comparison, metric, run, series, style), label=group.label))
        elif members:
            curve = group_curve([series for _, series in members])
            if len(comparison.runs) <= MAX_THIN_LINES:
                lines += [_thin(_run_line(comparison, metric, run, series, style)) for run, series in members]
            lines.append(Line(group.label, curve.steps, curve.mean, style))
            bands.append(Band(curve.steps, curve.mean - curve.sd, curve.mean + curve.sd, style))
    return Chart(metric, tuple(lines), tuple(bands), summary="; ".join(_told(comparison, metric)))


def _run_line(comparison: Comparison, metric: str, run: RunRecord, series: Series, style: int) -> Line:
    score = comparison.metrics[metric].run(run.run_id)
    best = None
    if score is not None and score.chosen is not None and len(series) > 1:
        best = int(np.searchsorted(series.steps, score.chosen.step))
    return Line(run.name, series.steps, series.values, style, best=best)


def _thin(line: Line) -> Line:
    return dataclasses.replace(line, weight="thin")


def _told(comparison: Comparison, metric: str) -> Iterator[str]:
    for group in comparison.metrics[metric].groups:
        scores = group.scores
        spread = f", sd {number_text(scores.sd, 2)}" if scores.sd is not None else ""
        yield f"{group.label}: {comparison.at} {number_text(scores.mean)}{spread} over {counted(scores.n, 'run')}"
