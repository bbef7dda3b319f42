"""
Backend-neutral experiment tracking for people who fine-tune transformers.

Every fact about a run is an event in a crash-safe journal in your own files; trackers, comparisons, reports and
the web page all read journals. Names are loaded when they are first used, so that `import trackbridge` costs
next to nothing.

PYTEST_DONT_REWRITE: a script may import this before it starts pytest, which would warn that it came too late.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trackbridge.comparison.comparison import Comparison, compare
    from trackbridge.relay.sync import sync
    from trackbridge.run.lifecycle import current_run, start_run
    from trackbridge.run.media import Histogram, Image, Table, Text
    from trackbridge.run.run import Run
    from trackbridge.run.seeds import Seeds
    from trackbridge.sources.importing import import_runs
    from trackbridge.store.records import RunRecord
    from trackbridge.store.store import Store, open_store

_HOME = {
    "Comparison": "trackbridge.comparison.comparison",
    "Histogram": "trackbridge.run.media",
    "Image": "trackbridge.run.media",
    "Run": "trackbridge.run.run",
    "RunRecord": "trackbridge.store.records",
    "Seeds": "trackbridge.run.seeds",
    "Store": "trackbridge.store.store",
    "Table": "trackbridge.run.media",
    "Text": "trackbridge.run.media",
    "compare": "trackbridge.comparison.comparison",
    "current_run": "trackbridge.run.lifecycle",
    "import_runs": "trackbridge.sources.importing",
    "open_store": "trackbridge.store.store",
    "start_run": "trackbridge.run.lifecycle",
    "sync": "trackbridge.relay.sync",
}

__all__ = [
    "Comparison",
    "Histogram",
    "Image",
    "Run",
    "RunRecord",
    "Seeds",
    "Store",
    "Table",
    "Text",
    "__version__",
    "compare",
    "current_run",
    "import_runs",
    "open_store",
    "start_run",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trackbridge' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
