"""What runs build on is told from what they recorded, with what stands behind it."""

from __future__ import annotations

from typing import Any

import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.keys import data_digests
from trackbridge.comparison.lineage import lineage_of
from trackbridge.report.page import comparison_page
from trackbridge.report.markdown import comparison_markdown
from trackbridge.report.tables import lineage_table
from trackbridge.store.records import RunRecord
from trackbridge.testing.records import build_run

TEXT: dict[str, Any] = {
    "run_id": "c" * 32,
    "run": "pretraining mlm",
    "step": 400,
    "sha256": "3" * 64,
    "carried": {"embeddings": 5, "layer 1": 16, "layer 2": 16},
    "own": {"top": 2, "head": 2},
}
TASK: dict[str, Any] = {
    "run_id": "a" * 32,
    "run": "intermediate blimp",
    "step": 250,
    "sha256": "1" * 64,
    "carried": {"embeddings": 5, "layer 1": 16},
    "own": {"layer 2": 16, "top": 2, "head": 2},
    "lineage": {"weights": TEXT},
}
TEACHER: dict[str, Any] = {"run_id": "b" * 32, "run": "teacher", "step": 10, "sha256": "2" * 64}


def built_on(name: str, **lineage: Any) -> RunRecord:
    return build_run(name, config={"lineage": lineage}, curves={"eval/mcc": [0.1, 0.2]})


def rows_of(*runs: RunRecord) -> list[list[str]]:
    table = lineage_table(lineage_of(runs, [run.name for run in runs]))
    return [[cell.text for cell in row] for row in table.rows]


def test_each_run_has_a_row_for_what_it_builds_on_and_what_is_shared_behind_it_one() -> None:
    rows = rows_of(built_on("one", weights=TASK, labels=TEACHER), built_on("two", weights=TASK))

    assert rows == [
        ["one", "intermediate blimp", "weights", "250", "1 of 2", "1" * 12, "a" * 12],
        ["one", "teacher", "labels", "10", "-", "2" * 12, "b" * 12],
        ["two", "intermediate blimp", "weights", "250", "1 of 2", "1" * 12, "a" * 12],
        ["intermediate blimp", "pretraining mlm", "weights", "400", "2 of 2", "3" * 12, "c" * 12],
    ]


def test_all_that_was_carried_says_so() -> None:
    whole = {**TEXT, "carried": {"embeddings": 5, "layer 1": 16, "top": 2}, "own": {"head": 2}}

    assert rows_of(built_on("one", weights=whole))[0][4] == "1 of 1 and the top"


@pytest.mark.parametrize(
    "logged",
    [{}, {"weights": 3}, {"weights": {}}, {"weights": {**TASK, "step": "250"}}, {"weights": {**TASK, "carried": 3}}],
)
def test_what_somebody_else_logged_under_the_name_is_passed_over(logged: dict[str, Any]) -> None:
    assert rows_of(build_run("one", config={"lineage": logged}), build_run("two")) == []


def test_runs_whose_stages_read_other_data_are_no_replicates() -> None:
    first, same, other, deeper = (
        built_on(name, weights={**TASK, "sha256": name, "data": {"train": task}, "lineage": {"weights": text}})
        for name, task, text in (
            ("a", "t0", {**TEXT, "data": {"text": "x0"}}),
            ("b", "t0", {**TEXT, "data": {"text": "x0"}}),
            ("c", "t1", {**TEXT, "data": {"text": "x0"}}),
            ("d", "t0", {**TEXT, "data": {"text": "x1"}}),
        )
    )

    groups = compare([first, same, other, deeper]).groups

    assert [len(group.runs) for group in groups] == [2, 1, 1]
    assert data_digests(deeper) == {"weights.train": "t0", "weights.weights.text": "x1"}


def test_the_comparison_shows_it_in_every_format() -> None:
    comparison = compare([built_on("one", weights=TASK), built_on("two", weights=TASK)])

    assert [one["builds_on"] for one in comparison.to_json()["lineage"]] == [*["intermediate blimp"] * 2, TEXT["run"]]
    row = "| intermediate blimp | pretraining mlm | weights | 400 | 2 of 2 | 333333333333 | cccccccccccc |"
    assert row in comparison_markdown(comparison, ["eval/mcc"])
    assert "<h2>Lineage</h2>" in comparison_page(comparison)


def test_without_any_there_is_no_table() -> None:
    comparison = compare([build_run("one"), build_run("two")])

    assert comparison.lineage == ()
    assert "Lineage" not in comparison_page(comparison)
