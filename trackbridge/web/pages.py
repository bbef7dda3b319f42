"""The two pages, as far as they are there before a script asks for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from trackbridge.comparison.metrics import is_bookkeeping, metric_order
from trackbridge.report.html import folded_html, lines_html, section_html
from trackbridge.report.markup import element, text
from trackbridge.report.run_tables import identity, metrics_table, run_tables
from trackbridge.report.tables import Table, status_cell
from trackbridge.store.console import printed_last
from trackbridge.store.records import RunRecord
from trackbridge.web.catalogue import Catalogue
from trackbridge.web.run_media import media_names

MAX_TITLE_CHARS = 200
MAX_VALUE_CHARS = 2000


def runs_page(root: Path) -> str:
    """The table of all runs, and the panels of those picked."""
    body = files("trackbridge.web").joinpath("static").joinpath("runs.html").read_text(encoding="utf-8")
    return _document("trackbridge", str(root), body, script="runs.js")


def run_page(catalogue: Catalogue, run_id: str) -> str:
    """One run: its scores and curves, what it logged beside them, and everything it was told.

    Raises:
        NotFoundError: there is no such run.
    """
    run = catalogue.run(run_id)
    name = _cut(run.name)
    parts = [
        element("h1", text(name), element("span", text(run.status), class_=f"badge {status_cell(run).tone}")),
        element("p", text(f"in {run.project}"), class_="muted"),
        _identity(run),
        _failure(run),
        _printed(run),
        section_html(metrics_table(run)),
        _curves(run),
        _media(run),
        *(folded_html(section_html(_cut_cells(table))) for table in run_tables(run) if table.title != "Media"),
    ]
    return _document(name, str(catalogue.store.root), element("main", *parts, class_="run", data_run=run_id), "run.js")


def message_page(words: str) -> str:
    """A page that says one thing."""
    body = element("main", element("h1", "Not here"), element("p", text(words)), element("p", _HOME), class_="run")
    return _document("trackbridge", "", body, script="")


_HOME = element("a", "All runs", href="/")


def _document(title: str, root: str, body: str, script: str) -> str:
    scripts = element("script", "", type="module", src=f"/static/{script}") if script else ""
    styles = "".join(element("link", rel="stylesheet", href=f"/static/{name}") for name in ("report.css", "page.css"))
    top = element(
        "header",
        element("a", "trackbridge", href="/", class_="brand"),
        element("span", text(root), class_="root", title=root),
        element("span", "", id="live", role="status", class_="live"),
        class_="top",
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="/static/icon.svg">'
        f"<title>{text(title)}</title>{styles}{scripts}</head><body>{top}{body}</body></html>\n"
    )


def _identity(run: RunRecord) -> str:
    pairs = [element("dt", text(label)) + element("dd", text(_cut(value, 2000))) for label, value in identity(run)]
    return element("dl", *pairs)


def _failure(run: RunRecord) -> str:
    traceback = next((one.traceback for one in reversed(run.sessions) if one.traceback), None)
    if not traceback:
        return ""
    return element("section", element("h2", "What went wrong"), lines_html(traceback[-20_000:].rstrip()))


def _printed(run: RunRecord) -> str:
    lines = printed_last(run)
    return element("section", element("h2", "Printed last"), lines_html("\n".join(lines))) if lines else ""


def _curves(run: RunRecord) -> str:
    names = sorted((name for name, one in run.metrics.items() if one.n > 1), key=metric_order)
    if not names:
        return ""
    shown = [name for name in names if not is_bookkeeping(name)] or names
    more = [name for name in names if name not in shown]
    charts = element("div", *_chart_places(shown), class_="charts")
    rest = element(
        "details", element("summary", f"{len(more)} more"), element("div", *_chart_places(more), class_="charts")
    )
    return element("section", element("h2", "Curves"), _TOOLS, charts, rest if more else "")


def _chart_places(names: Sequence[str]) -> list[str]:
    return [element("div", "", class_="chart", data_metric=name) for name in names]


_TOOLS = element("div", "", id="tools", class_="tools")


def _media(run: RunRecord) -> str:
    parts = []
    for name, steps in media_names(run).items():
        last = len(steps) - 1
        slider = element(
            "input", type="range", min="0", max=str(last), value=str(last), data_steps=" ".join(map(str, steps)),
            aria_label=f"Step of {_cut(name)}",
        )  # fmt: skip
        head = element("h3", text(_cut(name))) + (slider if last else "") + element("output", f"step {steps[-1]}")
        place = element("div", "", class_="shown", aria_live="polite", aria_busy="true")
        parts.append(element("div", element("div", head, class_="tools"), place, class_="media", data_media=name))
    return element("section", element("h2", "Media and tables by step"), *parts) if parts else ""


def _cut_cells(table: Table) -> Table:
    """The table without the rest of values that are whole documents; these stand in the journal."""
    rows = tuple(tuple(replace(cell, text=_cut(cell.text, MAX_VALUE_CHARS)) for cell in row) for row in table.rows)
    return replace(table, rows=rows)


def _cut(name: str, n_characters: int = MAX_TITLE_CHARS) -> str:
    return name if len(name) <= n_characters else name[: n_characters - 1] + "…"
