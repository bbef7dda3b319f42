"""Names: what a metric, a project, a scope may be called, and which way a metric is better."""

from __future__ import annotations

import re

from trackbridge.errors import MisuseError
from trackbridge.events.values import clean_text

_RESERVED_ON_WINDOWS = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_LOWER_IS_BETTER = re.compile(
    r"(?i)(^|[/_.\s-])(loss|nll|perplexity|ppl|error|err|mae|mse|rmse|mape|wer|cer|ter|eer|brier|ece)$"
)
MAX_METRIC_NAME = 500


def check_metric_name(name: object) -> str:
    """The name, when it can name a metric: a string of 1 to 500 characters without control characters.

    Raises:
        MisuseError: it cannot; says what to pass instead.
    """
    if not isinstance(name, str):
        raise MisuseError(f"a metric name must be a string such as 'train/loss', not {name!r} ({type(name).__name__})")
    if not name or len(name) > MAX_METRIC_NAME:
        raise MisuseError(
            f"a metric name has 1 to {MAX_METRIC_NAME} characters; this one has {len(name)}: {name[:60]!r}"
        )
    if any(ord(c) < 32 for c in name):
        raise MisuseError(f"metric name {name[:60]!r} holds a control character: use a name such as 'train/loss'")
    if clean_text(name) != name:
        raise MisuseError(f"metric name {name[:60]!a} is not valid Unicode (it holds a lone surrogate)")
    return name


def check_project_name(name: object) -> str:
    """The name, when it can be a folder on every system: letters, digits, `.`, `_`, `-` and inner spaces.

    Raises:
        MisuseError: it cannot; says what is allowed.
    """
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"\w(?:[\w .-]{0,98}[\w-])?", name)
        or _RESERVED_ON_WINDOWS.match(name)
    ):
        raise MisuseError(
            f"project {name!r} cannot be a folder name: use letters, digits, '.', '_' and '-', at most 100 characters"
        )
    return name


def check_scope(scope: object) -> str:
    """The scope, when it can name a part of the config: a word such as `model` or `training_arguments`.

    Raises:
        MisuseError: it cannot.
    """
    if not isinstance(scope, str) or not re.fullmatch(r"[\w-]{1,100}", scope):
        raise MisuseError(f"config scope {scope!r} must be one word of letters, digits, '_' and '-', such as 'model'")
    return scope


def lower_is_better(metric: str) -> bool:
    """True for losses, errors, perplexities and the like, judged by the last word of the name."""
    return bool(_LOWER_IS_BETTER.search(metric))
