"""A study runs each of its trainings once, whatever stopped it and whatever failed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from finetune_kit import write_learnable_data
from rich.console import Console
from safetensors.torch import load_file
from study_kit import TINY, launched, studied

from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.display import display_for
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.study import run_study
from trackbridge.finetune.train import train
from trackbridge.run.lifecycle import start_run
from trackbridge.store.store import open_store

QUICK: dict[str, Any] = {**TINY, "name": "quick", "training": {**TINY["training"], "epochs": 1}}
TWO_SEEDS: dict[str, Any] = {**QUICK, "seeds": {"init": 1, "data": 2, "dropout": [3, 4]}}


def endings(outcomes: list[Outcome]) -> list[str]:
    return [outcome.ending for outcome in outcomes]


def run_ids(root: Path) -> set[str]:
    return {run.run_id for run in open_store(root).runs()}


def test_every_variant_is_trained_with_every_seed_and_recorded_as_one_group(tmp_path: Path) -> None:
    variants = [{"name": "slow", "set": {"training.learning_rate": 1e-4}}, {"name": "fast"}]

    outcomes, seen = studied(make_plan({**TWO_SEEDS, "variants": variants}), tmp_path)

    assert endings(outcomes) == ["finished"] * 4
    runs = open_store(tmp_path).runs(project="tests", group="quick", status="finished")
    assert {run.name for run in runs} == {"slow dropout 3", "slow dropout 4", "fast dropout 3", "fast dropout 4"}
    assert {(run.seeds.init, run.seeds.data, run.seeds.dropout) for run in runs} == {(1, 2, 3), (1, 2, 4)}
    assert {run.config["pipeline"]["training"]["learning_rate"] for run in runs} == {1e-4, 0.002}
    assert "study quick: 4 runs" in seen
    assert "[4/4] fast dropout 4: finished, best eval/mcc" in seen


def test_a_finished_run_is_never_repeated_and_a_new_seed_is_all_that_is_added(tmp_path: Path) -> None:
    studied(make_plan(TWO_SEEDS), tmp_path)
    before = run_ids(tmp_path)

    again, seen = studied(make_plan(TWO_SEEDS), tmp_path)
    assert endings(again) == ["found finished"] * 2
    assert run_ids(tmp_path) == before
    assert "dropout 3: already finished, best eval/mcc" in seen

    more, _ = studied(make_plan(with_overrides(TWO_SEEDS, {"seeds.dropout": [3, 4, 5]})), tmp_path)
    assert endings(more) == ["found finished", "found finished", "finished"]
    assert len(run_ids(tmp_path)) == 3


def test_other_data_under_the_same_names_is_another_training(tmp_path: Path) -> None:
    config = {**write_learnable_data(tmp_path), "training": QUICK["training"]}
    studied(make_plan(config), tmp_path / "root")
    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("\na cat\t1")

    outcomes, _ = studied(make_plan(config), tmp_path / "root")

    assert endings(outcomes) == ["finished"]
    assert len(run_ids(tmp_path / "root")) == 2


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    variants = [{"name": "broken", "set": {"model": {"path": "nobody/nothing"}}}, {"name": "sound"}]

    outcomes, seen = studied(make_plan({**QUICK, "variants": variants}), tmp_path)

    assert endings(outcomes) == ["failed", "finished"]
    assert "PipelineConfigError: model.path: cannot load 'nobody/nothing'" in outcomes[0].error
    assert "[1/2] broken: failed: PipelineConfigError" in seen
    assert {run.name: run.status for run in open_store(tmp_path).runs()} == {"broken": "failed", "sound": "finished"}


def test_data_that_cannot_be_read_fails_its_run_alone(tmp_path: Path) -> None:
    missing = {"train": "nowhere.tsv", "eval": {"dev": "nowhere.tsv"}}
    variants = [{"name": "missing", "set": {"data": missing}}, {"name": "sound"}]

    outcomes, _ = studied(make_plan({**QUICK, "variants": variants}), tmp_path)

    assert endings(outcomes) == ["failed", "finished"]
    assert "DataError: cannot read nowhere.tsv" in outcomes[0].error
    assert [run.name for run in open_store(tmp_path).runs()] == ["sound"]


def test_a_run_another_process_is_training_is_left_to_it(tmp_path: Path) -> None:
    plan = make_plan(QUICK)
    config = plan.runs[0].config

    class Elsewhere:
        """Asks for the same study while the training is under way."""

        outcomes: list[Outcome] = []

    corpus = load_corpus(config.data)
    with start_run("tests", group="quick", root=tmp_path) as run:
        train(config, corpus, run)
        Elsewhere.outcomes, seen = studied(plan, tmp_path)

    assert endings(Elsewhere.outcomes) == ["found running"]
    assert "left alone, another process is training it" in seen


DISTRIBUTED = with_overrides(
    TINY,
    {
        "name": "ranks",
        "model.dropout": 0.0,
        "training.epochs": None,
        "training.max_steps": 6,
        "training.batch_size": 4,
        "training.gradient_accumulation": 2,
        "data.train": 96,
        "layerwise_decay": {"factor": 0.8},
        "evaluation.select": "last",
        "averaging": {"kind": "ema", "decay": 0.5},
    },
)


def test_two_processes_with_accumulated_batches_train_what_one_does_with_batches_of_all(tmp_path: Path) -> None:
    """In a plain Trainer of transformers 5.23 both factors make the loss and the gradient too large.

    After six updates at a rate of .002 no averaged weight is further off than half a percent of one update.
    """
    file = tmp_path / "ranks.yaml"
    file.write_text(yaml.safe_dump(DISTRIBUTED), encoding="utf-8")
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = launched(launcher, file, root=tmp_path / "two")
    assert done.stdout.count("[1/1] ranks: finished") == 1

    alone = make_plan(with_overrides(DISTRIBUTED, {"training.batch_size": 16, "training.gradient_accumulation": 1}))
    studied(alone, tmp_path / "one")

    (two,), (one,) = open_store(tmp_path / "two").runs(), open_store(tmp_path / "one").runs()
    assert two.status == "finished"
    for metric in ("train/loss", "train/grad_norm", "train/learning_rate/embeddings"):
        assert list(two.series(metric).values) == pytest.approx(list(one.series(metric).values), rel=1e-5)
    weights = [
        load_file(next(tmp_path.glob(f"{n}/tests/*/files/checkpoints/step-6/*.safetensors"))) for n in ("two", "one")
    ]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-5)


def test_a_terminal_sees_two_bars_and_the_outcomes(tmp_path: Path) -> None:
    plan = make_plan(TWO_SEEDS)
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)

    run_study(plan, root=tmp_path, display=display_for(console, plan))

    seen = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO given above
    assert "study quick" in seen
    assert "2/2 runs" in " ".join(seen.split())
    assert "/13 updates" in " ".join(seen.split())
    assert "dropout 4: finished, best eval/mcc" in seen
