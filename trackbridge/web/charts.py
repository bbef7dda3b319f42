"""Charts of picked runs: the one drawing code, and what a pointer over it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trackbridge.report.chart import Size, draw_chart
from trackbridge.report.labels import line_key
from trackbridge.report.markup import element, text
from trackbridge.report.overlay import Curve, ReadOut, overlay_chart, overlay_words, place_text, read_out
from trackbridge.report.scale import LinearScale, LogScale
from trackbridge.report.text import counted, number_text
from trackbridge.store.records import RunRecord
from trackbridge.web.asked import ChartAsked
from trackbridge.web.catalogue import Catalogue
from trackbridge.web.styles import Styles

MAX_POINTS = 24_000
MAX_READ_OUT = 30


def chart(catalogue: Catalogue, asked: ChartAsked) -> dict[str, Any]:
    """The chart as JSON data: `svg` is markup, `words` say what it shows."""
    curves, n_without = picked_curves(catalogue, asked)
    if not curves:
        return {"svg": "", "words": _lacking(asked.metric, n_without)}
    drawn = overlay_chart(asked.metric, curves, asked.view)
    size = Size(asked.width, max(240, min(400, round(asked.width * 0.42))), MAX_POINTS)
    y_scale = LogScale if asked.is_log_y else LinearScale
    svg = draw_chart(drawn, size=size, x_scale=asked.view.x_scale, y_scale=y_scale, css="")
    return {"svg": svg, "words": overlay_words(curves, asked.view, n_without)}


def reading(catalogue: Catalogue, asked: ChartAsked, at: float) -> dict[str, Any]:
    """What the lines stand at, at a place on the axis: `where` in words, `rows` as markup."""
    curves, _ = picked_curves(catalogue, asked)
    found = [one for one in read_out(curves, asked.view, at) if one.value is not None]
    rows = "".join(_row(one) for one in found[:MAX_READ_OUT])
    more = len(found) - MAX_READ_OUT
    if more > 0:
        rows += element("tr", element("td", text(f"and {more} more"), colspan="3", class_="muted"))
    return {"where": place_text(at, asked.view.axis), "rows": rows}


def picked_curves(catalogue: Catalogue, asked: ChartAsked) -> tuple[list[Curve], int]:
    """The curves of the picked runs that have the metric, and how many have not."""
    picked = catalogue.runs(asked.picked)
    runs = reference_first(picked, asked.pinned)
    # The groups' places are their styles, so they are found in the order in which the table finds them.
    groups = catalogue.groups(picked)
    styles = Styles.of(asked.picked, groups if asked.view.is_grouped else None)
    labels = {run.run_id: group.label for group in groups for run in group.runs}
    having = [run for run in runs if asked.metric in run.metrics]
    curves = [
        Curve(
            run=run,
            group=labels[run.run_id],
            style=styles.of_run(run.run_id) or 0,
            series=catalogue.series(run, asked.metric),
        )
        for run in having
    ]
    return curves, len(runs) - len(having)


def reference_first(runs: Sequence[RunRecord], pinned: Sequence[str]) -> list[RunRecord]:
    """The runs with the pinned ones before the others, in the order they were pinned."""
    return sorted(runs, key=lambda run: pinned.index(run.run_id) if run.run_id in pinned else len(pinned))


def _lacking(metric: str, n_without: int) -> str:
    if n_without == 0:
        return "Tick runs in the table to see their curves."
    return f"{counted(n_without, 'run')} shown, none of which has logged {metric}."


def _row(one: ReadOut) -> str:
    name = one.label if len(one.label) <= 60 else f"{one.label[:40]}…{one.label[-18:]}"
    value = number_text(one.value) + (f" ± {number_text(one.sd, 2)}" if one.sd is not None else "")
    n = f" ({counted(one.n, 'run')})" if one.n > 1 else ""
    return element(
        "tr",
        element("td", line_key(one.style)),
        element("td", text(name + n)),
        element("td", text(value), class_="right"),
    )
