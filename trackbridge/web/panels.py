"""The panels below the table: the comparison of the picked runs, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.diff import diff_runs
from trackbridge.report.html import folded_html, runs_panel, scores_panel, section_html
from trackbridge.report.markup import element, text
from trackbridge.report.tables import diff_tables, subtitle_text, title_text
from trackbridge.report.text import counted
from trackbridge.web.asked import ComparisonAsked
from trackbridge.web.catalogue import Catalogue
from trackbridge.web.charts import reference_first

NOTHING = element("p", "Tick runs in the table to compare them.", class_="muted")


def comparison_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the report of these runs says, without its curves."""
    compared = picked_comparison(catalogue, asked)
    if compared is None:
        return {"html": NOTHING}
    head = element("h2", text(title_text(compared))) + element("p", text(subtitle_text(compared)), class_="muted")
    parts = [*scores_panel(compared), *runs_panel(compared)]
    return {"html": head + "".join(map(folded_html, parts))}


def differences_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """Config, seeds and environment of the picked runs, differences only, read against the first pinned one."""
    runs = reference_first(catalogue.runs([run_id for run_id in asked.picked if run_id]), asked.pinned)
    if len(runs) < 2:
        return {"html": element("p", "Tick two runs or more to see what differs.", class_="muted")}
    diff = diff_runs(runs)
    shown = diff.differences if query.get("volatile") == "show" else diff.visible
    words = f"Read against {diff.names[0]}. {counted(diff.n_equal, 'key')} equal in all of them."
    if shown is diff.visible and diff.n_volatile:
        words += f" {counted(diff.n_volatile, 'difference')} that say nothing about the training left out."
    tables = "".join(folded_html(section_html(table)) for table in diff_tables(diff, shown))
    return {"html": element("p", text(words), class_="muted") + (tables or element("p", "No difference."))}


def picked_comparison(catalogue: Catalogue, asked: ComparisonAsked) -> Comparison | None:
    """The comparison of the picked runs, read against the first pinned one; None when none is picked."""
    runs = reference_first(catalogue.runs([run_id for run_id in asked.picked if run_id]), asked.pinned)
    if not runs:
        return None
    return compare(runs, baseline=runs[0] if runs[0].run_id in asked.pinned else None, at=asked.at)
