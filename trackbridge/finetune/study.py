"""A study: every planned run trained once, whatever was done before and whatever fails on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import transformers

from trackbridge.finetune.display import Display
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Plan
from trackbridge.finetune.runner import Runner
from trackbridge.settings import load_settings
from trackbridge.store.store import open_store


def run_study(plan: Plan, *, root: Path | None, display: Display) -> list[Outcome]:
    """Train every run of the plan that is not finished yet, one after the other; how each of them ended.

    A run that fails does not stop the others: its outcome carries the error. Ctrl-C stops the study, and
    the same command later goes on where it was.
    """
    folder = load_settings(root=root).root
    folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(open_store(folder), display)
    with _quiet_transformers(), display:
        return [runner.outcome_of(planned) for planned in plan.runs]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without transformers' own bars and remarks, which would tear the study's display apart."""
    messages = transformers.utils.logging
    verbosity, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if has_bars:
            messages.enable_progress_bar()
