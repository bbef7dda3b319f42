"""A study on paper: variants and seeds spread out into runs, and files that are read strictly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trackbridge.cli.main import run
from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.training import Seeds
from trackbridge.finetune.config_file import read_config_file, read_overrides
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import Plan, make_plan, read_plan

BUILT_IN: dict[str, Any] = {"model": {"builtin": "tiny-bert"}, "data": {"builtin": "acceptability"}}


def names_of(plan: Plan) -> list[str]:
    return [run.name for run in plan.runs]


def test_config_without_variants_is_a_study_of_one_run() -> None:
    plan = make_plan({**BUILT_IN, "name": "alone"})

    assert names_of(plan) == ["alone"]
    assert (plan.project, plan.name) == ("finetune", "alone")


def test_every_variant_meets_every_seed() -> None:
    variants = [{"name": "short", "set": {"training.epochs": 1}}, {"name": "long", "set": {"training.epochs": 2}}]
    plan = make_plan({**BUILT_IN, "variants": variants, "seeds": {"dropout": [7, 8], "init": 5}})

    assert names_of(plan) == ["short dropout 7", "short dropout 8", "long dropout 7", "long dropout 8"]
    assert [run.config.training.epochs for run in plan.runs] == [1, 1, 2, 2]
    assert {run.config.seeds.init for run in plan.runs} == {5}


def test_two_lists_of_seeds_are_a_grid() -> None:
    plan = make_plan({**BUILT_IN, "seeds": {"init": [1, 2], "dropout": [3, 4]}})

    assert [(run.config.seeds.init, run.config.seeds.dropout) for run in plan.runs] == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_list_of_seed_records_is_taken_as_it_is() -> None:
    plan = make_plan({**BUILT_IN, "seeds": [{"init": 1, "dropout": 3}, {"init": 2, "dropout": 4}]})

    assert names_of(plan) == ["init 1 dropout 3", "init 2 dropout 4"]


def test_long_seed_names_make_a_grid_too() -> None:
    plan = make_plan({**BUILT_IN, "seeds": {"dropout_seed": [12345, 12346]}})

    assert names_of(plan) == ["dropout 12345", "dropout 12346"]


def test_a_variant_may_replace_a_whole_block_or_a_seed() -> None:
    other = {"name": "wide", "set": {"model": {"builtin": "tiny-bert", "hidden_size": 128}, "seeds.init": 9}}
    plan = make_plan({**BUILT_IN, "variants": [other], "seeds": {"dropout": [1, 2]}})

    assert {run.config.model.hidden_size for run in plan.runs} == {128}  # type: ignore[union-attr]  # built-in
    assert {run.config.seeds.init for run in plan.runs} == {9}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"variants": [{"name": "a", "set": {"training.epoch": 1}}]}, "variant 'a': no key 'training.epoch'"),
        ({"variants": [{"name": "a", "sett": {}}]}, "no key 'variants.0.sett' (known: name, set); did you mean 'set'?"),
        ({"variants": [{"set": {}}]}, "'variants.0.name' is missing"),
        ({"variants": {"a": 1}}, "a list is expected here"),
        ({"variants": []}, "the list is empty"),
        ({"variant": []}, "did you mean 'variants'?"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "two variants are named 'a'"),
        ({"variants": [{"name": "a"}, {"name": "b"}]}, "'a' and 'b' are the same run"),
        ({"variants": [{"name": "a"}, {"name": "b", "set": {"project": "x"}}]}, "a study has one project"),
        ({"seeds": 3}, "expected a block or a list of blocks"),
        ({"seeds": [3]}, "expected blocks such as"),
        ({"seeds": {"dropout": []}}, "seeds.dropout: the list is empty"),
        ({"seeds": {"dropout": [1, 1]}}, "are the same run"),
    ],
)
def test_a_wrong_study_is_refused_before_anything_trains(given: dict[str, Any], told: str) -> None:
    with pytest.raises(PipelineConfigError) as caught:
        make_plan({**BUILT_IN, **given}, source="study.yaml")

    assert told in str(caught.value)


def test_overrides_reach_into_blocks_and_leave_the_original_alone() -> None:
    config = {"training": {"epochs": 3, "warmup": 0.1}}

    changed = with_overrides(config, {"training.epochs": 1, "seeds.dropout": [1, 2]})

    assert changed == {"training": {"epochs": 1, "warmup": 0.1}, "seeds": {"dropout": [1, 2]}}
    assert config == {"training": {"epochs": 3, "warmup": 0.1}}


def test_a_number_in_an_override_leads_into_a_list_of_blocks() -> None:
    config = {"intermediate": [{"name": "a", "carry_layers": 1}, {"name": "b"}]}

    changed = with_overrides(config, {"intermediate.1.carry_layers": 2})

    assert changed == {"intermediate": [{"name": "a", "carry_layers": 1}, {"name": "b", "carry_layers": 2}]}
    assert config["intermediate"][1] == {"name": "b"}
    with pytest.raises(PipelineConfigError, match="'intermediate' is a list of 2: expected a number from 0 after it"):
        with_overrides(config, {"intermediate.2.carry_layers": 2})


def test_an_override_through_a_value_is_refused() -> None:
    with pytest.raises(PipelineConfigError, match="'epochs' is 3 and not a block of keys"):
        with_overrides({"training": {"epochs": 3}}, {"training.epochs.first": 1})


def test_assignments_are_read_as_yaml() -> None:
    overrides = read_overrides(["training.epochs=2", "data.folder=a=b", "seeds.dropout=[1, 2]", "name="])

    assert overrides == {"training.epochs": 2, "data.folder": "a=b", "seeds.dropout": [1, 2], "name": None}


def test_an_assignment_without_a_value_says_how_one_looks() -> None:
    with pytest.raises(PipelineConfigError, match="must be KEY=VALUE, such as"):
        read_overrides(["training.epochs"])


def test_a_study_is_named_after_its_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "cola_seeds.yaml"
    file.write_text("model: {builtin: tiny-bert}\ndata: {builtin: acceptability}\n", encoding="utf-8")

    assert read_plan(file).name == "cola_seeds"
    assert read_plan(file, {"name": "mine"}).name == "mine"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model:\n  path: a\nmodel:\n  path: b\n", "line 3, column 1: the key 'model' is given twice"),
        ("model: [a\n", "line 2, column 1: "),
        ("- a\n", "expected a block of keys"),
        ("", "expected a block of keys"),
    ],
)
def test_a_file_that_is_no_config_is_located(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(PipelineConfigError) as caught:
        read_config_file(file)

    assert str(file) in str(caught.value)
    assert told in str(caught.value)


def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from trackbridge.cli.main import run; run(['demo', '--root', sys.argv[1]])"
    )

    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)

    assert done.returncode == 4
    assert "training needs the torch package: pip install 'trackbridge[transformers]'" in done.stderr


@pytest.mark.parametrize(
    ("options", "processes", "told"),
    [
        (["--engine", "ray", "--jobs", "2"], "1", "--jobs 2 with --engine ray: Ray decides how many run at once"),
        (["--ray-address", "here:1"], "1", "--ray-address here:1 without --engine ray"),
        (["--jobs", "2"], "2", "2 processes were launched to train each run together"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_the_file_is_read(
    options: list[str], processes: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", processes)

    with pytest.raises(SystemExit):
        run(["finetune", "nowhere.yaml", *options])

    assert told in " ".join(capsys.readouterr().err.split())


def test_checking_a_config_loads_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from trackbridge.finetune.demo import demo_plan; demo_plan()\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'scipy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=r"cannot read the config .*missing\.yaml"):
        read_config_file(tmp_path / "missing.yaml")


def test_all_seeds_changed_together_are_named_as_one() -> None:
    plan = make_plan({**BUILT_IN, "variants": [{"name": "plain"}], "seeds": {"all": [1, 2]}})

    assert names_of(plan) == ["plain seed 1", "plain seed 2"]
    assert [run.config.seeds for run in plan.runs] == [Seeds(init=n, data=n, dropout=n) for n in (1, 2)]


def test_all_beside_a_single_seed_is_refused() -> None:
    with pytest.raises(PipelineConfigError, match="give either all or the single seeds"):
        make_plan({**BUILT_IN, "seeds": {"all": 1, "dropout": 2}})


def test_a_grid_is_every_combination_of_its_values_for_every_variant() -> None:
    grid = {"training.learning_rate": [1e-4, 1e-3], "training.epochs": [1, 2]}
    variants = [{"name": "plain"}, {"name": "cold", "set": {"training.warmup": 0}}]

    plan = make_plan({**BUILT_IN, "variants": variants, "grid": grid})

    assert len(plan.runs) == 8
    told = {run.variant: (run.config.training.learning_rate, run.config.training.epochs) for run in plan.runs}
    assert told["plain learning_rate 0.0001 epochs 1"] == (1e-4, 1)
    assert told["cold learning_rate 0.001 epochs 2"] == (1e-3, 2)


@pytest.mark.parametrize("grid", [{"training.epochs": 3}, {"training.epochs": []}, [1]])
def test_a_grid_without_lists_of_values_is_refused(grid: Any) -> None:
    with pytest.raises(PipelineConfigError, match=r"grid: .* expected lists of values by dotted key"):
        make_plan({**BUILT_IN, "grid": grid})


def test_a_share_to_halt_that_is_no_share_is_refused() -> None:
    with pytest.raises(PipelineConfigError, match=r"halting\.stop"):
        make_plan({**BUILT_IN, "halting": {"stop": 1.5}})


def test_an_override_takes_a_block_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("{builtin: acceptability, train: 20}", encoding="utf-8")

    assert read_overrides([f"data=@{tmp_path / 'data.yaml'}"]) == {"data": {"builtin": "acceptability", "train": 20}}
