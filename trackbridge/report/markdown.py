"""A comparison and a diff as GitHub-flavoured Markdown, for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trackbridge.comparison.code import CodeDifference
from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.diff import RunDiff
from trackbridge.comparison.difference import Difference
from trackbridge.comparison.divergence import Divergence
from trackbridge.comparison.lineage_graph import LineageGraph
from trackbridge.comparison.note import Note
from trackbridge.report.lineage import lineage_outline
from trackbridge.report.tables import (
    Table,
    alias_sentences,
    circumstances_table,
    diff_tables,
    groups_table,
    lineage_table,
    runs_table,
    settings_table,
    subtitle_text,
    title_text,
)
from trackbridge.report.text import printable, printable_lines
from trackbridge.report.verdicts import leading_verdicts, verdicts_table

# "@" is among them since a run named after a person must not call that person to the pull request.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&@])")


def comparison_markdown(comparison: Comparison, metrics: Sequence[str]) -> str:
    """Verdicts, notes, scores by group, what differs and scores by run, with a final newline."""
    tables = [groups_table(comparison, metrics), verdicts_table(comparison, metrics), settings_table(comparison)]
    tables += [circumstances_table(comparison), runs_table(comparison, metrics), lineage_table(comparison.lineage)]
    head = f"### {escaped(title_text(comparison))}\n\n{escaped(subtitle_text(comparison))}"
    verdicts = remarks_markdown([one.sentence for one in leading_verdicts(comparison)])
    parts = [head, _notes(comparison.notes), verdicts, *(table_markdown(table) for table in tables if table.rows)]
    parts.append(_lineage(comparison.lineage_graph))
    return "\n\n".join(filter(None, parts)) + "\n"


def diff_markdown(diff: RunDiff, shown: Sequence[Difference], divergences: Sequence[Divergence] = ()) -> str:
    """Warnings, differences by section, what cannot be told apart, and first divergences, with a final newline."""
    tables = [table_markdown(table) for table in diff_tables(diff, shown)] or ["No difference."]
    sentences = [*alias_sentences(diff, shown), *(found.sentence for found in divergences)]
    return "\n\n".join(filter(None, [_notes(diff.notes), *tables, *map(escaped, sentences)])) + "\n"


def code_markdown(found: CodeDifference) -> str:
    """The difference between the code of two runs: what was compared, then the unified diff, with a final newline."""
    parts = [f"#### {escaped(found.sentence)}", "\n".join(f"- {escaped(remark)}" for remark in found.remarks)]
    if found.changes:
        # Markdown in the code itself must not end the block.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", found.changes)), default=0))
        parts.append("\n".join([f"{fence}diff", *printable_lines(found.changes.rstrip("\n")), fence]))
    return "\n\n".join(filter(None, parts)) + "\n"


def table_markdown(table: Table) -> str:
    """One table under a heading."""
    return "\n".join(_lines(table))


def remarks_markdown(remarks: Sequence[str]) -> str:
    """Sentences as a list; empty for none."""
    return "\n".join(f"- {escaped(remark)}" for remark in remarks)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[1])};", printable(text))


def _notes(notes: Sequence[Note]) -> str:
    return "\n".join(
        f"- **{escaped(note.text)}**" if note.level == "warning" else f"- {escaped(note.text)}" for note in notes
    )


def _lineage(graph: LineageGraph) -> str:
    """What the runs build on as nested lists."""
    return "\n".join(f"{'  ' * line.depth}- {escaped(line.sentence)}" for line in lineage_outline(graph))


def _lines(table: Table) -> Iterator[str]:
    yield f"#### {escaped(table.title)}"
    yield ""
    yield "| " + " | ".join(escaped(column.title) for column in table.columns) + " |"
    yield "|" + "|".join("---:" if column.align == "right" else "---" for column in table.columns) + "|"
    for row in table.rows:
        yield "| " + " | ".join(escaped(cell.text) for cell in row) + " |"
    if table.caption:
        yield ""
        yield escaped(table.caption)
