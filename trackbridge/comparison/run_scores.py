"""What one metric says of each run: last, best, at the last common position, and the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trackbridge.comparison.align import Align, CommonPosition, held_at, positions
from trackbridge.comparison.halted import is_halted
from trackbridge.events.names import lower_is_better
from trackbridge.store.records import MetricSummary, RunRecord

At: TypeAlias = Literal["best", "last", "common"]
"""Which value of a run is compared: at the step where the leading metric was best, the last, or at the last position
that all runs reached."""

Standing: TypeAlias = Literal["counts", "halted", "degenerate", "not finite", "no value"]
"""Whether a run's score counts in its group's mean, or why it does not.

`halted`: a study's rule paused it early, and it has not gone on. `degenerate`: it scores no better than a model that
has learned nothing. `not finite`: it is NaN, infinite, or as good as that. `no value`: there is none at the position
compared."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value and the step it was logged at."""

    value: float
    step: int


@dataclass(frozen=True, slots=True)
class RunScore:
    """One metric of one run. `best` is None when no value was finite; `common` when it began too late.

    `chosen` is the value at the step where the leading metric was best: the model one would keep. For the
    leading metric it is `best`; for the others it is rarely their own best, which no one model reached.
    """

    run_id: str
    n: int
    n_nonfinite: int
    last: Point
    best: Point | None
    common: Point | None
    chosen: Point | None
    standing: Standing = "counts"

    def at(self, at: At) -> Point | None:
        """The point that counts: of the model that the leading metric chose, the last one, or the common one."""
        return {"best": self.chosen, "last": self.last, "common": self.common}[at]


def best_point(summary: MetricSummary) -> Point | None:
    """The best finite value of a metric and the first step it was reached at."""
    if lower_is_better(summary.name):
        value, step = summary.minimum, summary.minimum_step
    else:
        value, step = summary.maximum, summary.maximum_step
    return None if value is None or step is None else Point(value, step)


def last_common(having: Sequence[RunRecord], name: str, align: Align) -> CommonPosition:
    """The last position that all these runs reached in a metric; 0 for no runs."""
    # A halted run was stopped on purpose, and must not shorten the comparison of the others.
    bounding = [run for run in having if not is_halted(run)] or having
    return CommonPosition(align, min((last_position(run, name, align) for run in bounding), default=0))


def last_position(run: RunRecord, name: str, align: Align) -> float:
    """How far a run came in a metric: its last step, epoch, second or sample."""
    # The summary answers for the end of a run, so the points need not be read.
    return run.metrics[name].last_step if align == "step" else float(positions(run, run.series(name), align)[-1])


def run_score(run: RunRecord, name: str, common: CommonPosition, leading: Mapping[str, RunScore] | None) -> RunScore:
    """What a metric says of a run, its standing still open.

    Args:
        run: has the metric.
        name: the metric.
        common: the last position that all compared runs reached.
        leading: by run id, the scores of the metric at whose best step this one is chosen; this one itself when None.
    """
    summary = run.metrics[name]
    best = best_point(summary)
    chosen = best
    if leading is not None:
        leader = leading.get(run.run_id)
        chosen = _point_at(run, name, CommonPosition("step", leader.best.step)) if leader and leader.best else None
    return RunScore(
        run_id=run.run_id,
        n=summary.n,
        n_nonfinite=summary.n_nonfinite,
        last=Point(summary.last, summary.last_step),
        best=best,
        common=_point_at(run, name, common),
        chosen=chosen,
    )


def _point_at(run: RunRecord, name: str, where: CommonPosition) -> Point | None:
    summary = run.metrics[name]
    # Three points stand in the summary; for any other, the series has to be read.
    if where.align == "step" and summary.last_step <= where.position:
        return Point(summary.last, summary.last_step)
    for value, step in ((summary.maximum, summary.maximum_step), (summary.minimum, summary.minimum_step)):
        if value is not None and step == where.position and where.align == "step":
            return Point(value, step)
    series = run.series(name)
    held = held_at(series, positions(run, series, where.align), where.position)
    return Point(*held) if held else None
