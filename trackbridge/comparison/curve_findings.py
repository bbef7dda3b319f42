"""What the curves of one run show: numbers that are none, losses that diverge or never fall, overfitting, jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from trackbridge.comparison import detectors
from trackbridge.comparison.detectors import Signal, Values
from trackbridge.comparison.finding import Finding, FindingCode, Severity
from trackbridge.comparison.metrics import is_evaluation_loss, is_training_loss
from trackbridge.comparison.statistics.intervals import LARGEST
from trackbridge.store.records import RunRecord, Series
from trackbridge.store.series import pick


class _Rule(NamedTuple):
    """How a detector's signal is told: its code, how grave it is, and a sentence of metric, step and signal."""

    code: FindingCode
    severity: Severity
    detect: Callable[[Values], Signal | None]
    sentence: Callable[[str, int, Signal], str]


_OF_TRAINING_LOSSES = (
    _Rule(
        "diverged",
        "error",
        detectors.diverged,
        lambda metric, step, signal: f"{metric} rose to {signal.value:.2g} times its lowest level after step {step}",
    ),
    _Rule(
        "never_learned",
        "error",
        detectors.never_learned,
        lambda metric, step, signal: f"{metric} ended at {signal.value:.0%} of where it began: nothing was learned",
    ),
    _Rule(
        "spike",
        "info",
        detectors.spike,
        lambda metric, step, signal: (
            f"{metric} spiked at step {step}, {signal.value:.0f} median deviations above its running median"
        ),
    ),
)

_OF_THE_JUDGING_SCORE = (
    _Rule(
        "late_jump",
        "warning",
        detectors.late_jump,
        lambda metric, step, signal: (
            f"{metric} jumped by {signal.value:+.3g} at step {step}, where noise and the trend before explain"
            f" {signal.threshold:.2g}"
        ),
    ),
    _Rule(
        "plateau",
        "info",
        detectors.plateau,
        lambda metric, step, signal: f"{metric} has not moved since step {step}",
    ),
)


def curve_findings(run: RunRecord, name: str, judged_by: str | None) -> Iterator[Finding]:
    """What the curves of a run show.

    Args:
        run: the run; only the curves that a rule is about are read.
        name: what sentences call it.
        judged_by: the score whose jumps and plateaus are of interest; None for none.
    """
    usable = {metric: _usable(run.series(metric)) for metric in run.metrics if _is_looked_at(run, metric, judged_by)}
    for metric, summary in run.metrics.items():
        if summary.n_nonfinite:
            yield _nonfinite(run, name, metric)
    for metric, series in usable.items():
        if is_training_loss(metric):
            yield from _by_rules(_OF_TRAINING_LOSSES, run, name, series)
        if metric == judged_by:
            yield from _by_rules(_OF_THE_JUDGING_SCORE, run, name, series)
    yield from _overfit(run, name, usable)


def _is_looked_at(run: RunRecord, metric: str, judged_by: str | None) -> bool:
    # Overfitting takes both losses: without one of training, those of evaluations need not be read.
    return (
        metric == judged_by
        or is_training_loss(metric)
        or (is_evaluation_loss(metric) and any(map(is_training_loss, run.metrics)))
    )


def _usable(series: Series) -> Series:
    return pick(series, np.abs(series.values) < LARGEST)


def _nonfinite(run: RunRecord, name: str, metric: str) -> Finding:
    series = run.series(metric)
    found = detectors.first_nonfinite(series.values)
    step = int(series.steps[found.index]) if found else None
    sentence = (
        f"{name}: {metric} is NaN or infinite at {run.metrics[metric].n_nonfinite} of {len(series)} points,"
        f" first at step {step}"
    )
    return Finding(
        "nonfinite", "error", run.run_id, sentence, metric, step, float(run.metrics[metric].n_nonfinite), 0.0
    )


def _by_rules(rules: tuple[_Rule, ...], run: RunRecord, name: str, series: Series) -> Iterator[Finding]:
    for rule in rules:
        signal = rule.detect(series.values)
        if signal is not None:
            step = int(series.steps[signal.index])
            sentence = f"{name}: {rule.sentence(series.name, step, signal)}"
            yield Finding(
                rule.code, rule.severity, run.run_id, sentence, series.name, step, signal.value, signal.threshold
            )


def _overfit(run: RunRecord, name: str, usable: Mapping[str, Series]) -> Iterator[Finding]:
    training = next((series for metric, series in usable.items() if is_training_loss(metric)), None)
    for metric, series in usable.items():
        if training is None or not is_evaluation_loss(metric):
            continue
        signal = detectors.overfit(series.values, training.values)
        if signal is not None:
            step = int(series.steps[signal.index])
            sentence = (
                f"{name}: {metric} ended {signal.value - 1:.0%} above its minimum while {training.name} fell:"
                f" its best model is that of step {step}"
            )
            yield Finding("overfit", "warning", run.run_id, sentence, metric, step, signal.value, signal.threshold)
