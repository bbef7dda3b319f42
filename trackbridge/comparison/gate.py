"""
The gate: may a change go in, by one metric and the loss that one is ready to accept?

The decision is that of a non-inferiority trial: where the confidence interval of the difference lies, relative to the
margin. What the verdicts of a comparison ask, whether there is any difference at all, is another question: a change
can be worse beyond doubt and still within the margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.decision import Case, Decision, Outcome
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.halted import is_halted
from trackbridge.comparison.note import named_runs
from trackbridge.comparison.run_scores import At, RunScore
from trackbridge.comparison.scores import MetricComparison
from trackbridge.comparison.statistics.intervals import LEVEL, Interval, is_usable, t_interval
from trackbridge.comparison.statistics.power import paired_runs_needed, unpaired_runs_needed
from trackbridge.comparison.verdict import PairVerdict
from trackbridge.errors import MissingDependencyError, MisuseError
from trackbridge.store.records import RunRecord

_ENDED = {"failed": "ended by an error", "killed": "killed", "lost": "lost", "running": "still running"}


@dataclass(frozen=True, slots=True)
class Gate:
    """What a change must fulfil: a mean not worse than the baseline's by more than a margin, and no failed runs.

    `worse_than` is the margin, in the metric's unit. `failed_allowed` is how many runs of a setting may fail: end
    without finishing, without a finite score, or having learned nothing. `at` says which value of a run counts.

    Raises:
        MisuseError: a margin that is negative or no finite number, a number of runs below 0.
    """

    metric: str
    worse_than: float
    failed_allowed: int = 0
    at: At = "best"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.worse_than) and self.worse_than >= 0):
            raise MisuseError(f"the margin is {self.worse_than}; expected 0 or more, in the unit of {self.metric}")
        if self.failed_allowed < 0:
            raise MisuseError(f"{self.failed_allowed} failed runs are allowed; expected 0 or more")

    def decide(self, runs: Sequence[RunRecord], *, baseline: Sequence[RunRecord]) -> Decision:
        """Each setting among `runs` held against its baseline: that of equal config, or else the only one there is.

        `pass`: the whole interval of the difference lies within the margin. `fail`: it lies beyond the margin, all of
        it. `cannot tell`: the margin lies inside. With k settings the intervals are at the level 1 - .05 / k, so that
        they all hold together in 95 % of cases.

        Source: Piaggio et al. 2012, "Reporting of noninferiority and equivalence randomized trials", JAMA 308,
        figure 1, of which `fail` is case H; Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, for deciding by an
        interval; Dunn 1961, JASA 56, for several intervals.

        Args:
            runs: those to be judged; those that are among the baseline are left out.
            baseline: what they are read against.

        Raises:
            MisuseError: there is nothing to judge, or nothing to judge it against.
            NotFoundError: none of the runs has the metric.
            MissingDependencyError: scipy is not installed.
        """
        references = {run.run_id for run in baseline}
        judged = [run for run in runs if run.run_id not in references]
        if not baseline or not judged:
            lacking = "all runs are the baseline's own" if baseline else "the baseline has no runs"
            raise MisuseError(f"there is nothing to decide: {lacking}; name other runs")
        comparison = compare(judged, baseline=baseline, metrics=[self.metric], at=self.at)
        if any(note.code == "no_statistics" for note in comparison.notes):
            raise MissingDependencyError.for_extra("a gate", "scipy", "compare")
        metric = comparison.metrics[self.metric]
        level = 1 - (1 - LEVEL) / max(1, len(metric.verdicts))
        names = dict(zip((run.run_id for run in comparison.runs), comparison.names, strict=True))
        found: list[Case] = []
        for index, group in enumerate(comparison.groups):
            if group.runs[0].run_id not in references:
                found += [self._ended(group, metric, names), self._scored(group, _verdict_on(metric, index), level)]
        return Decision(self.metric, self.worse_than, tuple(found), _warnings(comparison))

    def _ended(self, group: ReplicateGroup, metric: MetricComparison, names: Mapping[str, str]) -> Case:
        """Whether so few of a setting's runs failed as are allowed to."""
        by_trouble: dict[str, list[str]] = {}
        for run in group.runs:
            if trouble := self._trouble(run, metric.run(run.run_id)):
                by_trouble.setdefault(trouble, []).append(run.run_id)
        n_failed, n = sum(map(len, by_trouble.values())), len(group.runs)
        setting = _name(group)
        if not n_failed:
            return Case(setting, "runs", "pass", f"0 of {n} runs of {setting} failed")
        told = ", ".join(f"{named_runs(ids, names)} ({trouble})" for trouble, ids in by_trouble.items())
        sentence = f"{n_failed} of {n} runs of {setting} failed: {told}"
        if n_failed <= self.failed_allowed:
            return Case(setting, "runs", "pass", f"{sentence}; {self.failed_allowed} may")
        return Case(setting, "runs", "fail", sentence)

    def _trouble(self, run: RunRecord, score: RunScore | None) -> str:
        """What is wrong with the way a run ended; nothing where a study's rule halted it."""
        if is_halted(run):
            return ""
        if run.status != "finished":
            return _ENDED[run.status]
        if score is None or score.standing == "no value":
            return f"no {self.metric}"
        if score.standing == "not finite" or not is_usable(score.last.value):
            return f"{self.metric} ended as NaN or infinite"
        return "learned nothing" if score.standing == "degenerate" else ""

    def _scored(self, group: ReplicateGroup, verdict: PairVerdict | None, level: float) -> Case:
        """Whether a setting's mean is worse than its baseline's by more than the margin."""
        setting = _name(group)
        question = f"{self.metric}: cannot tell whether {setting} is worse than the baseline"
        if verdict is None:
            reason = "there are several, and none has its config; name the runs of one"
            return Case(setting, self.metric, "cannot tell", f"{question}: {reason}")
        interval = _interval_of(verdict, level)
        if interval is None:
            effect = "" if verdict.effect is None else f"{verdict.effect:+.4g}, but "
            return Case(setting, self.metric, "cannot tell", f"{question}: {effect}{verdict.reason}", verdict)
        gain = _mirrored(interval) if verdict.lower_is_better else interval
        outcome = self._outcome(gain)
        sentence = f"{self.metric}: {setting} {self._claim(verdict, gain, outcome)}{_numbers(verdict, interval, level)}"
        if outcome == "cannot tell":
            sentence += self._lacking(verdict, level)
        return Case(setting, self.metric, outcome, sentence, verdict, interval, level)

    def _outcome(self, gain: Interval) -> Outcome:
        if gain.low >= -self.worse_than:
            return "pass"
        return "fail" if gain.high < -self.worse_than else "cannot tell"

    def _claim(self, verdict: PairVerdict, gain: Interval, outcome: Outcome) -> str:
        if verdict.verdict == "identical":
            return "scores as the baseline in every run of equal seeds"
        beyond = "than the baseline" + (f" by more than {self.worse_than:g}" if self.worse_than else "")
        though = ", though it is worse" if gain.high < 0 else ""
        if outcome == "fail":
            return f"is worse {beyond}"
        if outcome == "cannot tell":
            return f"may be worse {beyond}, or not{though}"
        return "is better than the baseline" if gain.low > 0 else f"is not worse {beyond}{though}"

    def _lacking(self, verdict: PairVerdict, level: float) -> str:
        """How many more runs would decide it, were the difference what it seems to be."""
        effect, error = verdict.effect or 0.0, verdict.error or 0.0
        distance = abs((-effect if verdict.lower_is_better else effect) + self.worse_than)
        n_one, n_other = verdict.one.n, verdict.other.n
        if verdict.n_pairs:
            needed = paired_runs_needed(distance / (error * math.sqrt(n_one)), 1 - level)
        else:
            needed = unpaired_runs_needed(distance / error * math.sqrt(1 / n_one + 1 / n_other), 1 - level)
        if needed is None:
            return "; more than 1000 runs of each would be needed to tell"
        more = max(1, needed - min(n_one, n_other))
        return f"; run {more} more of each to tell, if the difference stays as it is"


def _name(group: ReplicateGroup) -> str:
    """What sets the setting apart; where it has the baseline's config, what its runs are called together."""
    return group.label if group.settings else group.runs[0].group or group.runs[0].project


def _verdict_on(metric: MetricComparison, index: int) -> PairVerdict | None:
    return next((verdict for verdict in metric.verdicts if verdict.one.group == index), None)


def _interval_of(verdict: PairVerdict, level: float) -> Interval | None:
    """The interval of the difference; a single point where all runs of equal seeds score the same."""
    if verdict.verdict == "identical":
        return Interval(0.0, 0.0)
    if verdict.effect is None or verdict.error is None or verdict.df is None:
        return None
    return t_interval(verdict.effect, verdict.error, verdict.df, level)


def _mirrored(interval: Interval) -> Interval:
    return Interval(-interval.high, -interval.low)


def _numbers(verdict: PairVerdict, interval: Interval, level: float) -> str:
    if verdict.verdict == "identical":
        return ""
    layout = {
        "Welch": f"{verdict.one.n} and {verdict.other.n} runs",
        "seed-noise ruler": f"{verdict.one.n} and {verdict.other.n} runs, by the noise of other replicates",
    }.get(verdict.method, f"{verdict.n_pairs} pairs of equal seeds")
    return (
        f": {verdict.effect:+.4g} [{interval.low:+.4g}, {interval.high:+.4g}] ({100 * level:.3g} % interval, {layout})"
    )


def _warnings(comparison: Comparison) -> tuple[str, ...]:
    return tuple(note.text for note in comparison.notes if note.level == "warning")
