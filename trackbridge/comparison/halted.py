"""Runs that ended before their planned end by a rule, the study's or their own: they are no short trainings."""

from __future__ import annotations

from trackbridge.store.records import RunRecord


def is_halted(run: RunRecord) -> bool:
    """Whether a study stopped the run before its end; the pipeline records the step as the summary `halted_at`."""
    return run.summary.get("halted_at") is not None


def has_stopped_early(run: RunRecord) -> bool:
    """Whether the run finished by early stopping; the pipeline records the step as the summary `stopped_early_at`."""
    return run.summary.get("stopped_early_at") is not None
