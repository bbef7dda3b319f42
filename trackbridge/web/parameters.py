"""Parameters against scores: parallel coordinates and a scatter plot of the runs that pass the filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trackbridge.comparison.fields import Field, Fields
from trackbridge.comparison.keys import key_role
from trackbridge.comparison.where import parse_filter
from trackbridge.events.names import lower_is_better
from trackbridge.report.chart import Chart, Line, Size, draw_chart
from trackbridge.report.markup import element
from trackbridge.report.parallel import FACTORS, Dimension, draw_parallel
from trackbridge.report.scale import LinearScale, LogScale, NameScale, ScaleKind
from trackbridge.report.text import counted, number_text, value_text
from trackbridge.store.records import RunRecord
from trackbridge.web.asked import ComparisonAsked
from trackbridge.web.catalogue import Catalogue, Listing
from trackbridge.web.styles import Styles

MAX_AXES = 8
MAX_LINES = 1000
_SIZE = Size(1100, 420)
_NOTHING = "No score to draw: the runs shown have no metric."


def parallel_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """Parallel coordinates of the runs that pass the filter: what varies among them, and a score."""
    listing = catalogue.listing()
    runs = _filtered(listing, query)
    metric = query.get("y") or next(iter(listing.metrics), "")
    if not metric or not runs:
        return {"html": element("p", _NOTHING, class_="muted"), "metrics": list(listing.metrics)}
    score = listing.fields.named(metric)
    having = [run for run in runs if score.read(run) is not None][:MAX_LINES]
    parameters = _parameters(listing.fields, having)[: MAX_AXES - 1]
    dimensions = [Dimension(one.title, tuple(one.read(run) for run in having)) for one in (*parameters, score)]
    size = Size(max(360, min(_SIZE.width, _number(query, "width"))), _SIZE.height)
    svg = draw_parallel([run.name for run in having], dimensions, lower_is_better(metric), size=size)
    words = f"{counted(len(having), 'run')}; the better the score, the stronger the line"
    wide = element("div", svg, class_="wider", role="region", tabindex="0", aria_label="Parallel coordinates")
    return {"html": wide, "words": words, "metrics": list(listing.metrics), "y": metric}


def scatter_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """A dot for each run that passes the filter: a score against a parameter, or against another score."""
    listing = catalogue.listing()
    runs = _filtered(listing, query)
    parameters = [one.key for one in _parameters(listing.fields, runs)]
    choices = {"metrics": list(listing.metrics), "parameters": [*parameters, *listing.metrics, "steps", "took"]}
    metric = query.get("y") or next(iter(listing.metrics), "")
    key = query.get("x") or next(iter(parameters), "") or (listing.metrics[-1] if listing.metrics else "")
    if not metric or not key or not runs:
        return {"html": element("p", _NOTHING, class_="muted"), **choices}
    across, up = listing.fields.named(key), listing.fields.named(metric)
    having = [run for run in runs if across.read(run) is not None and up.read(run) is not None][:MAX_LINES]
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


def _parameters(fields: Fields, runs: Sequence[RunRecord]) -> list[Field]:
    """The config keys that vary among the runs and could be causes; one of those that always change together."""
    found: dict[tuple[str, ...], Field] = {}
    for key in fields.varying(runs):
        if key_role(tuple(key.split(".")), None) == "config" and not key.startswith(("data.", "lineage.", "study.")):
            field = fields.named(key)
            pattern = tuple(repr(field.read(run)) for run in runs)
            # A text of its own in every run, such as a path, is a name and no parameter.
            is_name = len(set(pattern)) == len(runs) > 4 and any(isinstance(field.read(run), str) for run in runs)
            if not is_name:
                found.setdefault(pattern, field)
    return list(found.values())


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
