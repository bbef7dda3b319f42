"""Seeds: how far each of them moves a score, and what the best of n runs promises, as tables and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.expected_best import ExpectedBest
from trackbridge.comparison.note import named_runs
from trackbridge.comparison.seed_variance import SeedPart, SeedVariance
from trackbridge.report.chart import Band, Chart, Line
from trackbridge.report.scale import ScaleKind, Tick, TimeScale
from trackbridge.report.tables import Cell, Column, Importance, Table
from trackbridge.report.text import counted, duration_text, number_text

BUDGETS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
MIN_RUNS_TO_CHOOSE = 2
UNEQUAL_COST = 1.25


@dataclass(frozen=True, slots=True)
class RunsScale:
    """Whole numbers of runs, with what so many of them take; `hours_each` is None where that is not known."""

    hours_each: float | None
    low: float = 0.0
    high: float = 1.0
    note: ClassVar[str] = ""

    def covering(self, values: NDArray[np.float64], *, padding: float = 0.04) -> RunsScale:
        """From no run to the largest number."""
        return RunsScale(self.hours_each, 0.0, float(values.max(initial=1.0)))

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - self.low) / (self.high - self.low)

    def ticks(self, n: int) -> list[Tick]:
        distance = max(1, math.ceil((self.high - self.low) / max(1, n)))
        places = range(distance, math.floor(self.high) + 1, distance)
        return [Tick(place, self._label(place)) for place in places]

    def _label(self, n_runs: int) -> str:
        return f"{n_runs}" if self.hours_each is None else f"{n_runs}: {duration_text(n_runs * self.hours_each * 3600)}"


def seeds_table(comparison: Comparison, metric: str | None = None) -> Table:
    """One row per group and seed: its sd and its share of the variance, with intervals, or why that is not known."""
    columns = (
        Column("group", importance="essential"),
        Column("seed", importance="essential"),
        Column("sd", "right", "essential"),
        Column("95 % interval", "right"),
        Column("share of the variance", "right", "essential"),
        Column("95 % interval", "right", "essential"),
        Column("design", importance="extra"),
    )
    rows = []
    for index, group in enumerate(comparison.groups):
        found = comparison.seed_variance(index, metric)
        rows += [_part_row(group.label, index, part, found) for part in found.parts]
    caption = "one at a time: each seed varied with the others held, so its part holds what they do together"
    return Table("What each seed does", columns, tuple(rows), caption)


def seed_reasons(comparison: Comparison, metric: str | None = None) -> Iterator[str]:
    """Why the parts of some groups are not known, or not to be read as shares, one sentence for each reason."""
    labels: dict[str, list[str]] = {}
    for index, group in enumerate(comparison.groups):
        reason = comparison.seed_variance(index, metric).reason
        if reason:
            labels.setdefault(reason, []).append(group.label)
    for reason, alike in labels.items():
        yield f"{named_runs(alike, dict(zip(alike, alike, strict=True)))}: {reason}"


def best_of_table(comparison: Comparison, metric: str | None = None) -> Table:
    """One row per group, one column per number of runs tried: the expected best of so many, and what they take."""
    found = {index: best for index in range(len(comparison.groups)) if (best := _choosable(comparison, index, metric))}
    most = max((len(best.n_runs) for best in found.values()), default=0)
    budgets = [n for n in BUDGETS if n <= most]
    columns = [Column("group", importance="essential")]
    columns += [Column(f"best of {n}" if n > 1 else "1 run", "right", _weight(n)) for n in budgets]
    rows = tuple(
        (Cell(comparison.groups[index].label, style=index), *(_best_cell(best, n) for n in budgets))
        for index, best in found.items()
    )
    caption = "expected best score of n runs, those that failed among them, and how long they take (Dodge et al. 2019)"
    return Table("What trying more seeds promises", tuple(columns), rows, caption)


def best_of_chart(comparison: Comparison, metric: str | None = None) -> tuple[Chart, ScaleKind] | None:
    """The expected best of n runs of each group, with a band of one sd, over what they cost; None without two runs.

    Across are runs, with the time they take; where some groups' runs take longer than others', it is the time alone.
    """
    found = {index: best for index in range(len(comparison.groups)) if (best := _choosable(comparison, index, metric))}
    if not found:
        return None
    hours = [float(best.hours[0]) for best in found.values()]
    by_time = all(one > 0 for one in hours) and max(hours) > UNEQUAL_COST * min(hours)
    lines, bands = [], []
    for index, best in found.items():
        places = best.hours * 3600 if by_time else best.n_runs
        lines.append(Line(comparison.groups[index].label, places, best.best, index))
        bands.append(Band(places, best.best - best.sd, best.best + best.sd, index))
    name = next(iter(comparison.metrics)) if metric is None else metric
    told = [
        f"{line.label}: {number_text(float(line.values[-1]))} of {counted(len(line.values), 'run')}" for line in lines
    ]
    scale: ScaleKind = TimeScale if by_time else RunsScale(float(np.mean(hours)) if min(hours) > 0 else None)
    title = "time for training, one run after the other" if by_time else "runs tried"
    return Chart(f"expected best {name}", tuple(lines), tuple(bands), title, "; ".join(told)), scale


def _choosable(comparison: Comparison, index: int, metric: str | None) -> ExpectedBest | None:
    best = comparison.expected_best(index, metric)
    return best if best is not None and len(best.n_runs) >= MIN_RUNS_TO_CHOOSE else None


def _part_row(label: str, index: int, part: SeedPart, found: SeedVariance) -> tuple[Cell, ...]:
    return (
        Cell(label, style=index),
        Cell(part.what),
        Cell(number_text(part.sd, 2)),
        Cell(f"{number_text(part.sd_interval.low, 2)} to {number_text(part.sd_interval.high, 2)}"),
        Cell(f"{part.share:.0%}"),
        Cell(f"{part.share_interval.low:.0%} to {part.share_interval.high:.0%}"),
        Cell(f"{found.design}, {counted(found.n_runs, 'run')}"),
    )


def _best_cell(best: ExpectedBest, n: int) -> Cell:
    if n > len(best.n_runs):
        return Cell("-", tone="muted")
    hours = float(best.hours[n - 1])
    cost = f" ({duration_text(hours * 3600)})" if hours > 0 else ""
    return Cell(number_text(float(best.best[n - 1])) + cost)


def _weight(n: int) -> Importance:
    return "essential" if n in (1, 5) else "useful"
