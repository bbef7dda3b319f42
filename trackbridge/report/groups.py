"""Groups: every run of every group as a dot, the means with their intervals, and what replicates tell together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.replicates import GroupStatistics
from trackbridge.comparison.scores import GroupScore
from trackbridge.report.strip import Dot, Strip, StripRow
from trackbridge.report.tables import Cell, Column, Table, at_text
from trackbridge.report.text import counted, number_text

_NONE = "-"


def group_strip(comparison: Comparison, metric: str) -> Strip:
    """The strip of one metric: a row per group, hollow dots for runs that are no part of its mean."""
    groups = comparison.metrics[metric].groups
    rows = tuple(_row(comparison, metric, index, score) for index, score in enumerate(groups))
    return Strip(f"{metric}, each run {at_text(comparison)}", rows, "; ".join(map(_told, groups)))


def _row(comparison: Comparison, metric: str, index: int, score: GroupScore) -> StripRow:
    dots = tuple(_dots(comparison, metric, index))
    interval = score.statistics.interval if score.statistics else None
    mean = score.scores.mean if score.scores.n > 1 else None
    return StripRow(score.label, index, dots, mean, interval)


def _dots(comparison: Comparison, metric: str, index: int) -> Iterator[Dot]:
    names = dict(zip((run.run_id for run in comparison.runs), comparison.names, strict=True))
    for run in comparison.groups[index].runs:
        score = comparison.metrics[metric].run(run.run_id)
        point = score.at(comparison.at) if score else None
        if score is not None and point is not None:
            yield Dot(names[run.run_id], point.value, hollow=score.standing != "counts")


def _told(score: GroupScore) -> str:
    interval = score.statistics.interval if score.statistics else None
    between = f", interval {number_text(interval.low)} to {number_text(interval.high)}" if interval else ""
    return f"{score.label}: mean {number_text(score.scores.mean)}{between} over {counted(score.scores.n, 'run')}"


def replicates_table(comparison: Comparison, metric: str) -> Table:
    """One row per group: what its replicates tell together of one metric; no rows without scipy."""
    columns = (
        Column("group", importance="essential"),
        Column("scores", "right"),
        Column("95 % interval of the mean", "right", "essential"),
        Column("interquartile mean", "right"),
        Column("learned nothing", "right"),
        Column("luck of the best", "right"),
    )
    rows = tuple(
        (Cell(score.label, style=index), Cell(str(score.scores.n)), *_statistics_cells(score, score.statistics))
        for index, score in enumerate(comparison.metrics[metric].groups)
        if score.statistics is not None and score.n_runs > 1
    )
    caption = (
        "t interval; interquartile mean from 8 scores on; learned nothing: with the Wilson interval of the rate;"
        " luck: how far the best of so many runs lies from their mean by chance alone"
    )
    return _without_blanks(Table(f"What the replicates tell of {metric}", columns, rows, caption))


def _statistics_cells(score: GroupScore, known: GroupStatistics) -> Iterator[Cell]:
    interval, rate = known.interval, known.degenerate_rate
    failed = f"{score.n_degenerate} of {score.scores.n + score.n_degenerate} ({rate.low:.0%} to {rate.high:.0%})"
    yield Cell(f"{number_text(interval.low, 3)} to {number_text(interval.high, 3)}" if interval else _NONE)
    yield Cell(number_text(known.iqm))
    yield Cell(failed, tone="bad") if score.n_degenerate else Cell(_NONE)
    yield Cell(number_text(known.best_run_optimism, 2))


def _without_blanks(table: Table) -> Table:
    """The table without the columns that have nothing to tell of any group."""
    kept = [index for index in range(len(table.columns)) if any(row[index].text != _NONE for row in table.rows)]
    rows = tuple(tuple(row[index] for index in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows)
