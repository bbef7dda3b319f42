"""What a source told, made fit for the journal: names it can hold, values without secrets, times and steps in range."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from trackbridge.errors import MisuseError
from trackbridge.events.models import (
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    KnownEvent,
    RunFinished,
    RunStarted,
    SummaryLogged,
    TagsSet,
)
from trackbridge.events.names import MAX_METRIC_NAME, check_project_name
from trackbridge.events.redact import mask_arguments, mask_text, mask_value
from trackbridge.events.values import as_json_object, clean_text

_LIMIT = 2**63
_CONTROL = re.compile(r"[\x00-\x1f]")
_FREE = ((ConfigLogged, "config"), (EnvironmentCaptured, "environment"), (SummaryLogged, "values"))


def metric_name(name: str) -> str:
    """A name that the journal takes: the same where it can be, else without control characters and cut.

    A name that was cut ends in a digest of the whole, so that two stay two.
    """
    usable = _CONTROL.sub(" ", clean_text(name)) or "unnamed"
    if len(usable) <= MAX_METRIC_NAME:
        return usable
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{usable[: MAX_METRIC_NAME - 13]}-{digest}"


def project_name(name: str) -> str:
    """A project of this name, or the nearest that can be a folder; `imported` where nothing is left of it."""
    usable = re.sub(r"[^\w .-]", "-", clean_text(name))[:100].strip(" .-")
    try:
        return check_project_name(usable)
    except MisuseError:
        return "imported"


def is_in_range(*numbers: int) -> bool:
    """True when all are 64-bit integers."""
    return all(-_LIMIT <= number < _LIMIT for number in numbers)


def told_safely(event: KnownEvent) -> KnownEvent:
    """The same event with valid text, plain JSON and no secrets.

    Raises:
        MisuseError: nested deeper than any config is.
    """
    told = {field: getattr(event, field) for field in event.__struct_fields__}
    clean: dict[str, Any] = {field: clean_text(value) for field, value in told.items() if isinstance(value, str)}
    for kind, field in _FREE:
        if isinstance(event, kind):
            clean[field] = mask_value(_with_masked_arguments(as_json_object(field, told[field])))
    if isinstance(event, (RunStarted, TagsSet)):
        clean["tags"] = list(map(clean_text, event.tags))
    if isinstance(event, RunStarted):
        clean["name"] = clean["name"] or "unnamed"
    if isinstance(event, CheckpointSaved):
        clean["metrics"] = {metric_name(name): value for name, value in event.metrics.items()}
    if isinstance(event, RunFinished):
        clean |= {field: mask_text(clean[field]) for field in ("error", "traceback") if field in clean}
    return msgspec.structs.replace(event, **clean)


def _with_masked_arguments(told: dict[str, Any]) -> dict[str, Any]:
    """The same where it holds a command line as runs of our own record theirs, without the secrets in that."""
    match told:
        case {"command": {"argv": [*arguments]} as command} if all(isinstance(one, str) for one in arguments):
            return {**told, "command": {**command, "argv": mask_arguments(arguments)}}
    return told
