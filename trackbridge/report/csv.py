"""Rows as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows under one header, such as those of `Comparison.rows()`, numbers in full precision."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _field(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _field(value: Any) -> Any:
    # A spreadsheet runs a text that begins like a formula; names come from anywhere.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
