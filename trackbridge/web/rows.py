"""The run table as the browser shows it: the rows of one stretch as markup, however long the table is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trackbridge.comparison.fields import Field
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.metrics import is_training_loss
from trackbridge.comparison.scores import aggregate
from trackbridge.comparison.where import parse_filter
from trackbridge.events.names import lower_is_better
from trackbridge.report.html import name_html
from trackbridge.report.labels import line_key
from trackbridge.report.markup import element, text
from trackbridge.report.tables import Cell
from trackbridge.report.text import counted
from trackbridge.store.records import RunRecord
from trackbridge.web.asked import TableAsked
from trackbridge.web.catalogue import Catalogue, Listing, likeliest_metrics
from trackbridge.web.columns import all_columns, cell_of, group_cell, group_score, is_numeric, metric_of, shown_columns
from trackbridge.web.styles import Styles

DEFAULT_PICKED = 10

Row: TypeAlias = RunRecord | ReplicateGroup


@dataclass(frozen=True, slots=True)
class Page:
    """What a row is rendered with."""

    columns: Sequence[Field]
    styles: Styles
    asked: TableAsked
    picked: frozenset[str]


def run_table(catalogue: Catalogue, asked: TableAsked) -> dict[str, Any]:
    """A stretch of the table as JSON data: `head` and `body` are markup, the rest tells where in the table it lies.

    Raises:
        MisuseError: the filter is none, or the sort names more than one field.
        NotFoundError: filter or sort name a field that no run has.
    """
    listing = catalogue.listing()
    key = (asked.where, asked.columns, asked.hides_constant)
    matching, metrics, columns = catalogue.kept(listing, key, lambda: _matching(listing, asked))
    rows = _rows(catalogue, asked, listing, matching)
    picked = asked.picked if asked.picked is not None else tuple(_first_runs(rows))
    runs = catalogue.runs([run_id for run_id in picked if run_id])
    styles = Styles.of(picked, catalogue.groups(runs) if asked.is_grouped else None)
    page = Page(columns, styles, asked, frozenset(picked))
    # A filter may leave fewer rows than were scrolled past.
    offset = min(asked.offset, max(0, len(rows) - asked.limit))
    window = rows[offset : offset + asked.limit]
    body = "".join(_row(row, page, offset + index) for index, row in enumerate(window)) or _nothing(listing)
    return {
        "number": listing.number,
        "n_runs": len(listing.runs),
        "n_matching": len(matching),
        "n_rows": len(rows),
        "offset": offset,
        "picked": list(picked),
        "head": _head(columns, asked, is_any_picked=any(picked)),
        "body": body,
        "widths": ["pick", "group" if asked.is_grouped else "name", *(_width(field, asked) for field in columns)],
        "columns": [field.key for field in columns],
        "all_columns": all_columns(listing),
        "metrics": metrics,
        "charts": _charts(metrics),
    }


def _matching(listing: Listing, asked: TableAsked) -> tuple[list[RunRecord], list[str], list[Field]]:
    """The runs that pass the filter, their metrics, and the columns to show of them."""
    passes = parse_filter(asked.where, listing.fields)
    matching = [run for run in listing.runs if passes(run)]
    metrics = list(likeliest_metrics(matching)) or list(listing.metrics)
    return matching, metrics, shown_columns(asked, listing, matching, metrics)


def _charts(metrics: Sequence[str]) -> list[str]:
    """The curves to show where none were chosen: the score of most interest, and the loss of the training."""
    losses = [name for name in metrics if is_training_loss(name)]
    return list(dict.fromkeys([*metrics[:1], *(losses or metrics[1:])[:1]]))


def _rows(catalogue: Catalogue, asked: TableAsked, listing: Listing, matching: Sequence[RunRecord]) -> list[Row]:
    """Pinned runs first, then the others in order; groups are followed by their runs where they are unfolded."""
    pinned = catalogue.runs(asked.pinned)
    order = _sorting(asked.sort, listing)
    if not asked.is_grouped:
        rest = [run for run in matching if run.run_id not in asked.pinned]
        return [*pinned, *(sorted(rest, key=order) if order else rest)]
    groups = list(catalogue.groups(matching)) if matching else []
    if asked.sort:
        groups.sort(key=_group_sorting(asked.sort, listing))
    rows: list[Row] = list(pinned)
    for group in groups:
        rows.append(group)
        if group.key in asked.unfolded:
            members = [run for run in group.runs if run.run_id not in asked.pinned]
            rows += sorted(members, key=order) if order else members
    return rows


def _sorting(sort: str, listing: Listing) -> Any:
    if not sort:
        return None
    field, sign = listing.fields.named(sort.lstrip("-")), -1 if sort.startswith("-") else 1
    return lambda run: _order(field.read(run), sign)


def _group_sorting(sort: str, listing: Listing) -> Any:
    field, sign = listing.fields.named(sort.lstrip("-")), -1 if sort.startswith("-") else 1

    def order(group: ReplicateGroup) -> tuple[int, float, Any]:
        if field.kind in ("best", "last"):
            return _order(group_score(field, group).scores.mean, sign)
        values = [field.read(run) for run in group.runs]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        mean = aggregate(numbers).mean if numbers else None
        return _order(mean if numbers else group.label if field.key == "name" else values[0], sign)

    return order


def _order(value: Any, sign: int) -> tuple[int, float, Any]:
    """A sort key: numbers by size, then texts by their letters, and what has none, or is NaN, at the end either way."""
    if isinstance(value, (int, float)) and not math.isnan(value):
        return (0, sign * float(value), ())
    if value is None or isinstance(value, float):
        return (2, 0.0, ())
    letters = str(value).casefold()
    return (1, 0.0, tuple(sign * ord(letter) for letter in letters[:200]))


def _first_runs(rows: Sequence[Row]) -> list[str]:
    runs = [run for row in rows[:DEFAULT_PICKED] for run in (row.runs if isinstance(row, ReplicateGroup) else (row,))]
    return list(dict.fromkeys(run.run_id for run in runs))[: 2 * DEFAULT_PICKED]


def _head(columns: Sequence[Field], asked: TableAsked, *, is_any_picked: bool) -> str:
    states: Mapping[str, str] = {"checked": "checked"} if is_any_picked else {}
    box = element("input", type="checkbox", data_all="any", aria_label="Show the first runs, or none", **states)
    cells = [element("th", box, scope="col", class_="pick"), _heading("name", "run", asked, is_right=False)]
    cells += [_heading(field.key, field.title, asked, is_right=is_numeric(field)) for field in columns]
    return element("tr", *cells, aria_rowindex="1")


def _heading(key: str, title: str, asked: TableAsked, *, is_right: bool) -> str:
    direction = {key: "ascending", f"-{key}": "descending"}.get(asked.sort, "")
    arrow = {"ascending": " ↑", "descending": " ↓", "": ""}[direction]
    metric = metric_of(key)
    # The first click on a score brings the best run to the top.
    first = f"-{key}" if metric and not lower_is_better(metric) else key
    second = key if first.startswith("-") else f"-{key}"
    button = element(
        "button", name_html(title + arrow), type="button", title=key, data_sort=second if asked.sort == first else first
    )
    sides = "name" if key == "name" else "right" if is_right else ""
    return element("th", button, scope="col", class_=sides, aria_sort=direction)


def _nothing(listing: Listing) -> str:
    words = "No run passes the filter." if listing.runs else "No runs yet: they appear here as soon as one starts."
    return element("tr", element("td", ""), element("td", text(words), colspan="9", class_="muted"))


def _row(row: Row, page: Page, index: int) -> str:
    return _group_row(row, page, index) if isinstance(row, ReplicateGroup) else _run_row(row, page, index)


def _run_row(run: RunRecord, page: Page, index: int) -> str:
    is_pinned = run.run_id in page.asked.pinned
    style = page.styles.of_run(run.run_id)
    name = element("a", text(_cut(run.name)), href=f"/run/{run.run_id}", title=_cut(run.name, 1000))
    pin = element(
        "button", "★" if is_pinned else "☆", type="button", class_="pin", data_pin=run.run_id,
        aria_pressed=str(is_pinned).lower(), aria_label=f"Pin {_cut(run.name, 60)}",
    )  # fmt: skip
    cells = [_pick_cell([run], page, _cut(run.name, 60))]
    cells.append(
        element(
            "th", element("div", line_key(style) if style is not None else "", name, pin), scope="row", class_="name"
        )
    )
    cells += [_cell(cell_of(field, run), field) for field in page.columns]
    look = "pinned" if is_pinned else "member" if page.asked.is_grouped else ""
    return element("tr", *cells, class_=look, aria_rowindex=str(index + 2), data_row=run.run_id)


def _group_row(group: ReplicateGroup, page: Page, index: int) -> str:
    is_open = group.key in page.asked.unfolded
    style = page.styles.of_group(group)
    fold = element(
        "button", "▾ " if is_open else "▸ ", text(_cut(group.label, 80)), type="button", class_="fold",
        data_fold=group.key, aria_expanded=str(is_open).lower(), title=_cut(group.label, 1000),
    )  # fmt: skip
    count = element("span", text(counted(len(group.runs), "run")), class_="muted")
    cells = [_pick_cell(group.runs, page, _cut(group.label, 60))]
    cells.append(
        element(
            "th", element("div", line_key(style) if style is not None else "", fold, count), scope="row", class_="name"
        )
    )
    cells += [_cell(group_cell(field, group), field) for field in page.columns]
    return element("tr", *cells, class_="group", aria_rowindex=str(index + 2), data_row=group.key)


def _pick_cell(runs: Sequence[RunRecord], page: Page, name: str) -> str:
    ids = [run.run_id for run in runs]
    states: Mapping[str, str] = {"checked": "checked"} if all(run_id in page.picked for run_id in ids) else {}
    box = element("input", type="checkbox", data_pick=",".join(ids), aria_label=f"Show {name}", **states)
    return element("td", box, class_="pick")


def _cell(cell: Cell, field: Field) -> str:
    tone = "" if cell.tone == "plain" else cell.tone
    title = cell.text if len(cell.text) > 14 else ""
    look = " ".join(filter(None, ("right" if is_numeric(field) else "", tone)))
    return element("td", text(cell.text), class_=look, title=title)


def _width(field: Field, asked: TableAsked) -> str:
    # A group has a mean and a standard deviation where a run has one number.
    return "score" if asked.is_grouped and field.kind in ("best", "last") else "number" if is_numeric(field) else "text"


def _cut(name: str, n_characters: int = 120) -> str:
    return name if len(name) <= n_characters else name[: n_characters - 1] + "…"
