"""A gate's decision as a table, and as Markdown for the summary of a CI job."""

from __future__ import annotations

from typing import Literal, TypeAlias

from trackbridge.comparison.decision import Case, Decision, Outcome
from trackbridge.report.markdown import escaped, table_markdown
from trackbridge.report.tables import Cell, Column, Table

_Tone: TypeAlias = Literal["good", "bad", "changed"]
_TONES: dict[Outcome, _Tone] = {"pass": "good", "fail": "bad", "cannot tell": "changed"}
_MARKS: dict[Outcome, str] = {"pass": "✅", "fail": "❌", "cannot tell": "❔"}


def decision_title(decision: Decision) -> str:
    """What was decided, and by what: `fail: eval/mcc with a margin of 0.01`."""
    return f"{decision.outcome}: {decision.metric} with a margin of {decision.worse_than:g}"


def decision_table(decision: Decision) -> Table:
    """One row per setting and what was decided about it."""
    columns = (
        Column("setting", importance="essential"),
        Column("by", importance="essential"),
        Column("decision", importance="essential"),
        Column("difference", "right"),
        Column("interval", "right"),
        Column("runs", "right", "extra"),
        Column("baseline runs", "right", "extra"),
    )
    return Table("Decisions", columns, tuple(_row(case) for case in decision.cases))


def decision_markdown(decision: Decision) -> str:
    """The table, why it is decided so, and what could overturn it, with a final newline."""
    told = [f"- {escaped(case.sentence)}" for case in decision.deciding]
    warned = [f"- **{escaped(text)}**" for text in decision.warnings]
    head = f"### {_MARKS[decision.outcome]} {escaped(decision_title(decision))}"
    return "\n\n".join(filter(None, (head, "\n".join(told + warned), table_markdown(decision_table(decision))))) + "\n"


def _row(case: Case) -> tuple[Cell, ...]:
    verdict, interval = case.verdict, case.interval
    difference = f"{verdict.effect:+.4g}" if verdict and verdict.effect is not None else "-"
    return (
        Cell(case.setting),
        Cell(case.aspect),
        Cell(case.outcome, tone=_TONES[case.outcome]),
        Cell(difference),
        Cell(f"[{interval.low:+.4g}, {interval.high:+.4g}]" if interval else "-"),
        Cell(str(verdict.one.n) if verdict else "-"),
        Cell(str(verdict.other.n) if verdict else "-"),
    )
