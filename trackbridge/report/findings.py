"""Findings as a table: what is wrong with runs, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trackbridge.comparison.finding import Finding, Severity
from trackbridge.report.tables import Cell, Column, Table, Tone
from trackbridge.report.text import number_text

TONES: dict[Severity, Tone] = {"error": "bad", "warning": "changed", "info": "muted"}

_COLUMNS = (
    Column("severity", importance="essential"),
    Column("code"),
    Column("run", importance="extra"),
    Column("step", "right", "extra"),
    Column("number", "right", "extra"),
    Column("threshold", "right", "extra"),
    Column("finding", importance="essential"),
)


def findings_table(findings: Sequence[Finding], names: Mapping[str, str]) -> Table:
    """One row per finding. `names` maps run ids to what the runs are called."""
    rows = tuple(
        (
            Cell(one.severity, tone=TONES[one.severity]),
            Cell(one.code),
            Cell(names[one.run_id]),
            Cell("-" if one.step is None else str(one.step)),
            Cell(number_text(one.value, 3)),
            Cell(number_text(one.threshold, 3)),
            Cell(one.sentence),
        )
        for one in findings
    )
    return Table("Findings", _COLUMNS, rows)
