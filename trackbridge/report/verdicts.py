"""Verdicts as a table and as sentences: which setting is better, by how much, and what could not be told."""

from __future__ import annotations

from collections.abc import Sequence

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.verdict import PairVerdict, Verdict
from trackbridge.report.tables import Cell, Column, Table, Tone
from trackbridge.report.text import number_text

TONES: dict[Verdict, Tone] = {"better": "good", "worse": "bad", "cannot tell": "muted", "identical": "plain"}

_COLUMNS = (
    Column("group", importance="essential"),
    Column("verdict", importance="essential"),
    Column("against"),
    Column("metric", importance="essential"),
    Column("difference", "right", "essential"),
    Column("95 % interval", "right"),
    Column("p", "right"),
    Column("p (Holm)", "right"),
    Column("n", "right", "extra"),
    Column("could be seen", "right"),
    Column("more runs", "right"),
)


def verdicts_table(comparison: Comparison, metrics: Sequence[str]) -> Table:
    """One row per pair of groups and metric, of the metrics that are shown."""
    shown = [one for one in comparison.verdicts if one.metric in metrics]
    family = max((one.n_family for one in shown), default=0)
    words = [
        "could be seen: the smallest difference that this many runs show; more runs: of each, to show the one found"
    ]
    words += [f"p (Holm) counts in all {family} comparisons, the intervals do not"] if family > 1 else []
    return Table("Verdicts", _COLUMNS, tuple(_row(one) for one in shown), "; ".join(words))


def leading_verdicts(comparison: Comparison) -> tuple[PairVerdict, ...]:
    """The verdicts by the leading metric, whose sentences come first everywhere."""
    return next((metric.verdicts for metric in comparison.metrics.values()), ())


def _row(one: PairVerdict) -> tuple[Cell, ...]:
    return (
        Cell(one.one.label, style=one.one.group),
        Cell(one.verdict, tone=TONES[one.verdict]),
        Cell(one.other.label),
        Cell(one.metric),
        Cell(_signed(one.effect)),
        Cell(f"{_signed(one.interval.low)} to {_signed(one.interval.high)}" if one.interval else "-"),
        Cell(number_text(one.p, 2)),
        Cell(number_text(one.p_adjusted, 2)),
        Cell(f"{one.n_pairs} pairs" if one.n_pairs is not None else f"{one.one.n}, {one.other.n}"),
        Cell(number_text(one.smallest_visible, 2)),
        Cell("-" if one.runs_more is None else str(one.runs_more)),
    )


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3g}"
