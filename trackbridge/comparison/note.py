"""A note: one thing to know before believing a table, as a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

NoteCode: TypeAlias = Literal[
    "data_differs", "unfinished", "damaged", "unequal_length", "nonfinite", "metric_missing", "held_values",
    "no_config", "single_runs", "halted", "stopped_early", "degenerate", "folds", "mixed_settings", "many_groups",
    "best_of_many", "no_statistics",
]  # fmt: skip

MAX_NAMED = 4
N_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about the runs named by `run_ids`; a `warning` can overturn what the table suggests."""

    code: NoteCode
    level: Literal["warning", "info"]
    text: str
    run_ids: tuple[str, ...] = ()


def named_runs(ids: Sequence[str], names: Mapping[str, str]) -> str:
    """The runs by name, `a, b and c`; of more than four, two and how many more."""
    shown = [names[run_id] for run_id in ids[:MAX_NAMED]]
    if len(ids) > MAX_NAMED:
        return f"{', '.join(shown[:N_EXAMPLES])} and {len(ids) - N_EXAMPLES} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
