"""The table of a study with several scores: one chose the weights of each run, the others only judge them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trackbridge.finetune.outcome import Outcome
from trackbridge.report.tables import Cell, Column, Table
from trackbridge.report.text import mean_text, number_text


def chosen_scores_table(outcomes: Sequence[Outcome]) -> Table:
    """Per run the scores of every eval set at the step of its kept weights; per variant their mean and sd."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    columns = [
        Column("run", importance="essential"),
        *(Column(name, "right", "essential") for name in names),
        Column("at step", "right"),
        Column("ending"),
    ]
    rows = [_row(outcome, names) for outcome in outcomes]
    variants = dict.fromkeys(outcome.planned.variant for outcome in outcomes)
    for variant in variants:
        scored = [outcome for outcome in outcomes if outcome.planned.variant == variant and outcome.scores]
        if len(scored) > 1:
            rows.append(_mean_row(variant, scored, names))
    return Table("Scores of the kept weights", tuple(columns), tuple(rows), caption=_caption(outcomes))


def _caption(outcomes: Sequence[Outcome]) -> str:
    scored = [outcome for outcome in outcomes if outcome.scores]
    ways = {f"chosen by {outcome.chosen_by}" if outcome.chosen_by else "the last of a run" for outcome in scored}
    has_plain = any(name.startswith("eval_plain") for outcome in scored for name in outcome.scores)
    plain = ["eval_plain: the model beside the averaged one at that step"] if has_plain else []
    return "; ".join([", or ".join(sorted(ways)), *plain])


def _row(outcome: Outcome, names: Sequence[str]) -> tuple[Cell, ...]:
    scores = (Cell(number_text(outcome.scores.get(name))) for name in names)
    step = Cell("-" if outcome.kept_step is None else str(outcome.kept_step))
    ending = Cell(outcome.ending, tone="bad" if outcome.ending == "failed" else "plain")
    return (Cell(outcome.planned.name), *scores, step, ending)


def _mean_row(variant: str, scored: Sequence[Outcome], names: Sequence[str]) -> tuple[Cell, ...]:
    columns = [np.array([outcome.scores[name] for outcome in scored if name in outcome.scores]) for name in names]
    means = (Cell(mean_text(float(c.mean()), float(c.std(ddof=1))) if len(c) > 1 else "-") for c in columns)
    return (Cell(f"{variant} mean ± sd of {len(scored)}".strip()), *means, Cell(""), Cell(""))
