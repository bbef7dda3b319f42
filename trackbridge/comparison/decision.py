"""A decision: what a gate says of each setting, with the interval it went by, as sentences and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from trackbridge.comparison.encode import json_safe
from trackbridge.comparison.statistics.intervals import Interval
from trackbridge.comparison.verdict import PairVerdict

Outcome: TypeAlias = Literal["pass", "fail", "cannot tell"]

JSON_VERSION = 1


@dataclass(frozen=True)
class Case:
    """One thing that was decided about one setting.

    `aspect` is the metric, or "runs" where it is about how the setting's runs ended. `verdict` is the comparison with
    the baseline; `interval` is that of the difference, at the `level` that leaves 5 % for all settings together. Both
    are None where there is nothing to compare.
    """

    setting: str
    aspect: str
    outcome: Outcome
    sentence: str
    verdict: PairVerdict | None = None
    interval: Interval | None = None
    level: float | None = None


@dataclass(frozen=True)
class Decision:
    """Whether a change may go in: the worst outcome of its cases, and the sentences that say why.

    `warnings` are those notes on the comparison that could overturn it.
    """

    metric: str
    worse_than: float
    cases: tuple[Case, ...]
    warnings: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst of the cases: "fail", else "cannot tell", else "pass"."""
        found = {case.outcome for case in self.cases}
        order: tuple[Outcome, ...] = ("fail", "cannot tell")
        return next((outcome for outcome in order if outcome in found), "pass")

    @property
    def sentence(self) -> str:
        """Why it is decided so: the sentences of the cases with the outcome of the whole, to be read on their own."""
        return "; ".join(case.sentence for case in self.deciding)

    @property
    def deciding(self) -> Sequence[Case]:
        """The cases with the outcome of the whole."""
        return [case for case in self.cases if case.outcome == self.outcome]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON data, under `version` 1."""
        return {
            "version": JSON_VERSION,
            "outcome": self.outcome,
            "metric": self.metric,
            "worse_than": self.worse_than,
            "sentence": self.sentence,
            "cases": [_case_json(case) for case in self.cases],
            "warnings": list(self.warnings),
        }


def _case_json(case: Case) -> dict[str, Any]:
    verdict, interval = case.verdict, case.interval
    return {
        "setting": case.setting,
        "aspect": case.aspect,
        "outcome": case.outcome,
        "sentence": case.sentence,
        "baseline": verdict.other.label if verdict else None,
        "n": verdict.one.n if verdict else None,
        "n_baseline": verdict.other.n if verdict else None,
        "method": verdict.method if verdict else None,
        "difference": json_safe(verdict.effect) if verdict else None,
        "low": json_safe(interval.low) if interval else None,
        "high": json_safe(interval.high) if interval else None,
        "level": case.level,
    }
