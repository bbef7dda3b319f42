"""The panels below the table: the comparison of the picked runs, what differs between them, seeds and parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.diff import diff_runs
from trackbridge.comparison.divergence import first_divergence
from trackbridge.comparison.where import parse_filter
from trackbridge.report import panels as report_panels
from trackbridge.report.html import folded_html, list_html, section_html
from trackbridge.report.markup import element, text
from trackbridge.report.panels import answer_panel, findings_panel, runs_panel, scores_panel
from trackbridge.report.tables import alias_sentences, diff_tables, subtitle_text, title_text
from trackbridge.report.text import counted
from trackbridge.web.asked import ComparisonAsked
from trackbridge.web.catalogue import Catalogue, likeliest_metrics
from trackbridge.web.charts import reference_first

MAX_RUNS = 1000
MAX_BESIDE = 200
MAX_DIVERGENCES = 4
NOTHING = element("p", "Tick runs in the table to compare them.", class_="muted")


def comparison_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the report of the picked runs says: verdicts, findings, scores, runs and what they build on."""
    compared = picked_comparison(catalogue, asked)
    if compared is None:
        return {"html": NOTHING}
    findings = findings_panel(compared, time.time_ns())
    return {"html": _head(compared) + answer_panel(compared) + scores_panel(compared) + findings + runs_panel(compared)}


def seeds_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """How far each seed moves the score of the picked runs, and what the best of n runs promises."""
    compared = picked_comparison(catalogue, asked)
    if compared is None:
        return {"html": NOTHING}
    return {"html": _head(compared) + (report_panels.seeds_panel(compared) or NOTHING)}


def importance_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """Which parameters the score is associated with, over all runs that pass the filter."""
    listing = catalogue.listing()
    passes = parse_filter(query.get("where", ""), listing.fields)
    runs = [run for run in listing.runs if passes(run)][:MAX_RUNS]
    metrics = list(likeliest_metrics(runs))
    metric = query.get("y") or next(iter(metrics), "")
    if metric not in metrics:
        nothing = element("p", "No score to explain: the runs shown have none.", class_="muted")
        return {"html": nothing, "metrics": metrics}
    compared = compare(runs, metrics=[metric], at=asked.at)
    words = "One setting only: nothing differs that could explain a score."
    told = report_panels.importance_panel(compared) or element("p", words, class_="muted")
    return {"html": _head(compared) + told, "metrics": metrics, "y": metric}


def differences_panel(catalogue: Catalogue, asked: ComparisonAsked, query: Mapping[str, str]) -> dict[str, Any]:
    """Config, seeds and environment of the picked runs, differences only, and where their curves part.

    All are read against the first pinned run.
    """
    runs = reference_first(catalogue.runs([run_id for run_id in asked.picked if run_id]), asked.pinned)
    if len(runs) < 2:
        return {"html": element("p", "Tick two runs or more to see what differs.", class_="muted")}
    diff = diff_runs(runs)
    shown = diff.differences if query.get("volatile") == "show" else diff.visible
    words = f"Read against {diff.names[0]}. {counted(diff.n_equal, 'key')} equal in all of them."
    if shown is diff.visible and diff.n_volatile:
        words += f" {counted(diff.n_volatile, 'difference')} that say nothing about the training left out."
    reference, *others = runs
    parted = [first_divergence(reference, other).sentence for other in others[:MAX_DIVERGENCES]]
    told = [("info", sentence) for sentence in (*alias_sentences(diff, shown), *parted)]
    tables = "".join(folded_html(section_html(table)) for table in diff_tables(diff, shown))
    head = element("p", text(words), class_="muted") + list_html(told, "notes", n_open=MAX_DIVERGENCES)
    return {"html": head + (tables or element("p", "No difference."))}


def _head(compared: Comparison) -> str:
    return element("h2", text(title_text(compared))) + element("p", text(subtitle_text(compared)), class_="muted")


def picked_comparison(catalogue: Catalogue, asked: ComparisonAsked) -> Comparison | None:
    """The comparison of the picked runs, read against the first pinned one; None when none is picked.

    The latest other runs of their project tell how far seeds alone move a score.
    """
    runs = reference_first(catalogue.runs([run_id for run_id in asked.picked if run_id]), asked.pinned)
    if not runs:
        return None
    projects = {run.project for run in runs}
    beside = [run for run in catalogue.listing().runs if run.project in projects][:MAX_BESIDE]
    baseline = runs[0] if runs[0].run_id in asked.pinned else None
    return compare(runs, baseline=baseline, at=asked.at, noise_from=beside)
