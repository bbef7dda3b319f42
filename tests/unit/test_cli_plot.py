"""Curves drawn with characters: in braille dots, or in letters where dots or colours cannot be shown."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from rich.console import Console

from trackbridge.cli.comparison import print_comparison
from trackbridge.cli.plot import HEIGHT, plot
from trackbridge.comparison import compare
from trackbridge.report.chart import Chart, Line
from trackbridge.testing.records import build_run

ESCAPE = "\x1b"


def line(label: str, *values: float) -> Line:
    return Line(label, np.arange(1, len(values) + 1), np.array(values, dtype=np.float64), 0)


def rows(*lines: Line, width: int = 60, in_braille: bool = True) -> list[str]:
    return [row.plain for row in plot(Chart("eval/mcc", lines), width=width, in_braille=in_braille)]


def printed(*, encoding: str = "utf-8", width: int = 120, colours: bool = True) -> str:
    runs = [build_run(f"r{lr}", config={"script": {"lr": lr}}, curves={"eval/mcc": [0, lr]}) for lr in (1, 2)]
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    console = Console(file=out, width=width, force_terminal=True, color_system="truecolor" if colours else None)
    print_comparison(compare(runs), console)
    out.seek(0)
    return out.read()


def test_a_rising_curve_goes_from_the_lower_left_to_the_upper_right() -> None:
    body = [row[10:] for row in rows(line("a", 0, 1), in_braille=False)[1 : HEIGHT + 1]]

    assert [row.find("A") for row in body] == sorted((row.find("A") for row in body), reverse=True)
    assert body[0].endswith("A")
    assert body[-1].startswith("A")


def test_braille_has_two_by_four_dots_in_a_character() -> None:
    body = [row[10:] for row in rows(line("a", *range(40)))[1 : HEIGHT + 1]]

    marks = {mark for row in body for mark in row} - {" "}
    assert all(0x2800 < ord(mark) <= 0x28FF for mark in marks)
    assert sum(bin(ord(mark) - 0x2800).count("1") for row in body for mark in row if mark != " ") >= 80


def test_a_spike_between_two_columns_is_drawn() -> None:
    values = [0.0] * 2000
    values[777] = 1.0

    assert rows(line("a", *values), in_braille=False)[1].count("A") == 1


def test_a_curve_breaks_where_it_is_not_finite() -> None:
    body = "".join(rows(line("a", 1, 1, math.nan, 1, 1), in_braille=False)[1 : HEIGHT + 1])

    assert 2 < body.count("A") < 40


def test_several_curves_have_a_legend_and_one_has_none() -> None:
    assert rows(line("a", 0, 1), line("b", 1, 0), in_braille=False)[-2:] == [" " * 10 + "A a", " " * 10 + "B b"]
    assert not any("A a" in row for row in rows(line("a", 0, 1), in_braille=False))


@pytest.mark.parametrize("width", [10, 15, 40, 200])
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(row) <= width for row in rows(line("a", *range(100)), width=width))


def test_values_that_are_all_equal_or_not_finite_are_no_error() -> None:
    assert rows(line("a", 1, 1, 1))
    assert rows(line("a", math.nan, math.inf)) == []


def test_names_cannot_steer_the_terminal() -> None:
    drawn = "\n".join(rows(line(f"a{ESCAPE}[2J", 0, 1), line("b", 1, 0)))

    assert ESCAPE not in drawn


def test_a_wide_terminal_shows_the_curve_by_itself_and_a_narrow_one_does_not() -> None:
    assert "⠤⠤" in printed(width=120)
    assert "⠤⠤" not in printed(width=80)


def test_letters_stand_for_groups_where_dots_or_colours_cannot_be_shown() -> None:
    for shown in (printed(encoding="ascii"), printed(colours=False)):
        assert "A lr=1" in shown
        assert "B lr=2" in shown
        assert "⠤⠤" not in shown
