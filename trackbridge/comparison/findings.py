"""
Findings: what is wrong, or worth a look, in the runs of a comparison and in how they compare.

Notes say what was recorded; findings say what it shows, and by which rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, median_low
from typing import TYPE_CHECKING

import numpy as np

from trackbridge.comparison.chance import chance_level, learned_nothing
from trackbridge.comparison.curve_findings import curve_findings
from trackbridge.comparison.finding import Finding
from trackbridge.comparison.halted import has_stopped_early, is_halted
from trackbridge.comparison.run_scores import last_position
from trackbridge.comparison.scores import MetricComparison
from trackbridge.comparison.statistics.outliers import ALPHA, outliers
from trackbridge.store.records import RunRecord

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison

LENGTH_TOLERANCE = 0.10
"""A run longer or shorter than the median of all by more than this is of unequal length."""

STALLED_INTERVALS = 5.0
"""A running run is stalled when it has been silent for so many of its median intervals between two points."""

_GRAVITY = {"error": 0, "warning": 1, "info": 2}


def findings_on(comparison: Comparison, now_ns: int | None = None) -> tuple[Finding, ...]:
    """Every finding on the runs of a comparison, the gravest first. Reads the losses and the leading metric.

    Args:
        comparison: the runs; its leading metric is the score they are judged by.
        now_ns: the time, in nanoseconds since 1970, for telling a stalled run from a running one; None tells none.
    """
    leading = next(iter(comparison.metrics.values()), None)
    names = {run.run_id: name for run, name in zip(comparison.runs, comparison.names, strict=True)}
    found: list[Finding] = []
    for run in comparison.runs:
        found += curve_findings(run, names[run.run_id], leading.name if leading else None)
    if leading is not None:
        found += _degenerate(comparison.runs, leading, names)
        # Without scipy there are no statistics, of this test neither; a note says so.
        found += _seed_outliers(leading, names) if any(group.statistics for group in leading.groups) else ()
        found = _with_lengths(found, comparison.runs, leading, names)
    if now_ns is not None:
        found += _stalled(comparison.runs, names, now_ns)
    return tuple(sorted(found, key=lambda one: _GRAVITY[one.severity]))


def _degenerate(runs: Sequence[RunRecord], leading: MetricComparison, names: Mapping[str, str]) -> Iterator[Finding]:
    for run in runs:
        score, level = leading.run(run.run_id), chance_level(run, leading.name)
        # A run that was halted early had no time to learn.
        if score is None or level is None or is_halted(run) or not learned_nothing(score.last.value, level):
            continue
        sentence = (
            f"{names[run.run_id]}: {leading.name} ends at {score.last.value:.4g}, where a model that has learned"
            f" nothing scores up to {level:.4g}"
        )
        values = (leading.name, score.last.step, score.last.value, level)
        yield Finding("degenerate", "error", run.run_id, sentence, *values)


def _seed_outliers(leading: MetricComparison, names: Mapping[str, str]) -> Iterator[Finding]:
    for group in leading.groups:
        ids, scores = list(group.counted), list(group.counted.values())
        for index, deviations, critical in outliers(scores):
            others = fmean(score for place, score in enumerate(scores) if place != index)
            sentence = (
                f"{names[ids[index]]}: {leading.name} {scores[index]:.4g} stands apart from the {len(ids) - 1} other"
                f" runs of {group.label}, whose mean is {others:.4g}: {deviations:.3g} standard deviations, where"
                f" {critical:.3g} are usual (generalized ESD, alpha {ALPHA})"
            )
            yield Finding("seed_outlier", "warning", ids[index], sentence, leading.name, None, deviations, critical)


def _with_lengths(
    found: Sequence[Finding], runs: Sequence[RunRecord], leading: MetricComparison, names: Mapping[str, str]
) -> list[Finding]:
    """The findings and those on lengths; a longer run that jumped after the common end is told in one sentence."""
    align, name = leading.common.align, leading.name
    whole = [run for run in runs if name in run.metrics and not (is_halted(run) or has_stopped_early(run))]
    lengths = {run.run_id: last_position(run, name, align) for run in whole}
    # Of two runs, the longer one is the one to tell.
    usual = median_low(lengths.values()) if lengths else 0.0
    unequal = {run.run_id for run in runs if _is_unequal(lengths.get(run.run_id, usual), usual)}
    jumps = {one.run_id: one for one in found if one.code == "late_jump"}
    jointly = {run_id for run_id, jump in jumps.items() if run_id in unequal and _is_after(jump, leading)}
    # That such a run stands apart from its replicates is the same news.
    explained = [one for one in found if one.run_id in jointly and one.code in ("late_jump", "seed_outlier")]
    told = [one for one in found if one not in explained]
    for run in (run for run in runs if run.run_id in unequal):
        length = _length_finding(run, lengths[run.run_id], usual, leading, names[run.run_id])
        told.append(_joint(length, jumps[run.run_id], leading) if run.run_id in jointly else length)
    return told


def _is_unequal(length: float, usual: float) -> bool:
    return usual > 0 and abs(length / usual - 1) > LENGTH_TOLERANCE


def _is_after(jump: Finding, leading: MetricComparison) -> bool:
    score = leading.run(jump.run_id)
    return bool(score and score.common and jump.step is not None and jump.step > score.common.step)


def _length_finding(run: RunRecord, length: float, usual: float, leading: MetricComparison, name: str) -> Finding:
    share = length / usual - 1
    units = f"{leading.common.unit}s"
    sentence = (
        f"{name} trained {abs(share):.0%} {'longer' if share > 0 else 'less'} than the median run"
        f" ({length:g} against {usual:g} {units})"
    )
    planned = run.summary.get("planned_updates")
    if isinstance(planned, int) and leading.common.align == "step" and length < planned:
        sentence += f", of {planned} planned"
    return Finding("unequal_length", "warning", run.run_id, sentence, leading.name, None, share, LENGTH_TOLERANCE)


def _joint(length: Finding, jump: Finding, leading: MetricComparison) -> Finding:
    """The sentence that a table of final scores hides: it won by training on, not by its setting."""
    there = {score.run_id: score.common.value for score in leading.runs if score.common}
    others = [value for run_id, value in there.items() if run_id != jump.run_id]
    against = f", against a median of {median(others):.4g} of the other runs" if others else ""
    sentence = (
        f"{length.sentence} and {jump.metric} jumped by {jump.value:+.3g} at step {jump.step}, after the last common"
        f" {leading.common.unit}, {leading.common.number}: there it was {there[jump.run_id]:.4g}{against}"
    )
    return replace(jump, code="longer_and_jumped", sentence=sentence)


def _stalled(runs: Sequence[RunRecord], names: Mapping[str, str], now_ns: int) -> Iterator[Finding]:
    for run in runs:
        densest = max(run.metrics.values(), key=lambda one: one.n, default=None)
        if run.status != "running" or densest is None or densest.n < 3:
            continue
        interval_s = float(np.median(np.diff(run.series(densest.name).times_ns))) / 1e9
        silent_s = (now_ns - run.last_seen_ns) / 1e9
        if silent_s > STALLED_INTERVALS * interval_s > 0:
            sentence = (
                f"{names[run.run_id]} is running, but has been silent for {silent_s:.0f} s, where it logs every"
                f" {interval_s:.2g} s"
            )
            threshold_s = STALLED_INTERVALS * interval_s
            yield Finding("stalled", "error", run.run_id, sentence, None, densest.last_step, silent_s, threshold_s)
