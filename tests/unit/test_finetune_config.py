"""What a config may say, and what is said about one that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import PipelineConfig, parse_config

BUILT_IN: dict[str, Any] = {"model": {"builtin": "tiny-bert"}, "data": {"builtin": "acceptability"}}
LOCAL: dict[str, Any] = {"train": "train.tsv", "eval": {"dev": "dev.tsv"}}


def problem_of(given: dict[str, Any]) -> str:
    with pytest.raises(PipelineConfigError) as caught:
        parse_config(given, source="study.yaml")
    return str(caught.value)


def test_two_lines_are_a_whole_config() -> None:
    config = parse_config(BUILT_IN)

    assert config.training.epochs == 3
    assert config.chosen_set == "dev"
    assert (config.seeds.init, config.seeds.data, config.seeds.dropout) == (1000, 41, 1234)


@pytest.mark.parametrize(
    ("block", "key", "told"),
    [
        ("training", "epoch", "no key 'training.epoch' (known: batch_size, bf16,"),
        ("training", "epoch", "did you mean 'epochs'?"),
        ("evaluation", "metrics", "did you mean 'metric'?"),
        ("seeds", "dropuot", "did you mean 'dropout'?"),
        ("model", "layer", "no key 'model.layer' (known: builtin, dropout, heads,"),
        ("checkpoints", "evry", "did you mean 'every'?"),
    ],
)
def test_unknown_key_names_the_dotted_key_and_the_nearest_known_one(block: str, key: str, told: str) -> None:
    given = {**BUILT_IN, block: {**BUILT_IN.get(block, {}), key: 1}}

    assert told in problem_of(given)
    assert problem_of(given).startswith("study.yaml: ")


def test_unknown_key_that_is_at_home_in_another_block_names_that_block() -> None:
    assert "there is 'training.learning_rate'" in problem_of({**BUILT_IN, "learning_rate": 1e-4})


def test_unknown_kind_of_data_names_the_key_of_the_nearest_kind() -> None:
    assert "did you mean 'hub'?" in problem_of({**BUILT_IN, "data": {"hubb": "glue"}})


def test_keys_of_two_kinds_of_model_say_which_kind_the_others_make() -> None:
    told = problem_of({**BUILT_IN, "model": {"builtin": "tiny-bert", "path": "bert-base-uncased"}})

    assert "'path' is for (pre-trained) and the other keys make this (built-in)" in told


def test_all_problems_are_told_at_once() -> None:
    told = problem_of({**BUILT_IN, "training": {"batch_size": 0, "learning_rate": "fast"}})

    assert told.startswith("study.yaml: 2 problems\n")
    assert "training.batch_size: 0 is not allowed: input should be greater than or equal to 1" in told
    assert "training.learning_rate: 'fast' is not allowed: input should be a valid number" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"data": {"builtin": "acceptability"}}, "'model' is missing"),
        ({**BUILT_IN, "model": "bert"}, "model: 'bert' is not allowed: a block of keys is expected here"),
        (
            {**BUILT_IN, "training": {"epochs": 1, "max_steps": 9}},
            "training: give either epochs or max_steps, not both",
        ),
        (
            {**BUILT_IN, "training": {"warmup": 1.5}},
            "training.warmup: 1.5 is neither a share below 1 nor a whole number",
        ),
        ({**BUILT_IN, "evaluation": {"choose_on": "test"}}, "'test' is no eval set (data.eval has: dev)"),
        ({**BUILT_IN, "seeds": {"data": 1.5}}, "seeds.data: 1.5 is not allowed"),
        ({**BUILT_IN, "seeds": {"data": 2**32}}, "seeds.data: 4294967296 is not allowed"),
        ({**BUILT_IN, "project": "a/b"}, "project 'a/b' cannot be a folder name"),
        (
            {**BUILT_IN, "checkpoints": {"every": 25}},
            "checkpoints.every 25 must be a multiple of training.log_every 10",
        ),
        ({**BUILT_IN, "model": {"builtin": "tiny-bert", "heads": 3}}, "hidden_size 64 must be a multiple of heads 3"),
        ({**BUILT_IN, "data": {**LOCAL, "train": "train.txt"}}, "set data.format to tsv, csv or jsonl"),
        ({**BUILT_IN, "data": {**LOCAL, "header": False}}, "column 'text' is a name, but with header: false"),
        ({**BUILT_IN, "data": {**LOCAL, "eval": {"a b": "x"}}}, "data.eval.a b: 'a b' is not allowed"),
        ({**BUILT_IN, "training": {"epochs": float("inf")}}, "training.epochs: inf is not allowed"),
        ({**BUILT_IN, "model": "bert"}, "a block of keys is expected here, such as {path: ...}"),
        (
            {**BUILT_IN, "reinit": 2},
            "reinit: 2 is not allowed: a block of keys is expected here, such as {layers: ...}",
        ),
        ({**BUILT_IN, "averaging": {"kind": "polyak"}}, "is not allowed: expected the kind swa or ema"),
        ({**BUILT_IN, "averaging": {"decay": 0.9}}, "'decay' is for (ema) and the other keys make this (swa)"),
        ({**BUILT_IN, "averaging": {"kind": "swa", "strat": 0.9}}, "did you mean 'start'?"),
        ({**BUILT_IN, "pretraining": {"text": {"files": ["a.txt"], "collumn": 1}}}, "did you mean 'column'?"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key_and_the_reason(given: dict[str, Any], told: str) -> None:
    assert told in problem_of(given)


@pytest.mark.parametrize(
    ("both", "told"),
    [
        ({"lora": {}, "freezing": {}}, "freezing with lora: lora freezes the encoder itself"),
        ({"lora": {}, "reinit": {"layers": 1}}, "reinit.layers 1 with lora: layers of random weights would be frozen"),
        ({"lora": {}, "averaging": {}}, "averaging with lora: the mean of adapters is not"),
        (
            {"reinit": {"layers": 2}, "freezing": {"trained_layers": 1}},
            "reinit.layers 2 with freezing.trained_layers 1: layers of random weights would be frozen; let at least 2",
        ),
        ({"layerwise_decay": {}, "freezing": {}}, "layerwise_decay with freezing.trained_layers 0: no layer learns"),
    ],
)
def test_techniques_that_undo_each_other_are_refused_with_the_reason(both: dict[str, Any], told: str) -> None:
    assert told in problem_of({**BUILT_IN, **both})


@pytest.mark.parametrize(
    "both",
    [
        {"lora": {}, "reinit": {"layers": 0}},
        {"lora": {}, "layerwise_decay": {}},
        {"reinit": {"layers": 2}, "freezing": {"trained_layers": 2}},
        {"layerwise_decay": {}, "freezing": {"trained_layers": 1}},
        {"averaging": {}, "freezing": {}, "head": {}},
    ],
)
def test_techniques_that_complete_each_other_are_taken(both: dict[str, Any]) -> None:
    assert parse_config({**BUILT_IN, **both}).recorded().keys() >= both.keys()


def test_long_seed_names_mean_the_short_ones() -> None:
    seeds = {"layer_initialization_seed": 1, "dataloader_seed": 2, "dropout_seed": 3}

    assert parse_config({**BUILT_IN, "seeds": seeds}) == parse_config(
        {**BUILT_IN, "seeds": {"init": 1, "data": 2, "dropout": 3}}
    )


def test_a_number_yaml_reads_as_text_is_a_number() -> None:
    config = parse_config({**BUILT_IN, "training": {"learning_rate": "1e-4"}})

    assert config.training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"training": {"epochs": True}}, "training.epochs: True is not allowed: expected a number"),
        ({"training": {"batch_size": True}}, "training.batch_size: True is not allowed: expected a number"),
        ({"training": {"max_steps": True}}, "training.max_steps: True is not allowed: expected a number"),
        ({"lora": {"rank": True}}, "lora.rank: True is not allowed: expected a number"),
        (
            {"pretraining": {"text": {"files": ["a.txt"]}, "held_out": True}},
            "pretraining.held_out: True is not allowed",
        ),
        ({"data": {**LOCAL, "eval": {False: "dev.tsv"}}}, "False is not allowed: input should be a valid string"),
    ],
)
def test_a_yes_where_none_is_asked_for_is_refused_with_what_yaml_makes_of_it(block: dict[str, Any], told: str) -> None:
    problem = problem_of({**BUILT_IN, **block})

    assert told in problem
    assert "YAML reads yes, no, on and off without quotation marks as true and false" in problem


def test_a_yes_is_taken_where_it_is_an_answer() -> None:
    config = parse_config({**BUILT_IN, "training": {"bf16": True, "bias_correction": False}})

    assert (config.training.bf16, config.training.bias_correction) == (True, False)


@pytest.mark.parametrize(
    ("data", "file_format"),
    [
        ({}, "tsv"),
        ({"train": "train.CSV"}, "csv"),
        ({"train": "train.jsonl"}, "jsonl"),
        ({"train": "train.txt", "format": "csv"}, "csv"),
    ],
)
def test_format_is_the_suffix_unless_told(data: dict[str, Any], file_format: str) -> None:
    config = parse_config({**BUILT_IN, "data": {**LOCAL, **data}})

    assert config.data.file_format == file_format  # type: ignore[union-attr]  # LOCAL makes it local data


def test_recorded_config_has_neither_seeds_nor_names_nor_places() -> None:
    given = {**BUILT_IN, "data": {**LOCAL, "folder": "/home/me/cola"}, "name": "mine", "seeds": {"dropout": 9}}

    recorded = parse_config(given).recorded()

    assert set(recorded) == {"model", "data", "training", "evaluation", "checkpoints"}
    assert "folder" not in recorded["data"]
    assert recorded["data"]["train"] == "train.tsv"


def test_config_cannot_be_changed_after_it_was_checked() -> None:
    config: PipelineConfig = parse_config(BUILT_IN)

    with pytest.raises(ValueError, match="frozen"):
        config.training.epochs = 0  # type: ignore[misc]  # that it is refused is the point


def test_folder_is_a_path_below_the_working_directory() -> None:
    config = parse_config({**BUILT_IN, "data": {**LOCAL, "folder": "data/cola"}})

    assert config.data.folder == Path("data/cola")  # type: ignore[union-attr]  # LOCAL makes it local data
