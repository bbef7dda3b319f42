"""
A comparison as one HTML file: no script, no second file, no address. It opens from a mail, a CI artifact or a
folder, in light and in dark, on a phone as on a desk, and on paper.
"""

from __future__ import annotations

from trackbridge import __version__
from trackbridge.comparison.comparison import Comparison
from trackbridge.report.html import document
from trackbridge.report.markup import element, text
from trackbridge.report.panels import (
    answer_panel,
    curves_panel,
    differences_panel,
    findings_panel,
    importance_panel,
    runs_panel,
    scores_panel,
    seeds_panel,
    sweeps_panel,
)
from trackbridge.report.tables import subtitle_text, title_text


def comparison_page(comparison: Comparison, *, against: str | None = None, now_ns: int | None = None) -> str:
    """The whole page: verdicts and scores first, then findings, curves, what differs, parameters, seeds and runs.

    Args:
        comparison: what to tell.
        against: a config key that the scores are drawn against, before the curves.
        now_ns: the time, in nanoseconds since 1970, for telling a stalled run from a running one; None tells none.

    Raises:
        NotFoundError: none of the runs has that key.
        MisuseError: it holds something other than numbers.
    """
    title = title_text(comparison)
    body = [
        element("header", element("h1", text(title)), element("p", text(subtitle_text(comparison)))),
        answer_panel(comparison),
        scores_panel(comparison),
        findings_panel(comparison, now_ns),
        sweeps_panel(comparison, against) if against else "",
        curves_panel(comparison),
        differences_panel(comparison),
        importance_panel(comparison),
        seeds_panel(comparison),
        runs_panel(comparison),
        element("footer", text(f"trackbridge {__version__}")),
    ]
    return document(title, "".join(body))
