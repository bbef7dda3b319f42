"""Seeds, parameters and verdicts as tables and pictures: the numbers of the comparison, and what limits them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from trackbridge.comparison import Comparison, compare
from trackbridge.report.chart import draw_chart
from trackbridge.report.importance import importance_table, parameter_pictures, settings_picture
from trackbridge.report.panels import importance_panel, seeds_panel
from trackbridge.report.seeds import RunsScale, best_of_chart, best_of_table, seeds_table
from trackbridge.report.tables import Table
from trackbridge.report.verdicts import verdicts_table
from trackbridge.store.records import RunRecord, Seeds, Session
from trackbridge.testing.records import STARTED_NS, build_run


def lasting(minutes: float) -> tuple[Session, ...]:
    return (Session("s", "host", None, 1, None, STARTED_NS, STARTED_NS + round(minutes * 60e9)),)


def seeded(n: int = 6, minutes: float = 30, setting: int = 1) -> list[RunRecord]:
    return [
        build_run(
            f"{setting} {index}",
            config={"script": {"lr": setting}},
            seeds=Seeds(init=max(0, index - 2), data=1, dropout=min(index, 2)),
            curves={"eval/mcc": [0.5 + (index % 3) / (10 if index < 3 else 50)]},
            sessions=lasting(minutes),
        )
        for index in range(n)
    ]


def searched() -> Comparison:
    rng = np.random.default_rng(0)
    return compare(
        [
            build_run(
                f"r{index}",
                config={"script": {"lr": 1e-5 * 2 ** (index % 8), "kind": "ab"[index // 20], "n": float(rng.random())}},
                curves={"eval/mcc": [0.1 + index % 8 / 10 + rng.normal(0, 0.01)]},
            )
            for index in range(40)
        ]
    )


def cells(table: Table, row: int) -> dict[str, str]:
    return {column.title: cell.text for column, cell in zip(table.columns, table.rows[row], strict=True)}


def test_each_seed_has_its_share_with_an_interval() -> None:
    comparison = compare(seeded())
    parts = {part.what: part for part in comparison.seed_variance().parts}

    table = seeds_table(comparison)

    told = {row[1].text: row[4].text for row in table.rows}
    assert told == {name: f"{part.share:.0%}" for name, part in parts.items()}


def test_the_best_of_n_is_told_with_what_it_takes_and_never_beyond_the_runs_there_are() -> None:
    table = best_of_table(compare(seeded(minutes=30)))

    assert [column.title for column in table.columns] == ["group", "1 run", "best of 2", "best of 3", "best of 5"]
    assert cells(table, 0)["best of 5"].endswith("(2 h 30 min)")


def test_the_budget_is_on_the_axis_where_all_runs_take_as_long() -> None:
    found = best_of_chart(compare(seeded()))

    assert found is not None
    chart, scale = found
    assert [tick.label for tick in scale.covering(np.array([1.0, 3.0]), padding=0).ticks(5)] == [
        "1: 30 min",
        "2: 1 h",
        "3: 1 h 30 min",
    ]
    assert "3: 1 h 30 min" in draw_chart(chart, x_scale=scale)


def test_where_some_runs_take_longer_the_axis_is_time() -> None:
    found = best_of_chart(compare([*seeded(setting=1), *seeded(setting=2, minutes=60)]))

    assert found is not None
    chart, scale = found
    assert [float(line.steps[-1]) for line in chart.lines] == [6 * 1800, 6 * 3600]
    assert ">5 h<" in draw_chart(chart, x_scale=scale)


def test_a_single_run_promises_nothing() -> None:
    assert best_of_chart(compare(seeded(1))) is None
    assert best_of_table(compare(seeded(1))).rows == ()


@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_an_axis_of_runs_has_whole_numbers(n: int) -> None:
    scale = RunsScale(None).covering(np.array([1.0, n]))

    ticks = scale.ticks(5)

    assert 1 <= len(ticks) <= 6
    assert all(tick.label == str(int(tick.value)) for tick in ticks)


def test_parameters_with_evidence_come_first_with_what_they_explain() -> None:
    table = importance_table(searched().importance())

    assert cells(table, 0)["parameter"] == "script.lr"
    assert cells(table, 0)["evidence"] == "associated"
    assert cells(table, 0)["explains"].endswith("%")
    assert "no evidence" in {row[1].text for row in table.rows[1:]}


def test_numbers_are_drawn_as_a_scatter_and_words_as_a_strip() -> None:
    importance = searched().importance()
    keys = [one.parameter.key for one in importance.parameters]

    pictures = dict(zip(keys, parameter_pictures(importance, "eval/mcc", limit=9), strict=True))

    assert pictures["script.lr"].count("<circle") == 40
    assert 'data-x-scale="log"' in pictures["script.lr"], "rates are chosen by factors"
    assert re.findall(r">(a|b)</text>", pictures["script.kind"]) == ["a", "b"]


def test_where_parameters_cannot_be_told_the_panel_says_why() -> None:
    panel = importance_panel(compare([*seeded(setting=1), *seeded(setting=2)]))

    assert "not enough runs: 2 settings have a score that counts, 5 are needed at least" in panel


def test_settings_are_drawn_over_parallel_axes_where_there_are_enough() -> None:
    importance = searched().importance()

    drawn = settings_picture(importance, "eval/mcc", lower_is_better=False, limit=6)

    assert ">lr</text>" in drawn
    assert drawn.count("<path") == 40
    assert settings_picture(importance, "eval/mcc", lower_is_better=False, limit=1) == ""


def test_panels_of_runs_without_a_metric_are_empty() -> None:
    bare = compare([build_run("bare")])

    assert importance_panel(bare) == seeds_panel(bare) == ""


def test_a_verdict_has_its_row_with_what_could_be_seen() -> None:
    comparison = compare([*seeded(setting=1), *seeded(setting=2)], metrics=["eval/mcc"])

    told = cells(verdicts_table(comparison, ["eval/mcc"]), 0)

    assert told["verdict"] == "identical"
    assert told["against"] == "lr=1"
