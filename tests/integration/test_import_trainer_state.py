"""Imports of what a real `Trainer` left in its output folder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from trainer_kit import arguments, trainer_for
from transformers import Trainer, TrainerCallback

import trackbridge as tb
from trackbridge.testing.source_contract import Expected, SourceContract

NAME = "train/../../<b>escape</b>"


class LogOddities(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Logs what no training logs every day."""

    trainer: Trainer

    def on_step_end(self, args: object, state: object, control: object, **others: object) -> None:
        step = self.trainer.state.global_step
        if step in (3, 7):
            self.trainer.log({"../../<b>escape</b>": math.nan if step == 3 else math.inf, "größe": 0.1 * step})


@pytest.fixture(scope="session")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainer") / "größtes-lr"
    oddities = LogOddities()
    settings = {"save_strategy": "steps", "save_steps": 5, "eval_strategy": "steps", "eval_steps": 5}
    trainer = trainer_for(arguments(folder, **settings), oddities)
    oddities.trainer = trainer
    trainer.train()
    return folder


class TestTrainerState(SourceContract):
    source = "trainer_state"
    hostile_name = NAME

    def data_file(self, place: Path) -> Path:
        return place / "checkpoint-10" / "trainer_state.json"

    def shrink(self, place: Path) -> None:
        shutil.rmtree(place / "checkpoint-10")

    @pytest.fixture
    def expected(self, made_place: Path) -> Expected:
        history = json.loads((made_place / "checkpoint-10" / "trainer_state.json").read_text())["log_history"]
        losses = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
        scores = [(entry["step"], entry["eval_accuracy"]) for entry in history if "eval_accuracy" in entry]
        assert len(losses) == 8
        assert len(scores) == 2
        return Expected(
            name="größtes-lr",
            curves={
                "train/loss": losses,
                "eval/accuracy": scores,
                NAME: [(3, math.nan), (7, math.inf)],
                "train/größe": [(3, 0.1 * 3), (7, 0.1 * 7)],
            },
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        folder = tmp_path / "nested"
        folder.mkdir()
        (folder / "trainer_state.json").write_text('{"log_history": ' + "[" * 100_000 + "]" * 100_000 + "}")
        return [folder]


def test_checkpoints_are_kept_with_their_scores(made_place: Path, tmp_path: Path) -> None:
    tb.import_runs(made_place, root=tmp_path)

    run = tb.open_store(tmp_path).runs()[0]
    assert [one.step for one in run.checkpoints] == [5, 10]
    assert run.checkpoints[1].metrics["eval/accuracy"] == run.series("eval/accuracy").values[-1]
    assert not any("runtime" in name for name in run.checkpoints[1].metrics)


def test_the_pickle_beside_it_is_never_opened(made_place: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made_place, tmp_path / "copy")
    for file in copy.rglob("training_args.bin"):
        file.write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "was-run") + b"'\ntR.")

    tb.import_runs(copy, root=tmp_path / "runs")

    assert not (tmp_path / "was-run").exists()


def test_a_training_that_did_all_its_steps_has_finished_and_an_earlier_one_is_left_open(
    made_place: Path, tmp_path: Path
) -> None:
    tb.import_runs(made_place / "checkpoint-5", root=tmp_path / "half")
    tb.import_runs(made_place, root=tmp_path / "whole")

    (half,), (whole,) = (tb.open_store(tmp_path / name).runs() for name in ("half", "whole"))
    assert (half.status, whole.status) == ("lost", "finished")
    assert half.run_id == whole.run_id
    assert half.started_ns == 0


def test_a_number_of_output_folders_are_as_many_runs(made_place: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(made_place, tmp_path / "outputs" / name)

    report = tb.import_runs(tmp_path / "outputs", root=tmp_path / "runs")

    assert [run.name for run in report.runs] == ["one", "two"]
    assert len({run.run_id for run in report.runs}) == 2
