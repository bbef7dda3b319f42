"""What runs build on is told from what they recorded, with what stands behind it."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from trackbridge.cli.render import print_lineage
from trackbridge.comparison import compare
from trackbridge.comparison.keys import data_digests
from trackbridge.comparison.lineage import lineage_of
from trackbridge.comparison.lineage_graph import LineageGraph
from trackbridge.report.lineage import draw_lineage, lineage_outline
from trackbridge.report.markdown import comparison_markdown
from trackbridge.report.page import comparison_page
from trackbridge.report.tables import lineage_table
from trackbridge.store.records import RunRecord, Session
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


def graph_of(*runs: RunRecord) -> LineageGraph:
    return compare(runs).lineage_graph


def outline_of(*runs: RunRecord) -> list[str]:
    return [f"{'  ' * line.depth}{line.sentence}" for line in lineage_outline(graph_of(*runs))]


def resumed(name: str, *steps: int) -> RunRecord:
    sessions = tuple(
        Session(f"{name}-{index}", "host", None, 1, None, index, index, from_step=step)
        for index, step in enumerate((None, *steps))
    )
    return build_run(name, curves={"eval/mcc": [0.1, 0.2]}, sessions=sessions)


def test_runs_that_build_on_the_same_are_one_node() -> None:
    graph = graph_of(built_on("one", weights=TASK), built_on("two", weights=TASK), build_run("plain"))

    assert [(node.names, node.generation) for node in graph.nodes] == [
        (("one", "two"), 0),
        (("plain",), 0),
        (("intermediate blimp",), 1),
        (("pretraining mlm",), 2),
    ]
    assert [(link.parent, link.child, link.descent.role) for link in graph.links] == [
        (2, 0, "weights"),
        (3, 2, "weights"),
    ]


def test_a_run_that_was_carried_on_is_told_with_its_steps() -> None:
    assert outline_of(resumed("one", 300, 500), resumed("two")) == ["one", "  resumed from step 300, 500", "two"]
    assert graph_of(resumed("two")).nodes == ()


def test_the_outline_tells_what_stands_behind_what() -> None:
    teacher = {**TEACHER, "lineage": {"weights": TEXT}}

    assert outline_of(built_on("one", weights=TASK, labels=teacher)) == [
        "one",
        f"  weights of intermediate blimp at step 250, 1 of 2 layers (sha256 {'1' * 12})",
        f"    weights of pretraining mlm at step 400, 2 of 2 layers (sha256 {'3' * 12})",
        f"  labels of teacher at step 10 (sha256 {'2' * 12})",
        f"    weights of pretraining mlm at step 400, 2 of 2 layers (sha256 {'3' * 12})",
    ]


def test_a_compared_run_that_others_build_on_is_the_same_node() -> None:
    stage = build_run(TASK["run"], run_id=TASK["run_id"])

    graph = graph_of(built_on("one", weights={**TASK, "lineage": {}}), stage)

    assert [(node.names, node.generation) for node in graph.nodes] == [(("one",), 0), ((TASK["run"],), 1)]


def test_runs_that_claim_to_build_on_each_other_are_drawn_all_the_same() -> None:
    one = build_run("one", run_id="1" * 32, config={"lineage": {"weights": {**TEACHER, "run_id": "2" * 32}}})
    two = build_run("two", run_id="2" * 32, config={"lineage": {"weights": {**TEACHER, "run_id": "1" * 32}}})
    graph = graph_of(one, two)

    assert len(graph.links) == 2
    assert lineage_outline(graph) == []
    assert draw_lineage(graph).startswith("<svg")
    # A style in one picture would hold for the whole page, whatever theme that has.
    assert "<style" not in draw_lineage(graph)


def test_the_picture_has_a_box_for_each_node_and_a_line_for_each_link() -> None:
    picture = draw_lineage(graph_of(built_on("<one>", weights=TASK, labels=TEACHER), built_on("two", weights=TASK)))

    drawn = ElementTree.fromstring(picture)
    shapes = [part.tag.rpartition("}")[2] for part in drawn.iter()]
    words = [part.text for part in drawn.iter() if part.tag.endswith("}text")]
    assert (shapes.count("g"), shapes.count("polygon")) == (5, 4)
    assert words.count("weights, step 250") == 2
    assert {"<one>", "two", "teacher", "intermediate blimp", "pretraining mlm", "labels, step 10"} <= set(words)


def test_no_line_runs_through_a_box() -> None:
    far = {**TEXT, "lineage": {}}
    graph = graph_of(built_on("one", weights=TASK, labels=far))
    boxes = [
        tuple(float(value) for value in found)
        for found in re.findall(
            r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', draw_lineage(graph)
        )
    ]
    passing = [float(y) for y in re.findall(r" ([\d.]+)H", draw_lineage(graph))]

    assert passing
    assert not [y for y in passing for _, top, _, height in boxes if top <= y <= top + height]


def test_a_picture_of_too_many_runs_is_left_to_the_table() -> None:
    runs = [built_on(str(index), weights={**TEACHER, "run_id": f"{index:032x}"}) for index in range(30)]

    assert draw_lineage(graph_of(*runs)) == ""
    assert "<h2>Lineage</h2><ul>" in comparison_page(compare(runs))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_every_face_tells_the_lineage(n: int) -> None:
    comparison = compare([built_on(f"one-{index}", weights=TASK) for index in range(n)] + [resumed("plain", 40)])
    console = Console(file=io.StringIO(), width=200)
    print_lineage(console, comparison.lineage_graph)
    assert isinstance(console.file, io.StringIO)

    for face in (comparison_markdown(comparison, []), comparison_page(comparison), console.file.getvalue()):
        assert "resumed from step 40" in face
        assert ("weights of intermediate blimp at step 250" in face) == (n > 0)
    assert len(comparison.to_json()["lineage_graph"]["links"]) == (2 if n else 0)
