"""What counts as a difference between configs, and what does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackbridge.comparison.canonical import canonical, dotted, flatten, untyped
from trackbridge.comparison.diff import MISSING, Difference, RunDiff, diff_runs
from trackbridge.errors import MisuseError
from trackbridge.store.records import Seeds
from trackbridge.testing.records import build_run

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def compared(*scripts: dict[str, object]) -> RunDiff:
    return diff_runs([build_run(f"run-{index}", config={"script": one}) for index, one in enumerate(scripts)])


def only(diff: RunDiff) -> Difference:
    assert len(diff.differences) == 1, [one.key for one in diff.differences]
    return diff.differences[0]


def test_equal_keys_are_left_out_and_counted() -> None:
    diff = compared({"lr": 1e-5, "epochs": 3}, {"lr": 2e-5, "epochs": 3})

    assert only(diff).key == "script.lr"
    assert only(diff).values == (1e-5, 2e-5)
    assert diff.n_equal == 1


def test_nan_equals_nan() -> None:
    assert compared({"limit": math.nan}, {"limit": math.nan}).differences == ()


def test_missing_is_not_null() -> None:
    difference = only(compared({"scheduler": None}, {}))

    assert difference.kind == "missing"
    assert difference.values == (None, MISSING)


def test_two_spellings_of_one_float_are_equal() -> None:
    assert compared({"lr": 1e-5}, {"lr": 0.00001}).differences == ()


@pytest.mark.parametrize(
    ("left", "right"), [(1, 1.0), ("1", 1), ("1e-5", 1e-5), (True, "true"), (None, "None"), ([1, "2"], [1.0, 2])]
)
def test_values_of_another_type_are_a_class_of_their_own(left: object, right: object) -> None:
    assert only(compared({"key": left}, {"key": right})).kind == "type_only"


@pytest.mark.parametrize(("left", "right"), [(True, 1), (0, False), (None, 0), ("", None), ("1", "one"), ([], {})])
def test_values_that_are_written_differently_are_changed(left: object, right: object) -> None:
    assert only(compared({"key": left}, {"key": right})).kind == "changed"


def test_minus_zero_equals_zero() -> None:
    assert compared({"shift": -0.0}, {"shift": 0.0}).differences == ()


def test_large_ints_do_not_become_one_float() -> None:
    assert only(compared({"id": 2**53}, {"id": 2**53 + 1})).kind == "changed"
    assert only(compared({"id": "9007199254740992"}, {"id": "9007199254740993"})).kind == "changed"


def test_a_dot_in_a_key_is_not_nesting() -> None:
    diff = compared({"a.b": 1}, {"a": {"b": 1}})

    assert [one.key for one in diff.differences] == ["script.a\\.b", "script.a.b"]


def test_a_list_is_one_leaf() -> None:
    assert only(compared({"layers": [1, 2, 3]}, {"layers": [1, 3, 2]})).values == ([1, 2, 3], [1, 3, 2])


def test_a_list_of_mappings_is_nested_by_number() -> None:
    one, other = ({"stages": [{"name": "a", "layers": 1}, {"name": "b", "layers": layers}]} for layers in (1, 2))

    assert [difference.key for difference in compared(one, other).differences] == ["script.stages.1.layers"]


def test_an_empty_mapping_is_a_value() -> None:
    assert only(compared({"extra": {}}, {})).kind == "missing"


def test_a_value_may_have_children_in_another_run() -> None:
    diff = compared({"optimizer": "adamw"}, {"optimizer": {"name": "adamw"}})

    assert [one.key for one in diff.differences] == ["script.optimizer", "script.optimizer.name"]


def test_more_than_ten_runs_fold_into_distinct_values_with_counts() -> None:
    diff = compared(*({"lr": 1e-5 if index < 30 else 2e-5} for index in range(40)))

    folded = only(diff).distinct()
    assert [(one.value, len(one.runs)) for one in folded] == [(1e-5, 30), (2e-5, 10)]
    assert len(only(diff).values) == 40


def test_volatile_keys_are_hidden_but_kept() -> None:
    diff = compared(
        {"output_dir": "a", "hub_model_id": "x/a", "pid": 1, "lr": 1e-5},
        {"output_dir": "b", "hub_model_id": "x/b", "pid": 2, "lr": 2e-5},
    )

    assert [one.key for one in diff.visible] == ["script.lr"]
    assert diff.n_volatile == 3


def test_seeds_stand_in_their_own_section_wherever_they_were_recorded() -> None:
    runs = [
        build_run(f"run-{seed}", config={"training_arguments": {"data_seed": seed}}, seeds=Seeds(dropout=seed))
        for seed in (1, 2)
    ]

    assert [one.key for one in diff_runs(runs).in_section("seeds")] == ["training_arguments.data_seed", "seeds.dropout"]


def test_environment_differences_follow_config_and_seeds() -> None:
    runs = [
        build_run(
            f"run-{index}",
            config={"script": {"lr": index}},
            seeds=Seeds(all=index),
            environment={"packages": {"torch": f"2.{index}"}, "hostname": f"node-{index}"},
        )
        for index in (1, 2)
    ]

    assert [(one.section, one.key) for one in diff_runs(runs).visible] == [
        ("config", "script.lr"),
        ("seeds", "seeds.all"),
        ("environment", "packages.torch"),
    ]


def test_the_reference_is_one_of_the_runs() -> None:
    runs = [build_run("a"), build_run("b")]

    assert diff_runs(runs, reference=1).reference == 1
    with pytest.raises(MisuseError, match="run 2 of 2"):
        diff_runs(runs, reference=2)


def test_runs_of_one_name_are_told_apart() -> None:
    diff = diff_runs([build_run("same", run_id="a" * 32), build_run("same", run_id="b" * 32), build_run("other")])

    assert diff.names == ("same (aaaaaa)", "same (bbbbbb)", "other")


@given(JSON_VALUES)
def test_every_value_is_canonically_equal_to_itself(value: object) -> None:
    assert canonical(value) == canonical(value)
    assert hash(canonical(value)) == hash(canonical(value))
    assert hash(untyped(value)) == hash(untyped(value))


@given(JSON_VALUES, JSON_VALUES)
def test_equal_values_are_also_equal_without_their_type(left: object, right: object) -> None:
    if canonical(left) == canonical(right):
        assert untyped(left) == untyped(right)


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(), min_size=1), min_size=1))
def test_dotted_paths_of_different_leaves_differ(config: dict[str, dict[str, int]]) -> None:
    leaves = flatten(config)

    assert len({dotted(path) for path in leaves}) == len(leaves) == sum(len(one) for one in config.values())


def test_where_a_run_was_started_is_volatile_and_what_it_ran_on_is_not() -> None:
    def on(host: str, gpu: str) -> dict[str, object]:
        return {
            "host": {"name": host, "system": "Linux"},
            "gpu": [gpu],
            "command": {"argv": ["train.py", host], "folder": f"/{host}"},
            "data": {"train": {"path": f"/{host}/train.tsv", "sha256": "f00"}},
        }

    diff = diff_runs([build_run("a", environment=on("x", "A100")), build_run("b", environment=on("y", "H100"))])

    assert [one.key for one in diff.visible] == ["gpu"]
    assert diff.n_volatile == 4
