"""The columns of the run table: which there are, which are shown, and a run's or a group's cell in each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from trackbridge.comparison.fields import Field, Fields
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.keys import key_role
from trackbridge.comparison.run_scores import At
from trackbridge.comparison.scores import GroupScore, compare_metric
from trackbridge.errors import TrackbridgeError
from trackbridge.report.tables import Cell, group_text, status_cell
from trackbridge.report.text import age_text, duration_text, number_text, value_text
from trackbridge.store.records import RunRecord
from trackbridge.web.asked import TableAsked
from trackbridge.web.catalogue import Listing

MAX_DEFAULT_KEYS = 8
MAX_CELL_CHARS = 120
_SEEDS = ("seed.init", "seed.data", "seed.dropout", "seed.all")
_NEVER_HIDDEN = frozenset({"status", "steps", "took", "started"})
# What a person writes comes before what follows from it.
_SCOPE_ORDER = {"pipeline": 0, "script": 1, "training_arguments": 2}


def shown_columns(
    asked: TableAsked, listing: Listing, runs: Sequence[RunRecord], metrics: Sequence[str]
) -> list[Field]:
    """The columns to show of these runs: those asked for, or the likeliest; without constant ones where asked."""
    fields = listing.fields
    if asked.columns:
        found = [_known(fields, name) for name in asked.columns]
    else:
        found = [fields.named(name) for name in _default_columns(asked, listing, runs, metrics)]
    columns = [field for field in found if field is not None]
    if not asked.hides_constant:
        return columns
    return [field for field in columns if _may_not_hide(field) or _varies(field, runs)]


def all_columns(listing: Listing) -> list[str]:
    """The keys of everything that can be a column, in the order a menu shows."""
    scores = [f"{which}({metric})" for metric in listing.metrics for which in ("best", "last")]
    facts = ["status", "group", "project", "tag", "notes", "steps", "took", "started", "id", "problems"]
    return [*facts, *_SEEDS, *scores, *listing.fields.config_keys()]


def cell_of(field: Field, run: RunRecord) -> Cell:
    """A run's cell in a column."""
    if field.key == "status":
        return status_cell(run)
    value = field.read(run)
    return Cell("-", tone="muted") if value is None else Cell(_text(field, value))


def group_score(field: Field, group: ReplicateGroup) -> GroupScore:
    """The mean of a score over the runs of a group that count: runs that learned nothing are no part of a mean."""
    at: At = "last" if field.kind == "last" else "best"
    return compare_metric(metric_of(field.key), [group], at=at, align="step", baseline_of={}).groups[0]


def group_cell(field: Field, group: ReplicateGroup) -> Cell:
    """What the runs of a group have in a column: mean and standard deviation of scores, else what they share."""
    if field.kind in ("best", "last"):
        return Cell(group_text(group_score(field, group)))
    runs = group.runs
    values = [value for run in runs if (value := field.read(run)) is not None]
    if field.key == "status":
        counts = Counter(run.status for run in runs)
        return Cell(", ".join(f"{n} {status}" for status, n in counts.most_common()))
    if field.key in ("took", "steps", "started") and values:
        return Cell(_text(field, sum(values) / len(values)) if field.key != "started" else _text(field, max(values)))
    texts = list(dict.fromkeys(_text(field, value) for value in values))
    if len(texts) > 3:
        return Cell(f"{len(texts)} values", tone="muted")
    return Cell(", ".join(texts)) if texts else Cell("-", tone="muted")


def metric_of(key: str) -> str:
    """The metric that a column of scores is about; "" for any other column."""
    return key[5:-1] if key.startswith(("best(", "last(")) else ""


def is_numeric(field: Field) -> bool:
    """True for columns whose cells line up at the right."""
    return field.kind in ("best", "last") or field.key in ("steps", "took", "started", "problems", *_SEEDS)


def _default_columns(
    asked: TableAsked, listing: Listing, runs: Sequence[RunRecord], metrics: Sequence[str]
) -> list[str]:
    scores = [f"best({metric})" for metric in metrics[:2]] + [f"last({metric})" for metric in metrics[:1]]
    keys = listing.fields.varying(runs) if asked.hides_constant else listing.fields.config_keys()
    written = [key for key in keys if key_role(tuple(key.split(".")), None) == "config" and not key.startswith("data.")]
    written.sort(key=lambda key: (_SCOPE_ORDER.get(key.partition(".")[0], 9), key))
    chosen = written[:MAX_DEFAULT_KEYS] if asked.hides_constant else written
    return ["status", *scores, *_SEEDS, *chosen, "steps", "took", "started", "group", "project", "tag"]


def _known(fields: Fields, name: str) -> Field | None:
    try:
        return fields.named(name)
    except TrackbridgeError:
        # The address may be older than the runs, and name what they no longer have.
        return None


def _may_not_hide(field: Field) -> bool:
    return field.kind in ("best", "last") or field.key in _NEVER_HIDDEN


def _varies(field: Field, runs: Sequence[RunRecord]) -> bool:
    first = field.read(runs[0]) if runs else None
    return any(field.read(run) != first for run in runs) or (len(runs) == 1 and first is not None)


def _text(field: Field, value: Any) -> str:
    if field.kind in ("best", "last"):
        return number_text(value)
    if field.key == "took":
        return duration_text(value)
    if field.key == "started":
        # Of an imported run it may be unknown, which is 0.
        return age_text(max(0.0, time.time() - value)) if value else "-"
    if field.key in ("steps", "problems"):
        return f"{value:.0f}"
    if field.key == "tag":
        return ", ".join(value) if isinstance(value, list) else str(value)
    text = value_text(round(value, 12) if isinstance(value, float) else value)
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…"
