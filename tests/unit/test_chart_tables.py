"""The tables of a comparison before anybody lays them out."""

from __future__ import annotations

from trackbridge.comparison import compare
from trackbridge.report.tables import Table, groups_table, runs_table, settings_table
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run


def seeded(dropout: int, *, n_steps: int = 3, lr: float = 1e-5) -> RunRecord:
    return build_run(
        f"run-{lr}-{dropout}",
        seeds=Seeds(init=1, dropout=dropout),
        config={"script": {"lr": lr}},
        curves={"eval/mcc": [0.1 * step for step in range(1, n_steps + 1)]},
    )


def titles(table: Table) -> list[str]:
    return [column.title for column in table.columns]


def column(table: Table, title: str) -> list[str]:
    place = titles(table).index(title)
    return [row[place].text for row in table.rows]


def test_seeds_that_all_runs_share_are_told_once() -> None:
    table = runs_table(compare([seeded(1), seeded(2)]), ["eval/mcc"])

    assert column(table, "seeds") == ["dropout 1", "dropout 2"]
    assert table.caption == "seeds of all runs: init 1"


def test_one_run_keeps_its_seeds() -> None:
    assert column(runs_table(compare([seeded(1)]), ["eval/mcc"]), "seeds") == ["init 1, dropout 1"]


def test_the_last_common_step_has_a_column_where_lengths_differ() -> None:
    assert "at step 3" not in titles(runs_table(compare([seeded(1), seeded(2)]), ["eval/mcc"]))

    table = runs_table(compare([seeded(1), seeded(2, n_steps=5)]), ["eval/mcc"])

    assert column(table, "at step 3") == ["0.3000", "0.3000"]
    assert column(table, "last") == ["0.3000", "0.5000"]


def test_a_group_says_how_many_of_its_runs_have_a_score() -> None:
    runs = [seeded(1), seeded(2), build_run("none", config={"script": {"lr": 1e-5}})]

    assert column(groups_table(compare(runs), ["eval/mcc"]), "eval/mcc") == ["0.3000 ± 0 (2 of 3 runs)"]


def test_settings_of_many_groups_are_folded() -> None:
    table = settings_table(compare([seeded(1, lr=float(index)) for index in range(8)]))

    assert titles(table) == ["key", "values", "class"]
    assert "0.0 (1 group), 1.0 (1 group)" in table.rows[0][1].text


def test_of_many_groups_the_keys_that_vary_together_share_a_row() -> None:
    runs = [
        build_run(f"{k}", config={"script": {**{f"k{n}": k for n in range(5)}, "other": k % 3}}, curves={"m": [0.5]})
        for k in range(8)
    ]

    table = settings_table(compare(runs))

    assert column(table, "key") == ["script.k0 ~ script.k1 ~ script.k2 and 2 more", "script.other"]
    assert "vary together" in table.caption


def test_a_metric_that_no_run_of_a_group_has_is_no_number_of_runs() -> None:
    runs = [build_run("a", config={"script": {"lr": 1}}, curves={"m": [0.5], "n": [1.0]}), seeded(1, lr=2)]

    assert column(groups_table(compare(runs, metrics=["m"]), ["m"]), "m") == ["0.5000", "-"]


def test_values_that_differ_in_type_alone_are_marked() -> None:
    runs = [
        build_run("a", config={"script": {"lr": 1, "epochs": 3}}),
        build_run("b", config={"script": {"lr": 2, "epochs": 3.0}}),
    ]

    assert column(settings_table(compare(runs)), "class") == ["candidate cause", "nuisance, type only"]


def test_tables_of_runs_without_metrics_are_still_tables() -> None:
    comparison = compare([build_run("a"), build_run("b")])

    assert column(runs_table(comparison, []), "run") == ["a", "b"]
