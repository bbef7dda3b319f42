"""Findings as a table: what is wrong with runs, the gravest first."""

from __future__ import annotations

from collections.abc import Sequence

from trackbridge.comparison.finding import Severity
from trackbridge.comparison.finding_groups import FindingGroup
from trackbridge.report.tables import Cell, Column, Table, Tone
from trackbridge.report.text import number_text

TONES: dict[Severity, Tone] = {"error": "bad", "warning": "changed", "info": "muted"}

_COLUMNS = (
    Column("severity", importance="essential"),
    Column("code"),
    Column("runs", "right"),
    Column("step", "right", "extra"),
    Column("number", "right", "extra"),
    Column("threshold", "right", "extra"),
    Column("finding", importance="essential"),
)


def findings_table(findings: Sequence[FindingGroup]) -> Table:
    """One row for what the replicates of a group show alike, with step, number and threshold of the first one."""
    rows = tuple(
        (
            Cell(one.first.severity, tone=TONES[one.first.severity]),
            Cell(one.first.code),
            Cell(f"{len(one.findings)} of {one.n_runs}"),
            Cell("-" if one.first.step is None else str(one.first.step)),
            Cell(number_text(one.first.value, 3)),
            Cell(number_text(one.first.threshold, 3)),
            Cell(one.sentence),
        )
        for one in findings
    )
    return Table("Findings", _COLUMNS, rows)
