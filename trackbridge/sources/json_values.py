"""JSON as trackers write it, which is not always JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from trackbridge.errors import SourceRefused

_decode = msgspec.json.Decoder().decode


def parsed(content: bytes | str) -> Any:
    """A value of JSON, where NaN and infinities may stand.

    Raises:
        ValueError: it is none.
        SourceRefused: it is nested deeper than any value that a run logs.
    """
    try:
        return _decoded(content)
    except RecursionError as error:
        raise SourceRefused("a value is nested so deep that it was made to do harm") from error


def _decoded(content: bytes | str) -> Any:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Python's own json writes NaN and Infinity, which msgspec does not take.
        return json.loads(content)
