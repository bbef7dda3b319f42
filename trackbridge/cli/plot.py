"""
Plots: curves drawn with characters. Braille patterns have two by four dots each, so that a terminal of 100 columns
shows 200 places across; where they cannot be written, or colours cannot tell curves apart, letters stand for curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from trackbridge.report.chart import Chart, Line
from trackbridge.report.downsample import min_max_indices
from trackbridge.report.scale import LinearScale, Scale, suitable_scale
from trackbridge.report.text import printable

COLOURS = ("bright_blue", "dark_orange", "green", "magenta", "yellow", "cyan", "white")
LETTERS = "ABCDEFGHIJ"
MAX_CURVES = len(LETTERS)
MAX_WIDTH = 110
HEIGHT = 12
_LABELS = 9

# The bit of each dot of a braille pattern, by its row and column (Unicode 16.0, section 21.1, "Braille").
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_BLANK = 0x2800


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The cells of a plot: `curve` int[rows, columns] says whose each is, -1 for none; `marks` what stands there."""

    curve: NDArray[np.int64]
    marks: NDArray[np.str_]


def plot(chart: Chart, *, width: int, in_braille: bool) -> Iterator[Text]:
    """The bold lines of a chart as rows of characters, with ticks and a legend; nothing where there is none.

    Args:
        chart: what to show; of more than ten lines the first ten.
        width: how many columns there are.
        in_braille: with dots, in colours; with letters otherwise, which any terminal and any pipe can show.
    """
    lines = [line for line in chart.lines if line.weight == "bold" and np.isfinite(line.values).any()][:MAX_CURVES]
    columns = min(width, MAX_WIDTH) - _LABELS - 1
    if not lines or columns < 10:
        return
    x = LinearScale.covering(np.concatenate([line.steps.astype(np.float64) for line in lines]), padding=0)
    values = [line.values for line in lines]
    y = suitable_scale(values).covering(np.concatenate(values), padding=0.02)
    canvas = (_dotted if in_braille else _lettered)(lines, x, y, columns)
    yield Text(printable(f"{chart.y_title} by {chart.x_title}{f' ({y.note})' if y.note else ''}"), style="bold")
    yield from _rows(canvas, y, in_braille=in_braille)
    yield Text(_foot(x, columns), style="dim")
    yield from _legend(lines, in_braille=in_braille)


def _dotted(lines: Sequence[Line], x: Scale, y: Scale, columns: int) -> _Canvas:
    curve = np.full((HEIGHT, columns), -1)
    patterns = np.zeros((HEIGHT, columns), dtype=np.uint8)
    for index, line in enumerate(lines):
        down, across = _dots(line, x, y, HEIGHT * 4, columns * 2)
        np.bitwise_or.at(patterns, (down // 4, across // 2), _BITS[down % 4, across % 2])
        curve[down // 4, across // 2] = index
    marks = np.array([[chr(_BLANK + int(one)) if one else " " for one in row] for row in patterns])
    return _Canvas(curve, marks)


def _lettered(lines: Sequence[Line], x: Scale, y: Scale, columns: int) -> _Canvas:
    curve = np.full((HEIGHT, columns), -1)
    marks = np.full((HEIGHT, columns), " ")
    for index, line in enumerate(lines):
        down, across = _dots(line, x, y, HEIGHT, columns)
        curve[down, across] = index
        marks[down, across] = LETTERS[index]
    return _Canvas(curve, marks)


def _dots(line: Line, x: Scale, y: Scale, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and columns that a line passes through, int64[n] each; it breaks where a value is not finite."""
    finite = np.isfinite(line.values)
    kept = min_max_indices(line.steps[finite], line.values[finite], width)
    across = x.place(line.steps[finite][kept].astype(np.float64)) * (width - 1)
    down = (1 - y.place(line.values[finite][kept])) * (height - 1)
    gaps = np.cumsum(~finite)[finite][kept]
    places = [(across[-1:], down[-1:])]
    for at in range(len(across) - 1):
        n = 1 if gaps[at] != gaps[at + 1] else 1 + int(max(abs(np.diff(across)[at]), abs(np.diff(down)[at])))
        share = np.arange(n) / n
        places.append(
            (across[at] + share * (across[at + 1] - across[at]), down[at] + share * (down[at + 1] - down[at]))
        )
    found_across, found_down = (np.rint(np.concatenate(part)).astype(np.int64) for part in zip(*places, strict=True))
    return np.clip(found_down, 0, height - 1), np.clip(found_across, 0, width - 1)


def _rows(canvas: _Canvas, y: Scale, *, in_braille: bool) -> Iterator[Text]:
    ticks = {round((1 - float(y.place(np.array([tick.value]))[0])) * (HEIGHT - 1)): tick.label for tick in y.ticks(4)}
    bar, tick = ("│", "┤") if in_braille else ("|", "+")
    for index, (marks, owners) in enumerate(zip(canvas.marks, canvas.curve, strict=True)):
        row = Text(f"{ticks.get(index, ''):>{_LABELS}}{tick if index in ticks else bar}", style="dim")
        for mark, owner in zip(marks.tolist(), owners.tolist(), strict=True):
            row.append(mark, style=COLOURS[owner % len(COLOURS)] if owner >= 0 else "")
        row.rstrip()
        yield row


def _foot(x: Scale, columns: int) -> str:
    """The labels of the step axis, each below its place, as far as they do not touch."""
    foot = ""
    for tick in x.ticks(max(2, columns // 16)):
        middle = _LABELS + 1 + round(float(x.place(np.array([tick.value]))[0]) * (columns - 1))
        place = min(middle - len(tick.label) // 2, _LABELS + 1 + columns - len(tick.label))
        if place >= len(foot) + (2 if foot else 0):
            foot = foot.ljust(place) + tick.label
    return foot


def _legend(lines: Sequence[Line], *, in_braille: bool) -> Iterator[Text]:
    if len(lines) < 2:
        return
    for index, line in enumerate(lines):
        mark = "⠤⠤" if in_braille else LETTERS[index]
        row = Text(" " * (_LABELS + 1)).append(f"{mark} {printable(line.label)}", style=COLOURS[index % len(COLOURS)])
        yield row
