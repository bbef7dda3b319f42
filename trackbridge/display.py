"""
Who shows an object in a notebook: a table of names, known without importing one.

What is shown lies below what shows it, so that a comparison cannot import its report; this table leads up by name, as
the package's own facade does, and only when a notebook asks.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

_SHOWN_BY = {
    "Comparison": ("trackbridge.report.notebook", "comparison_html"),
    "RunRecord": ("trackbridge.report.notebook", "run_html"),
}


def notebook_html(shown: object) -> str:
    """The object as HTML for a notebook's output; of a type that `_SHOWN_BY` names."""
    module, function = _SHOWN_BY[type(shown).__name__]
    return cast("str", getattr(import_module(module), function)(shown))
