"""
What a notebook shows of a comparison or a run: the panels of the report, without the page around them.

The rules apply below one class alone, so that they change nothing else in the notebook. Colours follow the theme of
JupyterLab and VS Code where these say it, else what the reader's system prefers.
"""

from __future__ import annotations

from collections.abc import Iterator

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.metrics import chosen_metrics
from trackbridge.report.chart import NARROW, WIDE, Chart, Line, Size, draw_chart
from trackbridge.report.html import folded_html, part_css, section_html, table_html
from trackbridge.report.markup import element, text
from trackbridge.report.palette import notebook_palette_css
from trackbridge.report.panels import (
    answer_panel,
    curves_panel,
    differences_panel,
    findings_panel,
    runs_panel,
    scores_panel,
)
from trackbridge.report.picture import picture_css
from trackbridge.report.run_tables import identity, metrics_table, run_tables
from trackbridge.report.scale import suitable_scale
from trackbridge.report.tables import Cell, Column, Table, subtitle_text, title_text
from trackbridge.store.records import RunRecord

TRAINING_LOSS = "train/loss"
MAX_POINTS = 1000
SELECTOR = ".trackbridge"


def comparison_html(comparison: Comparison) -> str:
    """Verdicts, scores, findings, the leading curves, what differs and the runs; small enough to keep in a notebook."""
    head = element("h2", text(title_text(comparison))) + element("p", text(subtitle_text(comparison)), class_="muted")
    parts = [
        answer_panel(comparison),
        scores_panel(comparison),
        findings_panel(comparison),
        curves_panel(comparison, limit=1, max_points=4 * MAX_POINTS),
        differences_panel(comparison),
        runs_panel(comparison),
    ]
    return _output(head + "".join(parts))


def run_html(run: RunRecord) -> str:
    """A run in full: what it is, the curves of its score and its training loss, and its tables, long ones folded."""
    columns = (Column("field", importance="essential"), Column("value", importance="essential"))
    known = Table(run.name, columns, tuple((Cell(label), Cell(value)) for label, value in identity(run)))
    head = element("h2", text(f"{run.project} / {run.name}"))
    tables = [metrics_table(run), *run_tables(run)]
    sections = "".join(folded_html(section_html(table)) for table in tables)
    return _output(head + table_html(known) + "".join(_curves(run)) + sections)


def _curves(run: RunRecord) -> Iterator[str]:
    chosen = dict.fromkeys([*chosen_metrics([run], None)[:1], TRAINING_LOSS])
    for name in (name for name in chosen if name in run.metrics and run.metrics[name].n > 1):
        series = run.series(name)
        chart = Chart(name, (Line(run.name, series.steps, series.values, 0),))
        scale = suitable_scale([series.values])
        for size, kind in ((WIDE, "wide"), (NARROW, "narrow")):
            fitted = Size(size.width, size.height - 60, MAX_POINTS)
            yield element("div", draw_chart(chart, size=fitted, y_scale=scale, css=""), class_=kind)


def _output(body: str) -> str:
    # Rules nested in one class: CSS Nesting Module, W3C, in browsers since 2023.
    rules = f"{notebook_palette_css(SELECTOR)}{SELECTOR}{{{_FRAME}{part_css()}{picture_css()}}}"
    return element("div", element("style", rules), body, class_=SELECTOR.removeprefix("."))


_FRAME = (
    "color:var(--ink);background:var(--paper);padding:4px 14px 14px;max-width:980px;"
    "font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "table{margin:0;border:none}tr,th,td{background:none;border-left:none;border-right:none}"
)
