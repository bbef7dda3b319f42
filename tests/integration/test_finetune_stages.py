"""Stages are runs of their own: trained once, shared, taken up again, and recorded as what a run builds on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from process_kit import training_environment
from safetensors.torch import load_file
from study_kit import TINY, launched, studied, wait_for_checkpoints

from trackbridge.cli.showing import print_run
from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.origins import weights_digest
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

SHORT: dict[str, Any] = {**TINY["training"], "epochs": None, "max_steps": 4}
# lost in float32: what such a training ends with is what it began with
STILL: dict[str, Any] = {**SHORT, "learning_rate": 1e-46}
PRETRAINING: dict[str, Any] = {
    "text": {"builtin": "acceptability", "sentences": 80},
    "training": {**SHORT, "learning_rate": 0.01},
    "evaluate_every": 4,
}


def intermediate(name: str, **told: Any) -> dict[str, Any]:
    """A block of four updates on sentences of its own."""
    return {
        "name": name,
        "data": {"builtin": "acceptability", "train": 40, "eval": {"dev": 20}, "corpus": len(name)},
        "training": {**SHORT, "learning_rate": 0.01},
        "evaluation": {"metric": "accuracy", "every": 4},
        **told,
    }


STAGED: dict[str, Any] = {**TINY, "name": "staged", "training": STILL, "evaluation": {"metric": "mcc", "every": 4}}


def weights_of(record: RunRecord) -> dict[str, torch.Tensor]:
    (kept,) = Path(record.path, "files", "checkpoints").iterdir()
    return load_file(kept / "model.safetensors")


def runs_of(root: Path, group: str) -> dict[str, RunRecord]:
    return {run.name: run for run in open_store(root).runs(group=group)}


def test_two_intermediate_tasks_follow_each_other_and_each_carries_as_many_layers_as_it_is_told(tmp_path: Path) -> None:
    variants = [
        {"name": f"carry {layers}", "set": {"intermediate": [ONE, intermediate("second", carry_layers=layers)]}}
        for layers in (0, 1, 2, None)
    ]
    plan = make_plan({**STAGED, "variants": variants, "seeds": {"init": 1, "dropout": [3, 4]}})

    outcomes, seen = studied(plan, tmp_path)

    assert [outcome.ending for outcome in outcomes] == ["finished"] * 8
    stages, runs = runs_of(tmp_path, "staged stages"), runs_of(tmp_path, "staged")
    assert len(stages) == len(open_store(tmp_path).runs(group="staged stages")) == 2
    assert seen.count("intermediate second: finished") == 1
    given, own = weights_of(stages["intermediate second"]), weights_of(runs["carry 0 dropout 3"])
    for layers in (0, 1, 2, None):
        carried = ["bert.embeddings."] + [f"bert.encoder.layer.{n}." for n in range(2 if layers is None else layers)]
        carried += ["bert.pooler."] if layers is None else []
        for name, weights in weights_of(runs[f"carry {layers} dropout 3"]).items():
            assert torch.equal(weights, (given if name.startswith(tuple(carried)) else own)[name]), name
    assert not torch.equal(given["classifier.weight"], own["classifier.weight"])
    assert stages["intermediate second"].config["lineage"]["weights"]["carried"] == {"embeddings": 5, "layer 1": 16}


ONE = intermediate("one", carry_layers=1)


def test_the_whole_descent_is_recorded_with_the_digest_of_each_ones_weights(tmp_path: Path) -> None:
    config = {**STAGED, "pretraining": PRETRAINING, "intermediate": [ONE]}

    studied(make_plan(config), tmp_path)

    (run,), stages = open_store(tmp_path).runs(group="staged"), runs_of(tmp_path, "staged stages")
    builds_on = run.config["lineage"]["weights"]
    task, text = stages["intermediate one"], stages["pretraining mlm"]
    for told, stage in ((builds_on, task), (builds_on["lineage"]["weights"], text)):
        folder = Path(stage.path, "files", "checkpoints", f"step-{told['step']}")
        assert (told["run_id"], told["run"], told["sha256"]) == (stage.run_id, stage.name, weights_digest(folder))
        assert told["data"] == {name: one["sha256"] for name, one in stage.config["data"].items()}
    assert builds_on["carried"] == {"embeddings": 5, "layer 1": 16}
    assert builds_on["own"] == {"layer 2": 16, "top": 2, "head": 2}
    assert builds_on["lineage"]["weights"]["carried"] == {"embeddings": 5, "layer 1": 16, "layer 2": 16}
    assert task.config["lineage"] == builds_on["lineage"]
    assert "lineage" not in text.config


def test_a_run_shows_what_it_builds_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studied(make_plan({**STAGED, "pretraining": PRETRAINING}), tmp_path)
    (run,) = open_store(tmp_path).runs(group="staged")

    print_run(run, max_keys=None)

    told, digest = capsys.readouterr().out, run.config["lineage"]["weights"]["sha256"][:12]
    (row,) = (line.split() for line in told.splitlines() if digest in line)
    assert row[:8] == ["staged", "pretraining", "mlm", "weights", "4", "2", "of", "2"]
    assert "Config: lineage" not in told


def test_a_stage_with_the_seeds_of_its_run_is_trained_for_each_of_them(tmp_path: Path) -> None:
    config = {**STAGED, "intermediate": [intermediate("one", seeds="run")], "seeds": {"init": 1, "dropout": [3, 4]}}

    studied(make_plan(config), tmp_path)

    stages = runs_of(tmp_path, "staged stages")
    assert set(stages) == {f"intermediate one init 1 data 41 dropout {dropout}" for dropout in (3, 4)}
    for run in open_store(tmp_path).runs(group="staged"):
        builds_on = run.config["lineage"]["weights"]
        assert builds_on["run_id"] == stages[f"intermediate one init 1 data 41 dropout {run.seeds.dropout}"].run_id


def test_a_stage_is_found_again_until_its_data_or_its_weights_change(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"the boy sees {thing} ." for thing in "abcdefghijklmnop"), encoding="utf-8")
    told = {**PRETRAINING, "text": {"folder": str(tmp_path), "files": ["texts.txt"]}}
    plan, root = make_plan({**STAGED, "pretraining": told}), tmp_path / "root"

    def trained_now() -> list[str]:
        _, seen = studied(plan, root)
        return [line.split(":")[0] for line in seen.splitlines() if line.endswith(": started")]

    assert trained_now() == ["pretraining mlm", "staged"]
    assert trained_now() == []
    texts.write_text(texts.read_text(encoding="utf-8") + "\nthe girl sees .", encoding="utf-8")
    assert trained_now() == ["pretraining mlm", "staged"]
    assert trained_now() == []


def test_a_stage_without_its_weights_is_trained_again_to_the_same_ones(tmp_path: Path) -> None:
    plan = make_plan({**STAGED, "intermediate": [ONE]})
    studied(plan, tmp_path)
    stage = runs_of(tmp_path, "staged stages")["intermediate one"]
    (kept,) = Path(stage.path, "files", "checkpoints").iterdir()
    kept.rename(tmp_path / "elsewhere")

    (outcome,), seen = studied(plan, tmp_path)

    assert "intermediate one: finished" in seen
    assert outcome.ending == "found finished"
    assert len(open_store(tmp_path).runs(group="staged stages")) == 2


KILLED = with_overrides(
    {**STAGED, "name": "killed", "pretraining": PRETRAINING},
    {
        "pretraining.training.max_steps": 60,
        "pretraining.evaluate_every": 30,
        "training.learning_rate": 0.002,
        "checkpoints.every": 3,
    },
)


def test_a_study_killed_within_a_stage_goes_on_there_to_bitwise_the_same_end(tmp_path: Path) -> None:
    file, root = tmp_path / "killed.yaml", tmp_path / "root"
    file.write_text(yaml.safe_dump(KILLED), encoding="utf-8")
    command = [sys.executable, "-m", "trackbridge", "finetune", str(file), "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=training_environment()) as process:
        (stage_folder,) = wait_for_checkpoints(root / "tests", runs=1, step=9)
        process.send_signal(signal.SIGKILL)
    assert open_store(root).run(stage_folder.name).status == "lost"

    _, seen = studied(make_plan(KILLED), root)
    studied(make_plan(KILLED), tmp_path / "whole")

    assert "pretraining mlm: goes on from checkpoint-" in seen
    for group, metrics in (("killed stages", ("train/loss", "eval/perplexity")), ("killed", ("train/loss",))):
        (resumed,) = open_store(root).runs(group=group)
        (whole,) = open_store(tmp_path / "whole").runs(group=group)
        for metric in metrics:
            assert list(resumed.series(metric).values) == list(whole.series(metric).values)
        found, expected = weights_of(resumed), weights_of(whole)
        assert all(torch.equal(found[name], weights) for name, weights in expected.items())
    assert len(open_store(root).runs(group="killed stages")) == 1


DISTRIBUTED = with_overrides(
    {**STAGED, "name": "ranks", "pretraining": PRETRAINING},
    {
        "model.dropout": 0.0,
        "pretraining.text.sentences": 70,
        "pretraining.training.batch_size": 1,
        "pretraining.training.max_steps": 12,
        "training.max_steps": 2,
    },
)


def test_two_processes_mask_what_one_does_with_batches_twice_as_large(tmp_path: Path) -> None:
    """Over more than one epoch: accelerate tells the examples of a distributed training no epoch."""
    file = tmp_path / "ranks.yaml"
    file.write_text(yaml.safe_dump(DISTRIBUTED), encoding="utf-8")
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launched(launcher, file, root=tmp_path / "two")

    studied(make_plan(with_overrides(DISTRIBUTED, {"pretraining.training.batch_size": 2})), tmp_path / "one")

    (two,), (one,) = (open_store(tmp_path / name).runs(group="ranks stages") for name in ("two", "one"))
    assert two.status == "finished"
    assert one.summary["epoch"] > 1
    assert list(two.series("train/loss").values) == pytest.approx(list(one.series("train/loss").values), rel=1e-2)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (
            {"intermediate": [intermediate("one", evaluation={"choose_on": "test"})]},
            r"evaluation\.choose_on 'test' is no eval set \(data\.eval has: dev\)",
        ),
        (
            {"intermediate": [intermediate("one", training={**SHORT, "log_every": 3})]},
            r"checkpoints\.every 500 must be a multiple of intermediate 'one': training\.log_every 3",
        ),
        (
            {"pretraining": {**PRETRAINING, "training": {"log_every": 7}}},
            r"checkpoints\.every 500 must be a multiple of pretraining\.training\.log_every 7",
        ),
    ],
)
def test_what_is_wrong_with_a_stage_is_told_before_anything_is_trained(told: dict[str, Any], problem: str) -> None:
    with pytest.raises(PipelineConfigError, match=problem):
        make_plan({**STAGED, **told})
