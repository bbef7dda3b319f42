"""
What a value that `Trainer` logs is called in a run, and which of its values are numbers.

One rule: the prefix that `Trainer` put before the keys of one evaluation becomes the split, and the rest of
the name is never altered. Plain dicts in, new dicts out; transformers is not imported here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from trackbridge.errors import MisuseError
from trackbridge.events.values import as_scalar

_logger = logging.getLogger(__name__)
_SPLITS = ("train", "eval", "test")
_TIMINGS = ("/runtime", "_per_second", "/model_preparation_time", "/jit_compilation_time")
# `Trainer.log` adds these to everything it logs: an axis, and a counter of the training.
_OF_THE_TRAINING = frozenset(("epoch", "num_input_tokens_seen"))
_told: set[str] = set()


def evaluation_prefix(keys: Iterable[str]) -> str | None:
    """The `metric_key_prefix` these keys were logged under; None when they are not of one evaluation.

    `Trainer` times every evaluation, so the key `<prefix>_runtime` gives the prefix away, whatever
    underscores the names of the data set and of the metric contain.
    """
    prefixes = [key.removesuffix("_runtime") for key in keys if key.endswith("_runtime")]
    return min(prefixes, key=len, default=None)


def metric_name(key: str, prefix: str | None = None) -> str:
    """The `split/name` of a key that `Trainer` logged under `prefix`.

    `loss` is `train/loss`, `eval_loss` is `eval/loss`, and `eval_dev_mcc` is `eval_dev/mcc` when the
    evaluation's prefix is `eval_dev`. A key that already begins with a split and a slash is kept.
    """
    for split in _SPLITS if prefix is None else (prefix, *_SPLITS):
        if key.startswith(f"{split}/"):
            return key
        if key.startswith(f"{split}_"):
            return f"{split}/{key.removeprefix(f'{split}_')}"
    return f"train/{key}"


def metrics_of(logs: Mapping[str, object]) -> dict[str, float]:
    """The numbers among the logs under their names in a run; `epoch` is an axis, not a metric."""
    prefix = evaluation_prefix(logs)
    aside = {"epoch"} if prefix in (None, "train") else _OF_THE_TRAINING
    values = numbers_of({key: value for key, value in logs.items() if key not in aside})
    return {metric_name(key, prefix): value for key, value in values.items()}


def scores_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """The same without the timings, which say nothing about a checkpoint."""
    return {name: value for name, value in metrics_of(metrics).items() if not name.endswith(_TIMINGS)}


def is_final_report(logs: Mapping[str, object]) -> bool:
    """True for what `Trainer` logs once when training ends: its `train_loss` is a mean over the whole run.

    It has no place on the step axis: as `train/loss` it would fall on the curve of the running loss.
    """
    return "train_runtime" in logs and "train_loss" in logs


def numbers_of(logs: Mapping[str, object]) -> dict[str, float]:
    """A copy of the logs as float64. What is no number is left out, and a warning says so once per key."""
    values: dict[str, float] = {}
    for key, value in logs.items():
        try:
            values[key] = as_scalar(key, value)
        except MisuseError as error:
            if key not in _told:
                _told.add(key)
                _logger.warning("Trainer logged %r, which is left out of the run from now on: %s", key, error)
    return values
