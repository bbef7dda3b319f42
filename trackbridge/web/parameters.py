"""Parameters against scores: parallel coordinates and a scatter plot of the runs that pass the filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trackbridge.comparison.fields import Field
from trackbridge.comparison.where import parse_filter
from trackbridge.events.names import lower_is_better
from trackbridge.report.chart import Chart, Line, Size, draw_chart
from trackbridge.report.markup import element
from trackbridge.report.parallel import FACTORS, Dimension, draw_parallel
from trackbridge.report.scale import LinearScale, LogScale, NameScale, ScaleKind
from trackbridge.report.text import counted, number_text, value_text
from trackbridge.store.records import RunRecord
from trackbridge.web.asked import ComparisonAsked
from trackbridge.web.axes import parameter_axes, short_titles
from trackbridge.web.catalogue import Catalogue, Listing, likeliest_metrics
from trackbridge.web.styles import Styles

MAX_AXES = 8
MAX_LINES = 1000
_SIZE = Size(1100, 420)
_NOTHING = "No score to draw: the runs shown have no metric."


def parallel_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """Parallel coordinates of the runs that pass the filter: what varies among them, and a score."""
    listing = catalogue.listing()
    runs = _filtered(listing, query)
    metrics = list(likeliest_metrics(runs))
    metric = query.get("y") or next(iter(metrics), "")
    if not metrics or not runs:
        return {"html": element("p", _NOTHING, class_="muted"), "metrics": metrics}
    score = listing.fields.named(metric)
    having = [run for run in runs if score.read(run) is not None][:MAX_LINES]
    axes = parameter_axes(catalogue.groups(having))[: MAX_AXES - 1]
    parameters = [
        replace(listing.fields.named(key), title=title) for key, title in zip(axes, short_titles(axes), strict=True)
    ]
    dimensions = [Dimension(one.title, tuple(one.read(run) for run in having)) for one in (*parameters, score)]
    size = Size(max(360, min(_SIZE.width, _number(query, "width"))), _SIZE.height)
    svg = draw_parallel([run.name for run in having], dimensions, lower_is_better(metric), size=size)
    words = f"{counted(len(having), 'run')}; the better the score, the stronger the line"
    wide = element("div", svg, class_="wider", role="region", tabindex="0", aria_label="Parallel coordinates")
    return {"html": wide, "words": words, "metrics": metrics, "y": metric}


def scatter_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """A dot for each run that passes the filter: a score against a parameter, or against another score."""
    listing = catalogue.listing()
    runs = _filtered(listing, query)
    metrics = list(likeliest_metrics(runs))
    metric = query.get("y") or next(iter(metrics), "")
    if not metrics or not runs:
        return {"html": element("p", _NOTHING, class_="muted"), "metrics": metrics, "parameters": []}
    up = listing.fields.named(metric)
    scored = [run for run in runs if up.read(run) is not None][:MAX_LINES]
    parameters = parameter_axes(catalogue.groups(scored)) if scored else []
    choices = {"metrics": metrics, "parameters": [*parameters, *metrics, "steps", "took"]}
    key = query.get("x") or next(iter([*parameters, *reversed(metrics)]))
    across = listing.fields.named(key)
    having = [run for run in scored if across.read(run) is not None]
    is_grouped = query.get("group") == "replicates"
    styles = Styles.of(asked.picked, catalogue.groups(catalogue.runs(asked.picked)) if is_grouped else None)
    x, scale = _places([across.read(run) for run in having])
    lines = tuple(_dot(run, place, up, styles) for run, place in zip(having, x, strict=True))
    told = f"{counted(len(having), 'run')}: {up.title} by {across.title}"
    chart = Chart(up.title, lines, x_title=across.title, summary=told)
    size = Size(max(300, min(880, _number(query, "width"))), 380)
    svg = draw_chart(chart, size=size, x_scale=scale, css="")
    return {"html": svg, "words": told, **choices, "x": key, "y": metric}


def _filtered(listing: Listing, query: Mapping[str, str]) -> list[RunRecord]:
    passes = parse_filter(query.get("where", ""), listing.fields)
    return [run for run in listing.runs if passes(run)]


def _places(values: Sequence[Any]) -> tuple[list[float], ScaleKind]:
    """Where values lie across, and the kind of scale: numbers by size, or by factors; anything else side by side."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, dtype=np.float64)
        finite = numbers[np.isfinite(numbers)]
        by_factors = len(finite) > 0 and finite.min() > 0 and finite.max() / finite.min() >= FACTORS
        return numbers.tolist(), LogScale if by_factors else LinearScale
    names = sorted({value_text(value)[:40] for value in values})
    return [float(names.index(value_text(value)[:40])) for value in values], NameScale(tuple(names))


def _dot(run: RunRecord, x: float, up: Field, styles: Styles) -> Line:
    value = float(up.read(run))
    style = styles.of_run(run.run_id)
    # Runs that are not shown in the curves are the grey of the palette.
    return Line(
        f"{run.name}: {number_text(value)}", np.array([x]), np.array([value]), 6 if style is None else style, "thin"
    )


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    return int(text) if text.isdecimal() else 880
