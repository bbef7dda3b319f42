"""Runs that a study stopped early by a rule: neither short trainings nor finished ones."""

from __future__ import annotations

from trackbridge.store.records import RunRecord


def is_halted(run: RunRecord) -> bool:
    """Whether a study stopped the run before its end; the pipeline records the step as the summary `halted_at`."""
    return run.summary.get("halted_at") is not None
