"""What a browser asks for, read from the query of an address and checked: the state of the page is in its address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from trackbridge.comparison.run_scores import At
from trackbridge.errors import MisuseError, nearest
from trackbridge.report.overlay import Axis, View

MAX_ROWS = 400
MAX_RUNS = 200


@dataclass(frozen=True, slots=True)
class TableAsked:
    """A stretch of the run table. `picked` is None where the browser leaves the choice of runs to the server."""

    where: str
    sort: str
    columns: tuple[str, ...]
    hides_constant: bool
    is_grouped: bool
    unfolded: frozenset[str]
    pinned: tuple[str, ...]
    picked: tuple[str, ...] | None
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class ChartAsked:
    """A metric of picked runs, the view of it, and the width in pixels it is drawn for."""

    metric: str
    picked: tuple[str, ...]
    pinned: tuple[str, ...]
    view: View
    is_log_y: bool
    width: int


@dataclass(frozen=True, slots=True)
class ComparisonAsked:
    """A comparison of picked runs, read against a pinned one."""

    picked: tuple[str, ...]
    pinned: tuple[str, ...]
    at: At


def table_asked(query: Mapping[str, str]) -> TableAsked:
    """What `?where=...&sort=...` asks of the table.

    Raises:
        MisuseError: a number that is none.
    """
    return TableAsked(
        where=query.get("where", ""),
        sort=query.get("sort", ""),
        columns=_names(query.get("columns", "")),
        hides_constant=query.get("constant") != "show",
        is_grouped=query.get("group") == "replicates",
        unfolded=frozenset(_names(query.get("unfolded", ""))),
        pinned=_names(query.get("pinned", "")),
        picked=tuple(query["runs"].split(",")) if "runs" in query else None,
        offset=int(_number(query, "offset", 0, low=0, high=10_000_000)),
        limit=int(_number(query, "limit", 50, low=0, high=MAX_ROWS)),
    )


def chart_asked(query: Mapping[str, str]) -> ChartAsked:
    """What `?metric=...&runs=...` asks of a chart.

    Raises:
        MisuseError: a number that is none, an axis there is not, or too many runs.
    """
    axis = query.get("axis", "step")
    if axis not in get_args(Axis):
        raise MisuseError(f"there is no axis {axis!r}{nearest(axis, get_args(Axis))}")
    low, _, high = query.get("range", "").partition("..")
    view = View(
        axis=cast("Axis", axis),
        low=_number({"range": low}, "range", 0) if low else None,
        high=_number({"range": high}, "range", 0) if high else None,
        smoothing=_number(query, "smoothing", 0, low=0, high=0.999),
        is_log_x="x" in query.get("log", ""),
        is_grouped=query.get("group") == "replicates",
    )
    width = int(_number(query, "width", 880, low=240, high=4000))
    is_log_y = "y" in query.get("log", "")
    return ChartAsked(
        query.get("metric", ""), picked_runs(query), _names(query.get("pinned", "")), view, is_log_y, width
    )


def comparison_asked(query: Mapping[str, str]) -> ComparisonAsked:
    """What `?runs=...&at=...` asks of a comparison.

    Raises:
        MisuseError: an `at` there is not, or too many runs.
    """
    at = query.get("at", "best")
    if at not in get_args(At):
        raise MisuseError(f"cannot compare at {at!r}{nearest(at, get_args(At))}")
    return ComparisonAsked(picked_runs(query), _names(query.get("pinned", "")), cast("At", at))


def picked_runs(query: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the picked runs by the place of their colour; "" where a run was taken out.

    Raises:
        MisuseError: there are more than can be told apart.
    """
    picked = tuple(query.get("runs", "").split(",")) if query.get("runs") else ()
    if len(picked) > MAX_RUNS:
        raise MisuseError(f"{len(picked)} runs are picked; pick at most {MAX_RUNS}, or group them by a filter")
    return picked


def _names(text: str) -> tuple[str, ...]:
    """Names parted by commas; a comma of their own is told as `%2C`."""
    return tuple(name.replace("%2C", ",").replace("%25", "%") for name in text.split(",") if name)


def _number(
    query: Mapping[str, str], name: str, default: float, low: float = -math.inf, high: float = math.inf
) -> float:
    try:
        value = float(query.get(name, default))
    except ValueError:
        raise MisuseError(f"{name} is {query[name]!r}; expected a number") from None
    if not math.isfinite(value):
        raise MisuseError(f"{name} is {query[name]!r}; expected a finite number")
    return min(max(value, low), high)
