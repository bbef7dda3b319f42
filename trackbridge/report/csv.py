"""A comparison as comma-separated values, one row per run."""

from __future__ import annotations

import csv
import io
from typing import Any

from trackbridge.comparison.comparison import Comparison


def comparison_csv(comparison: Comparison) -> str:
    """The rows of `Comparison.rows()` under one header, numbers in full precision."""
    rows = comparison.rows()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _field(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _field(value: Any) -> Any:
    # A spreadsheet runs a text that begins like a formula; names come from anywhere.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
