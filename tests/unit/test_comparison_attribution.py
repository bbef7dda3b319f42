"""Which difference could be the cause, which is a nuisance, and which cannot be told from another."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackbridge.comparison import compare, diff_runs
from trackbridge.comparison.diff import RunDiff
from trackbridge.report.tables import alias_sentences, diff_tables, settings_table
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 3) | st.sampled_from(["1", "a", "b"])
CONFIGS = st.lists(
    st.dictionaries(st.sampled_from(["lr", "epochs", "warmup", "seed", "output_dir"]), VALUES), min_size=2, max_size=6
)


def attributions(diff: RunDiff) -> dict[str, str]:
    return {one.key: one.attribution for one in diff.differences}


def seeded(lr: float, dropout: int) -> RunRecord:
    config = {"script": {"lr": lr, "output_dir": f"out-{lr}-{dropout}"}}
    return build_run(f"{lr}-{dropout}", config=config, seeds=Seeds(dropout=dropout))


def numbered(configs: Sequence[dict[str, object]]) -> list[RunRecord]:
    return [build_run(f"run-{index}", config={"script": one}) for index, one in enumerate(configs)]


def test_a_setting_is_a_candidate_and_the_seeds_of_its_replicates_are_a_nuisance() -> None:
    diff = diff_runs([seeded(lr, dropout) for lr in (1e-5, 2e-5) for dropout in (1, 2)])

    assert attributions(diff) == {
        "script.lr": "candidate cause",
        "script.output_dir": "nuisance",
        "seeds.dropout": "nuisance",
    }


def test_a_seed_that_changes_with_the_setting_cannot_be_told_from_it() -> None:
    diff = diff_runs([seeded(1e-5, 1), seeded(2e-5, 2)])

    assert attributions(diff)["seeds.dropout"] == "aliased"
    assert [[one.key for one in cause] for cause in diff.causes] == [["script.lr", "seeds.dropout"]]
    assert alias_sentences(diff, diff.visible) == [
        "cannot be told apart, since they vary together here: script.lr = seeds.dropout"
    ]


def test_keys_of_one_name_in_config_and_environment_are_told_apart() -> None:
    runs = [
        build_run(
            f"{mine} {theirs}",
            config={"data": {"x": {"sha256": mine}}},
            environment={"data": {"x": {"sha256": theirs}}},
        )
        for mine, theirs in (("a", "p"), ("b", "p"), ("a", "q"), ("b", "q"))
    ]

    diff = diff_runs(runs)

    assert [[one.key for one in cause] for cause in diff.causes] == [["data.x.sha256"], ["data.x.sha256"]]
    assert alias_sentences(diff, diff.visible) == []


def test_what_a_pipeline_makes_of_a_setting_is_no_alias_of_it() -> None:
    def piped(warmup: float, **others: object) -> RunRecord:
        pipeline = {"training": {"warmup": warmup, **others}}
        arguments = {"training_arguments": {"warmup_steps": warmup, "lr": others.get("rate")}}
        return build_run(f"{warmup}", config={"pipeline": pipeline, **arguments})

    one, two = (diff_runs([piped(0.0, rate=first), piped(0.1, rate=second)]) for first, second in ((1, 1), (1, 2)))

    assert set(attributions(one).values()) == {"candidate cause"}
    assert set(attributions(two).values()) == {"aliased"}


def test_seeds_of_replicates_alone_are_a_nuisance() -> None:
    assert attributions(diff_runs([seeded(1e-5, 1), seeded(1e-5, 2)]))["seeds.dropout"] == "nuisance"


def test_keys_that_vary_together_name_each_other_across_sections() -> None:
    runs = [
        build_run(
            f"run-{index}",
            config={"script": {"lr": lr, "epochs": epochs, "warmup": warmup}},
            environment={"git": {"commit": commit}},
        )
        for index, (lr, epochs, warmup, commit) in enumerate(
            [(1e-5, 3, 0.1, "a" * 40), (2e-5, 4, 0.1, "b" * 40), (1e-5, 3, 0.2, "a" * 40)]
        )
    ]

    found = {one.key: one.aliases for one in diff_runs(runs).differences}

    assert found == {
        "script.lr": ("script.epochs", "git.commit"),
        "script.epochs": ("script.lr", "git.commit"),
        "script.warmup": (),
        "git.commit": ("script.lr", "script.epochs"),
    }


def test_keys_of_a_random_search_are_told_apart_by_their_order() -> None:
    runs = numbered([{"lr": lr, "dropout": dropout} for lr, dropout in ((0.1, 0.3), (0.2, 0.1), (0.3, 0.2))])

    assert set(attributions(diff_runs(runs)).values()) == {"candidate cause"}


def test_a_word_that_follows_two_numbers_is_told_with_the_same_one_whatever_the_order_of_runs() -> None:
    runs = numbered(
        [
            {"name": name, "warmup": warmup, "lr": lr} if lr < 3 else {"lr": lr, "warmup": warmup, "name": name}
            for name, warmup, lr in (("a", 2, 1), ("b", 3, 2), ("c", 1, 3))
        ]
    )

    for order in (runs, runs[::-1]):
        assert {one.key: one.aliases for one in diff_runs(order).differences} == {
            "script.name": ("script.lr",),
            "script.warmup": (),
            "script.lr": ("script.name",),
        }


def test_values_of_another_type_are_a_nuisance_that_is_shown() -> None:
    diff = diff_runs(numbered([{"epochs": 3}, {"epochs": 3.0}]))

    assert attributions(diff) == {"script.epochs": "nuisance"}
    assert [one.key for one in diff.visible] == ["script.epochs"]


def test_the_evaluation_set_of_a_stage_is_data_that_was_learned_from() -> None:
    runs = [
        build_run(
            name,
            config={"lineage": {"weights": {"run": "t", "run_id": "c" * 32, "data": {"eval_main": name * 64}}}},
        )
        for name in "ab"
    ]

    (note,) = diff_runs(runs).notes

    assert note.text.startswith("the data differ: 'weights.eval_main'")
    assert note.text.endswith("what tells these runs apart may be what they learned from")


def test_code_and_data_are_sections_of_their_own() -> None:
    runs = [
        build_run(
            name,
            config={"data": {"train": {"sha256": name * 8}}},
            environment={"git": {"commit": name * 40, "branch": name, "folder": name}, "data": {"extra": {"rows": n}}},
        )
        for n, name in enumerate("ab")
    ]

    assert [(one.section, one.key) for one in diff_runs(runs).visible] == [
        ("code", "git.commit"),
        ("data", "data.train.sha256"),
        ("data", "data.extra.rows"),
    ]


def test_a_key_that_repeats_another_shares_its_row() -> None:
    runs = [
        build_run(str(lr), config={"script": {"lr": lr, "epochs": 3 * lr}, "training_arguments": {"learning_rate": lr}})
        for lr in (1, 2)
    ]
    diff = diff_runs(runs)

    (table,) = diff_tables(diff, diff.visible)

    assert [[cell.text for cell in row] for row in table.rows] == [
        ["script.lr = training_arguments.learning_rate", "1", "2", "aliased"],
        ["script.epochs", "3", "6", "aliased"],
    ]


def test_that_code_was_changed_says_nothing_beside_the_patch_and_something_without() -> None:
    clean, kept, omitted = (
        build_run(name, environment={"git": {"commit": "a" * 40, **state}})
        for name, state in (
            ("clean", {"dirty": False}),
            ("kept", {"dirty": True, "patch": "files/uncommitted-0.patch"}),
            ("omitted", {"dirty": True}),
        )
    )

    assert [one.key for one in diff_runs([clean, kept]).visible] == ["git.patch"]
    assert [one.key for one in diff_runs([clean, omitted]).visible] == ["git.dirty"]


def test_long_digests_are_shortened_in_tables() -> None:
    runs = [build_run(name, environment={"git": {"commit": name * 40}}) for name in "ab"]
    diff = diff_runs(runs)

    (table,) = diff_tables(diff, diff.visible)

    assert [cell.text for cell in table.rows[0]] == ["git.commit", "aaaaaaaaaaaa…", "bbbbbbbbbbbb…", "candidate cause"]


def test_the_table_of_settings_says_what_cannot_be_told_apart() -> None:
    table = settings_table(compare(numbered([{"lr": 1, "epochs": 3}, {"lr": 2, "epochs": 4}])))

    assert table.caption == "cannot be told apart, since they vary together here: script.lr = script.epochs"


def test_every_class_is_in_the_json() -> None:
    runs = [seeded(1e-5, 1), seeded(2e-5, 2)]

    told = compare(runs).to_json()["diff"]

    assert [(one["key"], one["attribution"]) for one in told["differences"]] == [
        ("script.lr", "aliased"),
        ("script.output_dir", "nuisance"),
        ("seeds.dropout", "aliased"),
    ]
    assert told["causes"] == [["script.lr", "seeds.dropout"]]


@pytest.mark.parametrize(
    ("data_name", "consequence"),
    [
        ("eval_validation", "; scores on it are of different examples, so no verdict on them can be trusted"),
        ("train", "; what tells these runs apart may be what they learned from"),
        ("cola", "; if scores are from it, they are of different examples, and no verdict on them can be trusted"),
    ],
)
def test_data_that_differ_are_the_first_warning(data_name: str, consequence: str) -> None:
    runs = [
        build_run(name, curves={"eval/mcc": [0.1]}, environment={"data": {data_name: {"sha256": digest * 8}}})
        for name, digest in (("a", "0f0f0f0f"), ("b", "1e1e1e1e"))
    ]

    first = compare(runs).notes[0]

    assert first.level == "warning"
    assert first.text == f"the data differ: {data_name!r} has 2 contents (0f0f0f0f in a; 1e1e1e1e in b){consequence}"
    assert diff_runs(runs).notes == (first,)


@given(CONFIGS)
def test_what_differs_and_its_class_do_not_depend_on_the_order_of_runs(configs: list[dict[str, object]]) -> None:
    runs = numbered(configs)
    shuffled = random.Random(0).sample(runs, len(runs))

    there, back = diff_runs(runs), diff_runs(shuffled)

    assert attributions(there) == attributions(back)
    assert {one.key: set(one.aliases) for one in there.differences} == {
        one.key: set(one.aliases) for one in back.differences
    }
    assert there.n_equal == back.n_equal


@given(CONFIGS)
def test_causes_are_the_differences_that_are_no_nuisance_each_in_one_of_them(configs: list[dict[str, object]]) -> None:
    diff = diff_runs(numbered(configs))

    told = [one.key for cause in diff.causes for one in cause]

    assert sorted(told) == sorted(one.key for one in diff.differences if one.attribution != "nuisance")
    assert all(
        set(one.aliases) == {other.key for other in cause if other != one} for cause in diff.causes for one in cause
    )


@given(CONFIGS.map(lambda configs: configs[:2]))
def test_two_runs_differ_in_the_same_whichever_is_the_reference(configs: list[dict[str, object]]) -> None:
    one, other = numbered(configs)

    there, back = diff_runs([one, other]), diff_runs([other, one])

    assert {(a.key, a.kind, a.values) for a in there.differences if a.values == a.values} == {
        (a.key, a.kind, a.values[::-1]) for a in back.differences if a.values == a.values
    }
