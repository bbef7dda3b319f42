"""
A comparison as one HTML file: no script, no second file, no address. It opens from a mail, a CI artifact or a
folder, in light and in dark, on a phone as on a desk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

from trackbridge import __version__
from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.sweep import sweep
from trackbridge.report.chart import NARROW, WIDE, Chart, Size, draw_chart
from trackbridge.report.curves import metric_chart
from trackbridge.report.markup import element, text
from trackbridge.report.palette import colour_class, colour_classes_css, palette_css
from trackbridge.report.scale import LinearScale, LogScale, suitable_scale
from trackbridge.report.sweep import sweep_chart
from trackbridge.report.tables import (
    AT_WORDS,
    Cell,
    Column,
    Table,
    circumstances_table,
    group_text,
    groups_table,
    lineage_table,
    runs_table,
    settings_table,
    subtitle_text,
    title_text,
)
from trackbridge.report.text import counted

MAX_TABLE_METRICS = 6
MAX_CHARTS = 6
MAX_CARDS = 6
MAX_OPEN_ROWS = 25
# All charts of a page share these, so that a page of many long runs still fits in a mail.
MAX_POINTS_WIDE = 14_000
MAX_POINTS_NARROW = 6_000

_BREAKS = re.compile(r"([./_=,])(?=\w)")

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def comparison_page(comparison: Comparison, *, against: str | None = None) -> str:
    """The whole page: headline, notes, scores by group, what differs, curves, scores by run.

    `against` names a config key that the scores are drawn against, before the curves.

    Raises:
        NotFoundError: none of the runs has that key.
        MisuseError: it holds something other than numbers.
    """
    metrics = list(comparison.metrics)[:MAX_TABLE_METRICS]
    title = title_text(comparison)
    body = "".join(
        [
            element("header", element("h1", text(title)), element("p", text(subtitle_text(comparison)))),
            *scores_panel(comparison),
            _sweeps(comparison, metrics, against) if against else "",
            _curves(comparison, metrics),
            *runs_panel(comparison),
            element("footer", text(f"trackbridge {__version__}")),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{text(title)}</title><style>{page_css()}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def page_css() -> str:
    """The rules of a page: its colours in light and in dark, tables, cards and notes."""
    rules = files("trackbridge.report").joinpath("page.css").read_text(encoding="utf-8")
    return palette_css(":root") + colour_classes_css() + rules


def scores_panel(comparison: Comparison) -> list[str]:
    """What comes before the curves: the scores in short, notes, scores by group, and what differs."""
    metrics = list(comparison.metrics)[:MAX_TABLE_METRICS]
    return [
        _cards(comparison, metrics),
        _notes(comparison),
        section_html(groups_table(comparison, metrics)) if metrics else "",
        section_html(settings_table(comparison)),
        section_html(circumstances_table(comparison)),
    ]


def runs_panel(comparison: Comparison) -> list[str]:
    """What comes after the curves: the runs one by one, and what they build on."""
    metrics = list(comparison.metrics)[:MAX_TABLE_METRICS]
    return [section_html(runs_table(comparison, metrics)), section_html(lineage_table(comparison.lineage))]


def folded_html(section: str) -> str:
    """A section; where its table is long, such as that of packages, behind its heading until it is asked for."""
    if section.count("<tr>") <= MAX_OPEN_ROWS:
        return section
    head, rest = section.removeprefix("<section>").removesuffix("</section>").split("</h2>", 1)
    return element("section", element("details", element("summary", head + "</h2>"), rest))


def section_html(table: Table) -> str:
    """A table under its title; nothing where it has no rows."""
    if not table.rows:
        return ""
    caption = element("p", text(table.caption), class_="muted") if table.caption else ""
    return element("section", element("h2", text(table.title)), caption, table_html(table))


def table_html(table: Table) -> str:
    """A table in a frame that scrolls by itself where the page is narrower."""
    head = element(
        "tr", *(element("th", text(column.title), scope="col", class_=_side(column)) for column in table.columns)
    )
    rows = [
        element(
            "tr",
            _name_cell(row[0], table.columns[0]),
            *(_cell(*pair) for pair in zip(row[1:], table.columns[1:], strict=True)),
        )
        for row in table.rows
    ]
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *rows)),
        class_="scroll",
        role="region",
        tabindex="0",
        aria_label=table.title,
    )


def _cards(comparison: Comparison, metrics: Sequence[str]) -> str:
    if not metrics or len(comparison.groups) > MAX_CARDS:
        return ""
    cards = []
    for style, score in enumerate(comparison.metrics[metrics[0]].groups):
        cards.append(
            element(
                "div",
                element("div", text(score.label), class_="label"),
                element("div", text(group_text(score)), class_="score"),
                element("div", text(f"{metrics[0]} over {counted(score.n_runs, 'run')}"), class_="muted"),
                class_=f"card {colour_class(style)}",
            )
        )
    return element("div", *cards, class_="cards")


def _notes(comparison: Comparison) -> str:
    items = [element("li", text(note.text), class_=note.level) for note in comparison.notes]
    return element("ul", *items, class_="notes") if items else ""


def _curves(comparison: Comparison, metrics: Sequence[str]) -> str:
    drawn = [name for name in metrics if any(score.n > 1 for score in comparison.metrics[name].runs)][:MAX_CHARTS]
    charts = [element("figure", *_chart_in_both_sizes(comparison, name, len(drawn))) for name in drawn]
    if not charts:
        return ""
    words = "Bold: mean of a group, with a band of one standard deviation, as far as all its runs go."
    caption = element(
        "p", text(f"{words} Thin: single runs; a dot marks where the leading metric was best."), class_="muted"
    )
    return element("section", element("h2", "Curves"), caption, *charts)


def _sweeps(comparison: Comparison, metrics: Sequence[str], key: str) -> str:
    sweeps = [sweep(comparison, metric, key) for metric in metrics[:MAX_CHARTS]]
    charts = [element("figure", *_in_both_sizes(sweep_chart(one), LinearScale, len(sweeps))) for one in sweeps]
    words = f"A dot: one run, {AT_WORDS[comparison.at]}. The line: their means, with a band of one standard deviation."
    left_out = max((one.n_without for one in sweeps), default=0)
    words += f" {counted(left_out, 'run')} without that key or score not shown." if left_out else ""
    heading = element("h2", text(f"Scores against {key}"))
    return element("section", heading, element("p", text(words), class_="muted"), *charts)


def _chart_in_both_sizes(comparison: Comparison, metric: str, n_charts: int) -> Iterator[str]:
    chart = metric_chart(comparison, metric)
    yield from _in_both_sizes(chart, suitable_scale([line.values for line in chart.lines]), n_charts)


def _in_both_sizes(chart: Chart, y_scale: type[LinearScale] | type[LogScale], n_charts: int) -> Iterator[str]:
    for size, points, name in ((WIDE, MAX_POINTS_WIDE, "wide"), (NARROW, MAX_POINTS_NARROW, "narrow")):
        fitted = Size(size.width, size.height, points // n_charts)
        yield element("div", draw_chart(chart, size=fitted, y_scale=y_scale), class_=name)


def _name_cell(cell: Cell, column: Column) -> str:
    swatch = element("i", "", class_=colour_class(cell.style)) if cell.style is not None else ""
    # Names of keys and groups have no spaces: a narrow column may break them after their signs.
    return element("th", swatch, _BREAKS.sub(r"\1<wbr>", text(cell.text)), scope="row", class_=_side(column))


def _cell(cell: Cell, column: Column) -> str:
    tone = "" if cell.tone == "plain" else cell.tone
    shade = "" if cell.shade is None else f"s{cell.shade}"
    return element("td", text(cell.text), class_=" ".join(filter(None, (_side(column), tone, shade))))


def _side(column: Column) -> str:
    return "right" if column.align == "right" else ""
