"""A comparison in a terminal: verdicts first, then notes and findings, scores, a curve, what differs, and the runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from rich.console import Console

from trackbridge.cli import render
from trackbridge.cli.plot import plot
from trackbridge.comparison.verdict import Verdict
from trackbridge.report.curves import metric_chart
from trackbridge.report.findings import TONES as FINDING_TONES
from trackbridge.report.groups import replicates_table
from trackbridge.report.tables import (
    circumstances_table,
    folded_settings_table,
    groups_table,
    runs_table,
    settings_table,
    subtitle_text,
    title_text,
)
from trackbridge.report.verdicts import TONES as VERDICT_TONES
from trackbridge.report.verdicts import leading_verdicts, verdicts_table

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison
    from trackbridge.comparison.verdict import PairVerdict

MAX_METRICS = 6
MAX_FINDINGS = 5
MAX_SENTENCES = 3
MAX_RUNS_READ = 500
"""Findings read whole curves, which takes seconds for a thousand long runs."""

WIDE_ENOUGH_FOR_A_CURVE = 100


def print_comparison(comparison: Comparison, console: Console | None = None, *, curve: str | None = None) -> None:
    """The whole comparison: verdicts, notes and findings, scores, curves, what differs, and the runs one by one.

    `curve` names the metric to draw; None draws the leading one, where the terminal is wide enough.
    """
    console = console or render.make_console()
    metrics = list(comparison.metrics)[:MAX_METRICS]
    render.print_line(console, title_text(comparison), style="bold")
    render.print_line(console, subtitle_text(comparison))
    render.print_line(console)
    # What could overturn a verdict comes before it.
    render.print_notes(console, [note for note in comparison.notes if note.level == "warning"])
    _print_answer(console, comparison)
    render.print_notes(console, [note for note in comparison.notes if note.level != "warning"])
    _print_gravest(console, comparison)
    tables = [groups_table(comparison, metrics), replicates_table(comparison, metrics[0])] if metrics else []
    if len(comparison.verdicts) > len(_told(comparison)):
        tables.append(verdicts_table(comparison, metrics))
    render.print_tables(console, tables)
    _print_curve(console, comparison, curve)
    runs = runs_table(comparison, metrics)
    if metrics and render.can_sketch(console):
        runs = render.with_curves(runs, comparison.runs, metrics[0])
    settings = settings_table(comparison)
    if not render.has_room(console, settings):
        settings = folded_settings_table(comparison)
    render.print_tables(console, [settings, circumstances_table(comparison)])
    render.print_tables(console, [runs])
    render.print_lineage(console, comparison.lineage_graph)


def _print_answer(console: Console, comparison: Comparison) -> None:
    verdicts = leading_verdicts(comparison)
    if len(verdicts) > MAX_SENTENCES:
        counts = Counter(one.verdict for one in verdicts)
        told = ", ".join(f"{counts[word]} {word}" for word in get_args(Verdict) if counts[word])
        begin = f"{verdicts[0].metric}, {len(verdicts)} comparisons"
        render.print_line(console, f"{begin}: {told}; the table of verdicts is below")
        render.print_line(console)
    for one in _told(comparison):
        render.print_line(console, one.sentence, style=render.tone_style(VERDICT_TONES[one.verdict]))
        render.print_line(console)


def _told(comparison: Comparison) -> tuple[PairVerdict, ...]:
    """The verdicts that get a sentence: those by the leading metric, unless there are more than anybody reads."""
    verdicts = leading_verdicts(comparison)
    return verdicts if len(verdicts) <= MAX_SENTENCES else ()


def _print_gravest(console: Console, comparison: Comparison) -> None:
    if len(comparison.runs) > MAX_RUNS_READ:
        render.print_line(console, "what is wrong with so many runs: trackbridge findings", style="dim")
        return
    found = [one for one in comparison.grouped_findings() if one.first.severity != "info"]
    for one in found[:MAX_FINDINGS]:
        style = render.tone_style(FINDING_TONES[one.first.severity])
        render.print_line(console, f"{one.first.severity}: {one.sentence}", style=style)
    if len(found) > MAX_FINDINGS:
        render.print_line(console, f"and {len(found) - MAX_FINDINGS} more: trackbridge findings", style="dim")
    if found:
        render.print_line(console)


def _print_curve(console: Console, comparison: Comparison, wanted: str | None) -> None:
    has_room = console.is_terminal and console.width >= WIDE_ENOUGH_FOR_A_CURVE
    metric = wanted or (next(iter(comparison.metrics), None) if has_room else None)
    if metric is None or all(score.n < 2 for score in comparison.metrics[metric].runs):
        return
    chart = metric_chart(comparison, metric)
    n_lines = sum(line.weight == "bold" for line in chart.lines)
    has_colours = console.color_system is not None and not console.no_color
    in_braille = render.can_sketch(console) and (has_colours or n_lines < 2)
    for row in plot(chart, width=console.width, in_braille=in_braille):
        console.print(row, no_wrap=True, crop=True)
    render.print_line(console)
