"""Panels: the parts of a report, each a piece of markup; a page, a notebook and the web page put them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.sweep import sweep
from trackbridge.report.chart import NARROW, WIDE, Chart, Size, draw_chart
from trackbridge.report.curves import metric_chart
from trackbridge.report.groups import group_strip, replicates_table
from trackbridge.report.html import folded_html, list_html, scroll_html, section_html
from trackbridge.report.importance import SMALL, importance_table, parameter_pictures, settings_picture
from trackbridge.report.lineage import lineage_section
from trackbridge.report.markup import element, text
from trackbridge.report.palette import colour_class
from trackbridge.report.scale import LinearScale, ScaleKind, suitable_scale
from trackbridge.report.seeds import best_of_chart, best_of_table, seed_reasons, seeds_table
from trackbridge.report.strip import draw_strip
from trackbridge.report.sweep import sweep_chart
from trackbridge.report.tables import (
    at_text,
    circumstances_table,
    group_text,
    groups_table,
    runs_table,
    settings_table,
)
from trackbridge.report.text import counted
from trackbridge.report.verdicts import TONES, leading_verdicts, verdicts_table

MAX_TABLE_METRICS = 6
MAX_CHARTS = 6
MAX_CARDS = 6
MAX_SENTENCES = 3
MAX_OPEN_NOTES = 6
MAX_PARAMETER_PICTURES = 6
MAX_AXES = 6
MAX_ROWS_OF_DOTS = 20
# All charts of a page share these, so that a page of many long runs still fits in a mail.
MAX_POINTS = 12_000
NARROW_SHARE = 0.3


def shown_metrics(comparison: Comparison) -> list[str]:
    """The metrics that tables have room for, the leading one first."""
    return list(comparison.metrics)[:MAX_TABLE_METRICS]


def answer_panel(comparison: Comparison) -> str:
    """What the reader came for: scores in short, what could overturn them, and the verdicts by the leading metric."""
    verdicts = [(TONES[one.verdict], one.sentence) for one in leading_verdicts(comparison)]
    warnings = [(note.level, note.text) for note in comparison.notes if note.level == "warning"]
    told = list_html(verdicts, "verdicts", n_open=MAX_SENTENCES)
    return _cards(comparison) + list_html(warnings, "notes", n_open=MAX_OPEN_NOTES) + told


def findings_panel(comparison: Comparison, now_ns: int | None = None) -> str:
    """What is wrong with the runs, the gravest first, and what else to know of them. For `now_ns` see `findings`."""
    told = [(one.first.severity, one.sentence) for one in comparison.grouped_findings(now_ns)]
    remarks = [(note.level, note.text) for note in comparison.notes if note.level != "warning"]
    lists = list_html(told, "notes", n_open=MAX_OPEN_NOTES) + list_html(remarks, "notes", n_open=MAX_OPEN_NOTES)
    return element("section", element("h2", "Findings"), lists) if lists else ""


def scores_panel(comparison: Comparison) -> str:
    """The scores by group: every run as a dot, means with intervals, and the verdicts by every metric."""
    metrics = shown_metrics(comparison)
    if not metrics:
        return ""
    strip = group_strip(comparison, metrics[0])
    dots = "".join(
        element("div", draw_strip(strip, width=size.width, css=""), class_=name)
        for size, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )
    words = "A dot: one run; hollow where it is no part of the mean. A line across: the mean and its 95 % interval."
    figure = element("figure", element("p", text(words), class_="muted"), dots)
    parts = [section_html(groups_table(comparison, metrics))]
    is_drawn = len(comparison.runs) > 1 and len(strip.rows) <= MAX_ROWS_OF_DOTS
    parts += [element("section", figure)] if is_drawn else []
    parts += [section_html(replicates_table(comparison, metrics[0]))]
    parts += [folded_html(section_html(verdicts_table(comparison, metrics)))]
    return "".join(parts)


def differences_panel(comparison: Comparison) -> str:
    """What differs between the groups, and between the machines and packages that runs were made with."""
    return section_html(settings_table(comparison)) + section_html(circumstances_table(comparison))


def curves_panel(comparison: Comparison, *, limit: int = MAX_CHARTS, max_points: int = MAX_POINTS) -> str:
    """A chart of each metric that has curves, the first `limit` of them: runs, means and bands, the leading one large.

    `max_points` is how many points all charts together may have.
    """
    metrics = shown_metrics(comparison)
    drawn = [name for name in metrics if any(score.n > 1 for score in comparison.metrics[name].runs)][:limit]
    if not drawn:
        return ""
    share = max_points // (len(drawn) + 1)
    leading, *others = [metric_chart(comparison, name) for name in drawn]
    large = element("figure", *_in_both_sizes(leading, 2 * share, y_scale=_scale_of(leading)))
    small = [draw_chart(one, size=replace(SMALL, max_points=share), y_scale=_scale_of(one), css="") for one in others]
    grid = element("div", *(element("figure", one) for one in small), class_="pair") if small else ""
    words = "Bold: mean of a group, with a band of one standard deviation, as far as all its runs go."
    caption = element(
        "p", text(f"{words} Thin: single runs; a dot marks where the leading metric was best."), class_="muted"
    )
    return element("section", element("h2", "Curves"), caption, large, grid)


def sweeps_panel(comparison: Comparison, key: str) -> str:
    """The scores against a config key that holds numbers.

    Raises:
        NotFoundError: none of the runs has that key.
        MisuseError: it holds something other than numbers.
    """
    sweeps = [sweep(comparison, metric, key) for metric in shown_metrics(comparison)[:MAX_CHARTS]]
    charts = [element("figure", *_in_both_sizes(sweep_chart(one), MAX_POINTS)) for one in sweeps]
    words = f"A dot: one run, {at_text(comparison)}. The line: their means, with a band of one standard deviation."
    left_out = max((one.n_without for one in sweeps), default=0)
    words += f" {counted(left_out, 'run')} without that key or score not shown." if left_out else ""
    heading = element("h2", text(f"Scores against {key}"))
    return element("section", heading, element("p", text(words), class_="muted"), *charts)


def importance_panel(comparison: Comparison) -> str:
    """Which parameters the leading metric is associated with, and the scores against each; or why nobody can say."""
    if not comparison.metrics or len(comparison.groups) < 2:
        return ""
    name, importance = next(iter(comparison.metrics)), comparison.importance()
    if not importance.parameters:
        reason = element("p", text(f"{name}: {importance.reason}."), class_="muted")
        return element("section", element("h2", "Parameters"), reason)
    pictures = parameter_pictures(importance, name, limit=MAX_PARAMETER_PICTURES, css="")
    grid = element("div", *(element("figure", one) for one in pictures), class_="pair")
    associated = [("info", one.sentence) for one in importance.parameters if one.evidence == "associated"]
    sentences = list_html(associated, "notes", n_open=MAX_OPEN_NOTES)
    lower_is_better = comparison.metrics[name].lower_is_better
    lines = settings_picture(importance, name, lower_is_better=lower_is_better, limit=MAX_AXES)
    parallel = element("figure", scroll_html(lines, "settings on parallel axes")) if lines else ""
    return section_html(importance_table(importance)) + sentences + grid + parallel


def seeds_panel(comparison: Comparison) -> str:
    """How far each seed moves the leading metric, and what the best of n runs promises."""
    if not comparison.metrics:
        return ""
    table = seeds_table(comparison)
    reasons = [("info", one) for one in seed_reasons(comparison)] if table.rows else []
    found = best_of_chart(comparison)
    figures = element("figure", *_in_both_sizes(found[0], MAX_POINTS, x_scale=found[1])) if found else ""
    told = section_html(table) + list_html(reasons, "notes", n_open=MAX_OPEN_NOTES)
    return told + section_html(best_of_table(comparison)) + figures


def runs_panel(comparison: Comparison) -> str:
    """The runs one by one, and what they build on."""
    metrics = shown_metrics(comparison)
    return section_html(runs_table(comparison, metrics)) + lineage_section(comparison)


def _cards(comparison: Comparison) -> str:
    leading = next(iter(comparison.metrics.values()), None)
    if leading is None or len(comparison.groups) > MAX_CARDS:
        return ""
    cards = [
        element(
            "div",
            element("div", text(score.label), class_="label"),
            element("div", text(group_text(score)), class_="score"),
            element("div", text(f"{leading.name} over {counted(score.n_runs, 'run')}"), class_="muted"),
            class_=f"card {colour_class(style)}",
        )
        for style, score in enumerate(leading.groups)
    ]
    return element("div", *cards, class_="cards")


def _scale_of(chart: Chart) -> ScaleKind:
    return suitable_scale([line.values for line in chart.lines])


def _in_both_sizes(
    chart: Chart, max_points: int, *, x_scale: ScaleKind = LinearScale, y_scale: ScaleKind = LinearScale
) -> Iterator[str]:
    for size, share, name in ((WIDE, 1 - NARROW_SHARE, "wide"), (NARROW, NARROW_SHARE, "narrow")):
        fitted = Size(size.width, size.height, round(share * max_points))
        yield element("div", draw_chart(chart, size=fitted, x_scale=x_scale, y_scale=y_scale, css=""), class_=name)
