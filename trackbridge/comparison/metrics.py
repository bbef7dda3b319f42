"""Which metrics a comparison is about, and in which order: scores on held-out data before losses before training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from trackbridge.errors import NotFoundError, nearest
from trackbridge.events.names import lower_is_better
from trackbridge.store.records import RunRecord

_BOOKKEEPING = re.compile(
    r"^system/|(?:^|[/_])(?:runtime|\w+_per_second|epoch|learning_rate(?:/\w+)?|lr|grad_norm|total_flos"
    r"|\w*jit_compilation_time|num_input_tokens\w*|tokens_seen|step|global_step)$"
)
_TIMING = re.compile(r"^system/|(?:^|[/_])(?:runtime|\w+_per_second|\w*jit_compilation_time)$")
_EVALUATION_SPLIT = re.compile(r"^(?:eval|dev|val|valid|validation)(?:[/_]|$)")
_TRAINING_SPLIT = re.compile(r"^train(?:ing)?(?:[/_]|$)")


def chosen_metrics(runs: Sequence[RunRecord], wanted: Sequence[str] | None) -> list[str]:
    """The metrics to compare: those asked for, or all but bookkeeping such as `train/learning_rate`.

    The metric by which most runs say they are judged leads; of the others, what few runs have comes last.

    Raises:
        NotFoundError: a metric asked for is in none of the runs; names those that are.
    """
    known = {name for run in runs for name in run.metrics}
    if wanted is not None:
        for name in wanted:
            if name not in known:
                raise NotFoundError(f"none of the runs has a metric {name!r}{nearest(name, known)}")
        return list(dict.fromkeys(wanted))
    scores = [name for name in known if not is_bookkeeping(name)]
    judged = Counter(name for run in runs for name in _told_to_lead(run) if name in run.metrics)
    having = Counter(name for run in runs for name in run.metrics)
    by_interest = sorted(scores or known, key=lambda name: (having[name] <= len(runs) / 2, metric_order(name)))
    leading = sorted(by_interest, key=lambda name: -judged[name])[:1]
    return [*leading, *(name for name in by_interest if name not in leading)]


def _told_to_lead(run: RunRecord) -> set[str]:
    """The metric that the run is judged by, or that chose its weights, under the names it may have been logged by."""
    arguments = run.config.get("training_arguments", {})
    summary = run.summary
    told = summary.get("judged_by") or summary.get("chosen_by") or arguments.get("metric_for_best_model")
    if not isinstance(told, str):
        return set()
    return {told, f"eval/{told}", told.replace("eval_", "eval/", 1)}


def is_bookkeeping(name: str) -> bool:
    """True for what a trainer logs about itself, and for the load of its machine: speed, learning rate, epochs."""
    return bool(_BOOKKEEPING.search(name))


def is_training_loss(name: str) -> bool:
    """True for a loss, or another metric that is better low, of the training data."""
    return bool(_TRAINING_SPLIT.match(name)) and lower_is_better(name)


def is_evaluation_loss(name: str) -> bool:
    """True for the loss on held-out data."""
    return bool(_EVALUATION_SPLIT.match(name)) and name.rpartition("/")[2].endswith("loss")


def is_timing(name: str) -> bool:
    """True for what a machine's load changes and the training does not: running times, speeds, the system's metrics."""
    return bool(_TIMING.search(name))


def metric_order(name: str) -> tuple[bool, int, bool, str]:
    """A sort key that puts the metric a reader most likely came for first."""
    split = 0 if _EVALUATION_SPLIT.match(name) else 2 if _TRAINING_SPLIT.match(name) else 1
    return (is_bookkeeping(name), split, lower_is_better(name), name)
