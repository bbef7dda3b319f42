"""What a source told, made fit for the journal: names it can hold, values without secrets, times and steps in range."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from trackbridge.errors import MisuseError
from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunStarted,
    SummaryLogged,
    TagsSet,
)
from trackbridge.events.names import MAX_METRIC_NAME, check_project_name
from trackbridge.events.redact import mask_text, mask_value
from trackbridge.events.values import as_json_object, clean_text
from trackbridge.sources.base import Told

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


def told_safely(event: Told) -> Told:
    """The same event with valid text, plain JSON and no secrets.

    Raises:
        MisuseError: nested deeper than any config is.
    """
    for kind, field in _FREE:
        if isinstance(event, kind):
            plain = as_json_object(field, getattr(event, field))
            return msgspec.structs.replace(event, **{field: mask_value(plain)})
    if isinstance(event, RunStarted):
        texts: dict[str, Any] = {"name": clean_text(event.name) or "unnamed", "group": _cleaned(event.group)}
        tags = list(map(clean_text, event.tags))
        return msgspec.structs.replace(event, **texts, tags=tags, notes=_cleaned(event.notes))
    if isinstance(event, TagsSet):
        return msgspec.structs.replace(event, tags=list(map(clean_text, event.tags)))
    if isinstance(event, RunFinished):
        error, traceback = (text and mask_text(clean_text(text)) for text in (event.error, event.traceback))
        return msgspec.structs.replace(event, error=error, traceback=traceback)
    return event


def _cleaned(text: str | None) -> str | None:
    return None if text is None else clean_text(text)
