"""How tables fit a terminal, and what a sparkline says."""

from __future__ import annotations

import io
import math

from rich.console import Console

from trackbridge.cli.comparison import print_comparison
from trackbridge.cli.render import fitted, print_diff, print_table, sparkline, with_curves
from trackbridge.comparison import compare, diff_runs
from trackbridge.report.tables import Cell, Column, Table, groups_table
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run, build_series


def study() -> list[RunRecord]:
    return [
        build_run(
            f"run-{lr}-{seed}",
            config={"script": {"lr": lr}},
            seeds=Seeds(dropout=seed),
            curves={name: [0.1, 0.2 + lr + seed / 10] for name in ("eval/mcc", "eval/loss", "test/mcc", "train/loss")},
        )
        for lr in (1, 2)
        for seed in (1, 2)
    ]


def terminal(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False, color_system="truecolor")


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_narrow_terminals_keep_the_essential_columns() -> None:
    table = groups_table(compare(study()), ["eval/mcc", "eval/loss", "test/mcc", "train/loss"])

    narrow, left_out = fitted(table, 36)

    assert [column.title for column in narrow.columns] == ["group", "runs", "eval/mcc"]
    assert left_out == ["range", "eval/loss", "test/mcc", "train/loss"]


def test_wide_terminals_keep_everything() -> None:
    table = groups_table(compare(study()), ["eval/mcc"])

    assert fitted(table, 200) == (table, [])


def test_a_long_name_is_broken_only_where_there_is_no_room() -> None:
    name = "eval_out_of_domain/samples_per_second"
    columns = (Column("metric", importance="essential"), Column("last", "right", "essential"))
    table = Table("t", columns, ((Cell(name), Cell("1")),))

    wide, narrow = terminal(60), terminal(42)
    print_table(wide, table)
    print_table(narrow, table)

    assert name in shown(wide)
    assert name not in shown(narrow)


def test_essential_columns_stay_however_narrow() -> None:
    table = Table(
        "t",
        (Column("a", importance="essential"), Column("b", "right", "essential")),
        ((Cell("x" * 50), Cell("y" * 50)),),
    )

    assert fitted(table, 10)[0] == table


def test_a_comparison_fits_its_terminal() -> None:
    for width in (50, 80, 140):
        console = terminal(width)
        print_comparison(compare(study()), console)
        lines = Console(width=1000).render_str(shown(console)).plain.splitlines()
        assert lines
        plain = Console(file=io.StringIO(), width=width)
        assert max(plain.measure(line).minimum for line in lines) <= width


def test_settings_are_folded_where_a_column_for_each_group_has_no_room() -> None:
    comparison = compare(
        [
            build_run(f"{k}", config={"script": {"how_it_is_done": f"the long name {k}"}}, curves={"m": [0.5]})
            for k in "abcd"
        ]
    )
    wide, narrow = terminal(160), terminal(60)

    print_comparison(comparison, wide)
    print_comparison(comparison, narrow)

    assert "(1 group)" not in shown(wide)
    assert "the long name a (1 group)" in shown(narrow)


def test_of_more_verdicts_than_anybody_reads_their_number_comes_first() -> None:
    runs = [
        build_run(f"{lr} {seed}", config={"script": {"lr": lr}}, curves={"m": [lr / 10 + seed / 100]})
        for lr in range(1, 6)
        for seed in range(3)
    ]
    console = terminal(120)

    print_comparison(compare(runs, baseline=runs[0]), console)

    assert "m, 4 comparisons: 4 better; the table of verdicts is below" in shown(console)


def test_colours_are_only_for_terminals() -> None:
    plain = Console(file=io.StringIO(), width=200)
    print_comparison(compare(study()), plain)
    coloured = terminal(200)
    print_comparison(compare(study()), coloured)

    assert "\x1b" not in shown(plain)
    assert "\x1b[1;33m" in shown(coloured)


def test_a_diff_says_how_much_is_equal_and_hidden() -> None:
    runs = [build_run(name, config={"script": {"lr": 1, "output_dir": name}}) for name in "ab"]
    found = diff_runs(runs)
    console = Console(file=io.StringIO(), width=100)

    print_diff(found, found.visible, console=console)

    assert shown(console).strip() == "no difference; 1 key equal, 1 volatile hidden (--all)"


def test_a_sparkline_rises_with_its_values() -> None:
    assert sparkline(build_series("x", range(1, 9)), width=8) == "▁▂▃▄▅▆▇█"


def test_a_sparkline_marks_what_is_not_finite() -> None:
    assert sparkline(build_series("x", [0.0, math.nan, 1.0]), width=3) == "▁×█"
    assert sparkline(build_series("x", [math.nan])) == "×"


def test_a_sparkline_of_a_constant_is_flat() -> None:
    assert set(sparkline(build_series("x", [3.0] * 40))) == {"▅"}


def test_a_sparkline_leaves_steps_without_points_empty() -> None:
    assert sparkline(build_series("x", {1: 0.0, 2: 0.0, 100: 1.0, 101: 1.0}), width=4) == "▁  █"


def test_sketches_stand_beside_the_scores() -> None:
    table = Table("t", (Column("run", importance="essential"), Column("id")), ((Cell("a"), Cell("1")),))

    wider = with_curves(table, [build_run("a", curves={"eval/mcc": [0, 1]})], "eval/mcc")

    assert [column.title for column in wider.columns] == ["run", "curve", "id"]
    assert wider.rows[0][1].text == "▁█"
