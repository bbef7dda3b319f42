"""Which runs are replicates of each other, and what a group is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trackbridge.comparison.diff import diff_runs
from trackbridge.comparison.groups import replicate_groups, seeds_text
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run


def script(name: str, **config: object) -> RunRecord:
    return build_run(name, config={"script": config})


def names(runs: list[RunRecord]) -> list[list[str]]:
    return [[run.name for run in group.runs] for group in replicate_groups(runs)]


@pytest.mark.parametrize(
    "key",
    [
        "seed", "data_seed", "dropout_seed", "init_seed", "layer_initialization_seed", "dataloader_seed",
        "random_state", "dataSeed", "output_dir", "run_name", "hub_model_id", "local_rank", "timestamp",
    ],
)  # fmt: skip
def test_seeds_and_volatile_keys_do_not_split_a_group(key: str) -> None:
    assert names([script("a", lr=1e-5, **{key: 1}), script("b", lr=1e-5, **{key: 2})]) == [["a", "b"]]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"use_seed_text": "a"}, {"use_seed_text": "b"}),
        ({"use_seed": True}, {"use_seed": False}),
        ({"seed_corpus": 1}, {"seed_corpus": 2}),
        ({"seed": "wikipedia"}, {"seed": "books"}),
        ({"lr": 1e-5}, {"lr": 2e-5}),
        ({"lr": None}, {}),
        ({"variant": "a"}, {"variant": "b"}),
    ],
)
def test_a_real_setting_splits_a_group(left: dict[str, object], right: dict[str, object]) -> None:
    assert names([script("a", **left), script("b", **right)]) == [["a"], ["b"]]


def test_the_seeds_of_a_pipeline_do_not_split_a_group() -> None:
    runs = [
        build_run(
            f"run-{seed}",
            config={
                "pipeline": {"seeds": {"init": 1, "data": 2, "dropout": seed}, "lr": 2e-5},
                "study": {"name": "cola", "variant": f"v{seed}"},
                "training_arguments": {"seed": seed},
            },
            seeds=Seeds(init=1, data=2, dropout=seed),
        )
        for seed in (1, 2)
    ]

    (group,) = replicate_groups(runs)
    assert [seeds.dropout for seeds in group.seeds] == [1, 2]


def folded(name: str, index: int, **config: object) -> RunRecord:
    """A run on one fold of one data set, as the pipeline records it."""
    described = {"sha256": "a" * 64, "examples": 100 - index, "labels": {"0": 30 - index, "1": 70}}
    pipeline = {"folds": {"count": 5, "index": index, "seed": 0}, **config}
    scopes = {"pipeline": pipeline, "data": {"train": described}, "model": {"vocab_size": 500 - index, "layers": 2}}
    return build_run(name, config=scopes)


def test_the_folds_of_a_variant_are_one_group() -> None:
    assert names([folded("a", 0, lr=1), folded("b", 1, lr=1), folded("c", 1, lr=2)]) == [["a", "b"], ["c"]]


def test_a_diff_shows_which_fold_a_run_is_beside_its_seeds() -> None:
    shown = diff_runs([folded("a", 0), folded("b", 1)]).visible

    assert [(one.section, one.key, one.values) for one in shown] == [("seeds", "pipeline.folds.index", (0, 1))]


@pytest.mark.parametrize(
    ("scope", "changed"),
    [
        ("pipeline", {"folds": {"count": 10, "index": 1, "seed": 0}}),
        ("data", {"train": {"sha256": "b" * 64, "examples": 99}}),
        ("model", {"vocab_size": 499, "layers": 3}),
    ],
)
def test_what_does_not_follow_from_the_fold_splits_a_group(scope: str, changed: dict[str, object]) -> None:
    one, other = folded("a", 0), folded("b", 1)

    assert len(replicate_groups([one, replace(other, config={**other.config, scope: changed})])) == 2


def test_without_folds_the_size_of_a_vocabulary_splits_a_group() -> None:
    runs = [build_run(name, config={"model": {"vocab_size": size}}) for name, size in (("a", 500), ("b", 501))]

    assert len(replicate_groups(runs)) == 2


def test_the_same_data_in_another_place_is_the_same_data() -> None:
    def on(path: str, sha256: str) -> RunRecord:
        return build_run(path, config={"data": {"train": {"path": path, "sha256": sha256}}})

    assert names([on("/a/train.tsv", "f00"), on("/b/train.tsv", "f00")]) == [["/a/train.tsv", "/b/train.tsv"]]
    assert len(names([on("/a/train.tsv", "f00"), on("/b/train.tsv", "f01")])) == 2


def test_a_value_that_differs_in_type_alone_does_not_split_a_group() -> None:
    assert names([script("a", dropout=0), script("b", dropout=0.0)]) == [["a", "b"]]


def test_groups_are_named_by_what_sets_them_apart() -> None:
    runs = [build_run(f"run-{lr}", config={"pipeline": {"training": {"lr": lr, "epochs": 3}}}) for lr in (2e-5, 5e-5)]

    assert [group.label for group in replicate_groups(runs)] == ["training.lr=2e-05", "training.lr=5e-05"]


def of_study(variant: str, warmup: float) -> RunRecord:
    study = {"name": "demo", "variant": variant}
    return build_run(f"{variant} {warmup}", config={"pipeline": {"training": {"warmup": warmup}}, "study": study})


def test_the_variants_of_a_study_are_called_as_the_study_calls_them() -> None:
    groups = replicate_groups([of_study("no warmup", 0.0), of_study("no warmup", 0.0), of_study("warmup", 0.1)])

    assert [group.label for group in groups] == ["no warmup", "warmup"]
    assert [group.settings for group in groups] == [{"training.warmup": 0.0}, {"training.warmup": 0.1}]


@pytest.mark.parametrize(
    "runs",
    [
        [of_study("same", 0.0), of_study("same", 0.1)],
        [of_study("a", 0.0), of_study("b", 0.0), of_study("c", 0.1)],
    ],
    ids=["of two studies alike", "two for one setting"],
)
def test_variants_whose_names_do_not_tell_the_groups_apart_are_called_by_their_settings(runs: list[RunRecord]) -> None:
    labels = [group.label for group in replicate_groups(runs)]

    assert labels == ["training.warmup=0.0", "training.warmup=0.1"]


@pytest.mark.parametrize(
    "other", [of_study("", 0.1), build_run("apart", config={"pipeline": {"training": {"warmup": 0.1}}})]
)
def test_a_variant_beside_what_has_no_name_keeps_its_own(other: RunRecord) -> None:
    groups = replicate_groups([of_study("named", 0.0), other])

    assert [group.label for group in groups] == ["named", "training.warmup=0.1"]


def test_one_variant_alone_bears_the_name_of_its_study() -> None:
    (group,) = replicate_groups([replace(of_study("warmup", 0.1), group="demo")] * 2)

    assert group.label == "demo"


def test_what_follows_from_the_written_config_is_not_in_the_name() -> None:
    runs = [
        build_run(
            f"run-{lr}",
            config={"training_arguments": {"learning_rate": lr, "weight_decay": lr * 2}, "script": {"lr": lr}},
        )
        for lr in (1.0, 2.0)
    ]

    assert [group.label for group in replicate_groups(runs)] == ["lr=1.0", "lr=2.0"]


def test_one_setting_in_two_scopes_is_named_once() -> None:
    runs = [build_run(f"run-{lr}", config={"a": {"lr": lr}, "b": {"learning_rate": lr}}) for lr in (1.0, 2.0)]

    assert [group.label for group in replicate_groups(runs)] == ["lr=1.0", "lr=2.0"]


def test_an_ambiguous_key_is_named_with_its_parents() -> None:
    runs = [
        build_run(f"run-{lr}", config={"script": {"head": {"opt": {"lr": lr}}, "body": {"opt": {"lr": 3 - lr}}}})
        for lr in (1, 2)
    ]

    assert [group.label for group in replicate_groups(runs)] == [
        "head.opt.lr=1, body.opt.lr=2",
        "head.opt.lr=2, body.opt.lr=1",
    ]


def test_many_differences_are_cut_short_in_the_name_and_kept_in_the_settings() -> None:
    groups = replicate_groups([script("run", **{f"k{key}": index + key for key in range(6)}) for index in (0, 9)])

    assert groups[0].label == "k0=0, k1=1, k2=2 and 3 more"
    assert len(groups[0].settings) == 6


def test_groups_cut_to_one_name_stay_apart() -> None:
    groups = replicate_groups([script("a", prompt="x" * 50 + "1"), script("b", prompt="x" * 50 + "2")])

    assert len({group.label for group in groups}) == 2


def test_an_absent_setting_is_named_as_absent() -> None:
    assert [group.label for group in replicate_groups([script("a", lr=1), script("b")])] == ["lr=1", "no lr"]


def test_one_group_bears_the_name_of_its_study() -> None:
    (group,) = replicate_groups([build_run("a", group="dropout-study"), build_run("b", group="dropout-study")])

    assert group.label == "dropout-study"


def test_seeds_in_words() -> None:
    assert seeds_text(Seeds(init=1, dropout=3)) == "init 1, dropout 3"
    assert seeds_text(Seeds(all=7)) == "all 7"
    assert seeds_text(Seeds()) == ""


def test_other_data_is_another_group() -> None:
    runs = [
        build_run(name, config={"script": {"lr": 1}}, environment={"data": {"train": {"path": name, "sha256": digest}}})
        for name, digest in (("a", "f00"), ("b", "f00"), ("c", "f01"))
    ]

    assert names(runs) == [["a", "b"], ["c"]]
    assert replicate_groups(runs)[1].label == "train.digest=f01"


def test_groups_that_differ_in_many_settings_are_called_by_what_the_names_of_their_runs_share() -> None:
    many = {f"setting_{number}": number for number in range(5)}
    runs = [script(f"wide net init {seed} data {seed}", **many) for seed in (1, 2)]
    runs += [script("narrow", **dict.fromkeys(many, 0)), script("narrow", **dict.fromkeys(many, 9))]

    labels = [group.label for group in replicate_groups(runs)]

    assert labels[0] == "wide net"
    assert all(label.startswith("setting_0=") for label in labels[1:])
