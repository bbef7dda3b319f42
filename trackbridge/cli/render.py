"""
How things look in a terminal: tables that fit, colours, sparklines. The only module that prints.

In a pipe, or where colours are not wanted, everything is plain text: no box, no colour, nothing cut off.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree

from trackbridge.report.lineage import lineage_outline
from trackbridge.report.tables import (
    Cell,
    Column,
    Importance,
    Table,
    Tone,
    alias_sentences,
    diff_tables,
)
from trackbridge.report.text import counted, printable, printable_lines

if TYPE_CHECKING:
    from trackbridge.comparison.code import CodeDifference
    from trackbridge.comparison.diff import RunDiff
    from trackbridge.comparison.difference import Difference
    from trackbridge.comparison.divergence import Divergence
    from trackbridge.comparison.lineage_graph import LineageGraph
    from trackbridge.comparison.note import Note
    from trackbridge.store.records import RunRecord, Series

_TONES = {"plain": "", "muted": "dim", "good": "green", "bad": "bold red", "busy": "cyan", "changed": "bold yellow"}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_WIDTH = 100_000
_SPARK_WIDTH = 14
# Where there is no room, a longer name goes on in a second line, rather than pushing the scores out of sight.
_MAX_NAME_WIDTH = 36


def make_console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; in a pipe it never cuts a line."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def print_line(console: Console, text: str = "", *, style: str = "") -> None:
    """One paragraph of text, with nothing in it obeyed as markup or as a terminal's command."""
    console.print(Text(printable(text), style=style))


def print_table(console: Console, table: Table) -> None:
    """The table with as many of its columns as fit; says which are left out."""
    shown, left_out = fitted(table, console.width)
    plain = not console.is_terminal
    name_width = _MAX_NAME_WIDTH + max(0, console.width - _width(shown))
    rich_table = RichTable(
        box=None if plain else SIMPLE_HEAD,
        border_style="dim",
        header_style="" if plain else "dim",
        pad_edge=False,
        show_edge=False,
        title_justify="left",
    )
    for index, column in enumerate(shown.columns):
        rich_table.add_column(
            Text(printable(column.title)),
            justify=column.align,
            overflow="fold",
            no_wrap=column.align == "right",
            max_width=name_width if index == 0 and not plain else None,
        )
    for row in shown.rows:
        rich_table.add_row(*(_cell(cell) for cell in row))
    print_line(console, table.title, style="bold")
    if plain:
        _print_without_padding(console, rich_table)
    else:
        console.print(rich_table)
    notes = [table.caption] if table.caption else []
    notes += [f"not shown for want of width: {', '.join(left_out)}"] if left_out else []
    if notes:
        print_line(console, "; ".join(notes), style="dim")
    print_line(console)


def print_tables(console: Console, tables: Sequence[Table]) -> None:
    """Those of the tables that have rows."""
    for table in tables:
        if table.rows:
            print_table(console, table)


def tone_style(tone: Tone) -> str:
    """How a tone looks in a terminal, as a rich style."""
    return _TONES[tone]


def has_room(console: Console, table: Table) -> bool:
    """Whether the table's essential columns fit side by side."""
    return _width(fitted(table, console.width)[0]) <= console.width


def fitted(table: Table, width: int) -> tuple[Table, list[str]]:
    """The table without the columns that do not fit, and their titles, the most important first.

    The least important columns go first, and of these the rightmost.
    """
    left_out: list[str] = []
    order: tuple[Importance, ...] = ("extra", "useful")
    for importance in order:
        while _width(table) > width:
            places = [index for index, column in enumerate(table.columns) if column.importance == importance]
            if not places:
                break
            left_out.insert(0, table.columns[places[-1]].title)
            table = _without_column(table, places[-1])
    return table, left_out


def print_diff(
    diff: RunDiff,
    shown: Sequence[Difference],
    divergences: Sequence[Divergence] = (),
    console: Console | None = None,
) -> None:
    """Warnings, differences by section, how many keys are equal or hidden, and where curves first differ."""
    console = console or make_console()
    print_notes(console, diff.notes)
    for table in diff_tables(diff, shown):
        print_table(console, table)
    for sentence in alias_sentences(diff, shown):
        print_line(console, sentence)
    for found in divergences:
        print_line(console, found.sentence)
    hidden = len(diff.differences) - len(shown)
    parts = [f"{counted(diff.n_equal, 'key')} equal"] + ([f"{hidden} volatile hidden (--all)"] if hidden else [])
    print_line(console, ("" if shown else "no difference; ") + ", ".join(parts), style="dim")


def print_code(found: CodeDifference, console: Console | None = None) -> None:
    """How the code of two runs differs: what was compared, then the unified diff."""
    console = console or make_console()
    print_line(console)
    print_line(console, found.sentence, style="bold")
    for remark in found.remarks:
        print_line(console, f"- {remark}", style="dim")
    for line in printable_lines(found.changes.rstrip("\n")) if found.changes else ():
        mark = "" if line.startswith(("+++", "---")) else line[:1]
        console.print(Text(line, style=_DIFF_STYLES.get(mark, "")))


def print_lineage(console: Console, graph: LineageGraph) -> None:
    """What runs build on, as trees; nothing where they build on nothing and were never resumed."""
    if not graph.nodes:
        return
    print_line(console, "Lineage", style="bold")
    trees: list[Tree] = []
    branches: list[Tree] = []
    for line in lineage_outline(graph):
        words = Text(printable(line.sentence))
        branch = branches[line.depth - 1].add(words) if line.depth else Tree(words, guide_style="dim")
        branches[line.depth :] = [branch]
        if not line.depth:
            trees.append(branch)
    for tree in trees:
        console.print(tree)
    print_line(console)


def print_notes(console: Console, notes: Sequence[Note]) -> None:
    """The notes as a list, warnings in yellow."""
    for note in notes:
        mark = "!" if note.level == "warning" else "-"
        print_line(console, f"{mark} {note.text}", style=_note_style(note.level))
    if notes:
        print_line(console)


def with_curves(table: Table, runs: Sequence[RunRecord], metric: str) -> Table:
    """The table with a sketch of each run's curve of one metric beside its essential columns."""
    sketches = [Cell(sparkline(run.series(metric)) if metric in run.metrics else "") for run in runs]
    place = 1 + max(index for index, column in enumerate(table.columns) if column.importance == "essential")
    column = Column("curve", importance="useful")
    rows = tuple((*row[:place], sketch, *row[place:]) for row, sketch in zip(table.rows, sketches, strict=True))
    return replace(table, columns=(*table.columns[:place], column, *table.columns[place:]), rows=rows)


def can_sketch(console: Console) -> bool:
    """True where the block characters of a sparkline can be written."""
    return console.encoding.lower().startswith("utf")


def sparkline(series: Series, width: int = _SPARK_WIDTH) -> str:
    """A curve in a few characters: the mean of each share of the steps, `×` where only NaN or infinities are."""
    import numpy as np

    span = max(1, int(series.steps[-1] - series.steps[0]))
    width = min(width, len(series))
    buckets = np.minimum((series.steps - series.steps[0]) * width // span, width - 1)
    finite = np.isfinite(series.values)
    if not finite.any():
        return "×" * width
    low, high = float(series.values[finite].min()), float(series.values[finite].max())
    marks = []
    for bucket in range(width):
        values = series.values[(buckets == bucket) & finite]
        if len(values):
            level = (float(values.mean()) - low) / (high - low) if high > low else 0.5
            marks.append(_BARS[min(7, int(level * 8))])
        else:
            marks.append("×" if (buckets == bucket).any() else " ")
    return "".join(marks)


def print_json(data: Any) -> None:
    """Data as indented JSON on stdout, for other programs."""
    import json

    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as comma-separated values on stdout, for a spreadsheet."""
    from trackbridge.report.csv import rows_csv

    sys.stdout.write(rows_csv(rows))


def print_as(tables: Sequence[Table], output_format: str, remarks: Sequence[str] = ()) -> None:
    """Tables for a person, and remarks below them: laid out for the terminal, or as Markdown ("md")."""
    from trackbridge.report.markdown import remarks_markdown, table_markdown

    if output_format == "md":
        parts = [*(table_markdown(table) for table in tables if table.rows), remarks_markdown(remarks)]
        print_text("\n\n".join(filter(None, parts)) + "\n")
        return
    console = make_console()
    print_tables(console, tables)
    for remark in remarks:
        print_line(console, f"- {remark}")


def print_text(text: str) -> None:
    """Text for a file or another program, as it is."""
    sys.stdout.write(text)


def _print_without_padding(console: Console, table: RichTable) -> None:
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(Text(line.rstrip()))


def _note_style(level: str) -> str:
    return "yellow" if level == "warning" else "dim"


def _cell(cell: Cell) -> Text:
    return Text(printable(cell.text), style=_TONES[cell.tone])


def _width(table: Table) -> int:
    widths = [
        max(cell_len(printable(text)) for text in (column.title, *(row[index].text for row in table.rows)))
        for index, column in enumerate(table.columns)
    ]
    return min(widths[0], _MAX_NAME_WIDTH) + sum(widths[1:]) + 3 * (len(widths) - 1)


def _without_column(table: Table, place: int) -> Table:
    rows = tuple((*row[:place], *row[place + 1 :]) for row in table.rows)
    return replace(table, columns=(*table.columns[:place], *table.columns[place + 1 :]), rows=rows)
