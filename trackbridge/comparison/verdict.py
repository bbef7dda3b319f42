"""The verdict on a pair of settings and a metric: better, worse, identical, or what it would take to tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from trackbridge.comparison.chance import EvaluationFloor
from trackbridge.comparison.statistics.improvement import (
    MIN_RUNS,
    Improvement,
    paired_improvement,
    unpaired_improvement,
)
from trackbridge.comparison.statistics.intervals import Interval
from trackbridge.comparison.statistics.noise import SeedNoise

Verdict: TypeAlias = Literal["better", "worse", "identical", "cannot tell"]

Method: TypeAlias = Literal["paired sign flips", "paired t", "Welch", "seed-noise ruler", "none"]
"""How a pair was judged. `seed-noise ruler`: a setting has fewer than three runs, so that the noise is that of the
other replicates. `none`: it could not be judged, or there was nothing to judge."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two settings: its place in the comparison's groups, its name, and the scores it was judged by.

    `scores` are those of the runs that count; where the pair was judged by equal seeds, in the order of these, and
    those alone that both settings have. Of `n_scored` runs with a score, `n_degenerate` learned nothing.
    """

    group: int
    label: str
    scores: tuple[float, ...]
    n_scored: int
    n_degenerate: int

    @property
    def n(self) -> int:
        """How many scores it was judged by."""
        return len(self.scores)


@dataclass(frozen=True)
class PairVerdict:
    """One setting read against another by one metric.

    `effect` is the mean of the one minus that of the other, over the runs (or pairs) judged; `interval` its 95 %
    interval, not adjusted for other pairs. `p` is two-sided, `p_adjusted` by Holm over the `n_family` comparisons
    shown together. `smallest_visible` is the difference that so many runs would show in four of five cases;
    `runs_more` how many more runs of each would show one as large as `effect`: None where more than 1,000 would, or
    where the number of runs is not what is lacking. `seed_correlation` is that of the scores at equal seeds.
    `noise` is the seed-noise ruler, where that judged. `floor` is what the evaluation set's size alone does.
    `error` is the standard error of `effect`, known with `df` degrees of freedom; None where there is no `interval`.
    """

    metric: str
    lower_is_better: bool
    one: Side
    other: Side
    verdict: Verdict
    method: Method
    reason: str = ""
    effect: float | None = None
    interval: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_family: int = 0
    n_pairs: int | None = None
    smallest_visible: float | None = None
    runs_more: int | None = None
    seed_correlation: float | None = None
    noise: SeedNoise | None = None
    floor: EvaluationFloor | None = None
    error: float | None = None
    df: float | None = None

    @cached_property
    def improvement(self) -> Improvement | None:
        """How often a run of the one is better than one of the other; None below ten runs of each."""
        if min(len(self.one.scores), len(self.other.scores)) < MIN_RUNS or self.method == "none":
            return None
        better, worse = (self.other, self.one) if self.lower_is_better else (self.one, self.other)
        if self.n_pairs is None:
            return unpaired_improvement(better.scores, worse.scores)
        return paired_improvement([a - b for a, b in zip(better.scores, worse.scores, strict=True)])

    @property
    def sentence(self) -> str:
        """The verdict with its numbers and its reason, to be read on its own."""
        return f"{self.metric}: {self._claim()}{self._failures()}{self._floor()}"

    def _claim(self) -> str:
        one, other = self.one.label, self.other.label
        if self.verdict == "identical":
            return f"{one} and {other} are identical in {self.n_pairs} of {self.n_pairs} runs of equal seeds"
        if self.effect is None:
            return f"cannot tell {one} from {other}: {self.reason}"
        numbers = f"{self.effect:+.4g}"
        if self.interval is not None:
            numbers += f" [{self.interval.low:+.4g}, {self.interval.high:+.4g}]"
        if self.verdict == "cannot tell":
            return f"cannot tell {one} from {other}: {numbers}{self._how()}; {self._lacking()}"
        return f"{one} is {self.verdict} than {other} by {numbers}{self._how()}{self._improvement()}"

    def _how(self) -> str:
        if self.p is None or self.p_adjusted is None:
            return ""
        over = {
            "paired sign flips": f"paired over {self.n_pairs} seeds, sign flips",
            "paired t": f"paired over {self.n_pairs} seeds, t test",
            "Welch": f"{self.one.n} and {self.other.n} runs, Welch",
            "seed-noise ruler": f"against a seed sd of {self.noise.sd:.3g} with {self.noise.df} degrees of freedom"
            if self.noise
            else "",
            "none": "",
        }[self.method]
        holm = f", {self.p_adjusted:.2g} among {self.n_family} comparisons (Holm)" if self.n_family > 1 else ""
        return f" ({over}, p = {self.p:.2g}{holm})"

    def _lacking(self) -> str:
        if self.smallest_visible is None:
            return self.reason
        n = self.n_pairs if self.n_pairs is not None else min(self.one.n, self.other.n)
        seeds = "1 seed" if n == 1 else f"{n} seeds"
        visible = f"with {seeds} only differences above {self.smallest_visible:.3g} can be seen"
        if self.runs_more is None:
            return f"{visible}; one as small as this would take more than 1000 runs of each"
        return f"{visible}; run {max(1, self.runs_more)} more of each to see one as large as this"

    def _improvement(self) -> str:
        found = self.improvement
        if found is None:
            return ""
        probability, low, high = found.probability, found.interval.low, found.interval.high
        return f"; a run of it is the better one in {probability:.0%} of cases [{low:.0%}, {high:.0%}]"

    def _failures(self) -> str:
        sides = [side for side in (self.one, self.other) if side.n_degenerate]
        told = [f"{side.n_degenerate} of {side.n_scored} runs of {side.label}" for side in sides]
        return f"; left out, since they learned nothing: {' and '.join(told)}" if told else ""

    def _floor(self) -> str:
        if self.floor is None or self.effect is None or abs(self.effect) >= 2 * self.floor.standard_error:
            return ""
        return (
            f"; other examples may say otherwise: the {self.floor.n_examples} of the evaluation set"
            f" give a score a standard error of {self.floor.standard_error:.2g}"
        )


def overall_verdict(verdicts: Iterable[PairVerdict]) -> Verdict:
    """The worst of several verdicts: "worse", "cannot tell", "better", "identical"; "cannot tell" for none."""
    found = {one.verdict for one in verdicts}
    order: tuple[Verdict, ...] = ("worse", "cannot tell", "better", "identical")
    return next((verdict for verdict in order if verdict in found), "cannot tell")
