"""Which run a training belongs to, and with which status it ends."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from trainer_kit import Crash, arguments, config, events, points, run_folders, sentences, tiny_model, trainer_for
from transformers import TrainerCallback, TrainerControl, TrainerState

import trackbridge as tb
from trackbridge.errors import JournalWriteError, MisuseError, RunClosedError
from trackbridge.integrations.transformers import TrackingCallback


def status(folder: Path) -> str | None:
    ends = events(folder, "run_finished")
    return ends[-1]["status"] if ends else None


def own_runs(tmp_path: Path, **settings: Any) -> TrackingCallback:
    return TrackingCallback(project="demo", root=tmp_path / "runs", **settings)


def test_each_train_of_the_short_form_is_a_run(tmp_path: Path) -> None:
    trainer = trainer_for(arguments(tmp_path / "out", max_steps=2, run_name="twice"), own_runs(tmp_path, tags=["a"]))
    trainer.train()
    trainer.train()

    folders = run_folders(tmp_path / "runs")
    assert [list(points(folder, "train/loss")) for folder in folders] == [[1, 2], [1, 2]]
    assert [status(folder) for folder in folders] == ["finished", "finished"]
    [started] = events(folders[0], "run_started")
    assert (started["project"], started["name"], started["tags"]) == ("demo", "twice", ["a"])


def test_a_run_of_the_users_is_not_finished_by_the_callback(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer_for(arguments(tmp_path / "out", max_steps=2), TrackingCallback(run)).train()
        assert not run.is_closed
        run.log({"eval/final": 1.0}, step=2)

    assert status(run.path) == "finished"
    assert points(run.path, "eval/final") == {2: 1.0}


def test_two_trainers_in_one_process_are_not_mixed(tmp_path: Path) -> None:
    class TrainsAnother(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step == 2:
                inner = arguments(tmp_path / "inner", max_steps=3, learning_rate=1e-3)
                trainer_for(inner, own_runs(tmp_path, name="inner"), model=tiny_model(1)).train()

    outer = arguments(tmp_path / "outer", max_steps=4, learning_rate=1e-2)
    trainer_for(outer, TrainsAnother(), own_runs(tmp_path, name="outer")).train()

    by_name = {events(folder, "run_started")[0]["name"]: folder for folder in run_folders(tmp_path / "runs")}
    assert list(points(by_name["outer"], "train/loss")) == [1, 2, 3, 4]
    assert list(points(by_name["inner"], "train/loss")) == [1, 2, 3]
    assert config(by_name["outer"])["training_arguments"]["learning_rate"] == 1e-2
    assert config(by_name["inner"])["training_arguments"]["learning_rate"] == 1e-3
    assert {status(folder) for folder in by_name.values()} == {"finished"}


def test_a_callback_used_for_two_trainers_in_turn_keeps_their_evaluations_apart(tmp_path: Path) -> None:
    callback = own_runs(tmp_path)
    first = trainer_for(arguments(tmp_path / "a", max_steps=1), callback)
    first.train()
    second = trainer_for(arguments(tmp_path / "b", max_steps=2), callback)
    second.evaluate()
    second.train()

    folders = run_folders(tmp_path / "runs")
    assert [list(points(folder, "eval/loss")) for folder in folders] == [[], [0]]
    assert [list(points(folder, "train/loss")) for folder in folders] == [[1], [1, 2]]


def test_evaluations_before_and_after_belong_to_the_run_of_the_short_form(tmp_path: Path) -> None:
    trainer = trainer_for(arguments(tmp_path / "out", max_steps=3), own_runs(tmp_path))
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    trainer.predict(sentences(8, seed=3))

    [folder] = run_folders(tmp_path / "runs")
    assert list(points(folder, "eval/loss")) == [0, 3]
    assert list(points(folder, "test/loss")) == [3]
    assert status(folder) == "finished"
    assert tb.open_store(tmp_path / "runs").run(folder.name).series("train/loss").steps.tolist() == [1, 2, 3]


def test_an_evaluation_after_a_run_has_ended_is_told_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", max_steps=1), TrackingCallback(run))
        trainer.train()
    predictions = trainer.predict(sentences(8, seed=3))
    trainer.evaluate()

    assert predictions.metrics["test_loss"] > 0
    assert points(run.path, "test/loss") == {}
    assert sum("has ended, so this evaluation is not recorded" in r.getMessage() for r in caplog.records) == 1


def test_training_into_an_ended_run_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        pass
    trainer = trainer_for(arguments(tmp_path / "out"), TrackingCallback(run))

    with pytest.raises(RunClosedError, match="inside its `with` block"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_crash_inside_the_users_run_is_its_status(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        tb.start_run("demo", root=tmp_path / "runs") as run,
    ):
        trainer_for(arguments(tmp_path / "out"), TrackingCallback(run), Crash(at_step=3)).train()

    [end] = events(run.path, "run_finished")
    assert (end["status"], end["error"]) == ("failed", "RuntimeError: out of memory after step 3")
    assert "on_step_begin" in end["traceback"]
    assert list(points(run.path, "train/loss")) == [1, 2, 3]


def test_a_training_that_crashed_before_the_next_one_began_has_failed(tmp_path: Path) -> None:
    crash = Crash(at_step=3)
    trainer = trainer_for(arguments(tmp_path / "out", max_steps=5), own_runs(tmp_path), crash)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train()
    [first] = run_folders(tmp_path / "runs")
    assert status(first) is None
    crash.at_step = -1
    trainer.train()

    [first, second] = run_folders(tmp_path / "runs")
    [end] = events(first, "run_finished")
    assert (end["status"], end["error"]) == ("failed", "train() stopped after step 3 without reaching its end")
    assert status(second) == "finished"
    assert list(points(second, "train/loss")) == [1, 2, 3, 4, 5]


def test_a_smaller_batch_found_after_running_out_of_memory_is_a_run_of_its_own(tmp_path: Path) -> None:
    class OutOfMemoryOnce(TrainerCallback):
        is_over = False

        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step == 1 and not self.is_over:
                self.is_over = True
                raise RuntimeError("CUDA out of memory.")

    args = arguments(tmp_path / "out", max_steps=3, auto_find_batch_size=True)
    trainer_for(args, own_runs(tmp_path), OutOfMemoryOnce()).train()

    folders = run_folders(tmp_path / "runs")
    assert [status(folder) for folder in folders] == ["failed", "finished"]
    assert [list(points(folder, "train/loss")) for folder in folders] == [[1], [1, 2, 3]]


def search(tmp_path: Path, *callbacks: Any, pruner: Any = None, n_trials: int = 2, hp_name: Any = None) -> Any:
    """A search with optuna over learning rates, evaluated and saved every step."""
    args = arguments(
        tmp_path / "out", max_steps=2, eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1
    )
    trainer = trainer_for(args, own_runs(tmp_path, checkpoints="best"), *callbacks, model_init=lambda: tiny_model())
    rates = iter([0.01, 0.02, 0.03])
    with warnings.catch_warnings():
        # optuna announces experimental features of its own choosing
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        trainer.hyperparameter_search(
            hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", *[next(rates)] * 2)},
            compute_objective=lambda metrics: metrics["eval_loss"],
            hp_name=hp_name,
            n_trials=n_trials,
            direction="minimize",
            backend="optuna",
            pruner=pruner,
        )
    return trainer


def test_each_trial_of_a_search_is_a_run_with_its_parameters(tmp_path: Path) -> None:
    search(tmp_path)

    folders = run_folders(tmp_path / "runs")
    starts = [events(folder, "run_started")[0] for folder in folders]
    assert [start["name"] for start in starts] == ["learning_rate=0.01", "learning_rate=0.02"]
    assert {start["group"] for start in starts} == {"search in out"}
    assert [config(folder)["trial"] for folder in folders] == [{"learning_rate": 0.01}, {"learning_rate": 0.02}]
    assert [config(folder)["training_arguments"]["learning_rate"] for folder in folders] == [0.01, 0.02]
    assert [status(folder) for folder in folders] == ["finished", "finished"]
    assert [events(folder, "run_started")[0]["tags"] for folder in folders] == [[], []]


def test_checkpoints_of_a_trial_are_found_in_the_folder_of_the_trial(tmp_path: Path) -> None:
    search(tmp_path)

    out = (tmp_path / "out").resolve()
    for number, folder in enumerate(run_folders(tmp_path / "runs")):
        paths = [event["path"] for event in events(folder, "checkpoint_saved")]
        assert paths == [str(out / f"run-{number}" / f"checkpoint-{step}") for step in (1, 2)]
        assert len(list((folder / "files" / "checkpoints").iterdir())) == 1


def test_trials_named_by_the_user_keep_their_names_and_folders(tmp_path: Path) -> None:
    search(tmp_path, hp_name=lambda trial: f"trial-{trial.number}", n_trials=1)

    [folder] = run_folders(tmp_path / "runs")
    assert events(folder, "run_started")[0]["name"] == "trial-0"
    assert events(folder, "checkpoint_saved")[0]["path"].endswith(str(Path("out", "trial-0", "checkpoint-1")))


class PrunesTheSecond(optuna.pruners.BasePruner):
    """Ends the trial with the number 1 at its first report."""

    def prune(self, study: Any, trial: Any) -> bool:
        return trial.number == 1


def test_a_pruned_trial_says_so(tmp_path: Path) -> None:
    search(tmp_path, pruner=PrunesTheSecond(), n_trials=3)

    folders = run_folders(tmp_path / "runs")
    assert [[event["tags"] for event in events(folder, "tags_set")] for folder in folders] == [[], [["pruned"]], []]
    assert [list(points(folder, "eval/loss")) for folder in folders] == [[1, 2], [1], [1, 2]]
    assert {status(folder) for folder in folders} == {"finished"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either a run of yours or project="),
        ({"project": "demo", "run": "open"}, "either a run of yours or project="),
        ({"run": "open", "name": "x"}, "give them to start_run"),
    ],
)
def test_a_callback_that_cannot_know_its_run_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run, pytest.raises(MisuseError, match=message):
        TrackingCallback(**{**settings, **({"run": run} if "run" in settings else {})})


def test_a_root_that_cannot_be_written_is_refused_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    trainer = trainer_for(arguments(tmp_path / "out"), own_runs(tmp_path))

    with pytest.raises(MisuseError, match="cannot write runs below"):
        trainer.train()
    assert trainer.state.global_step == 0


def refusing(error: Exception) -> Any:
    """A verb of a run that raises."""

    def refuse(*args: Any, **others: Any) -> None:
        raise error

    return refuse


def test_trouble_of_ours_does_not_stop_a_training_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", max_steps=3), TrackingCallback(run))
        monkeypatch.setattr(run, "log", refusing(TypeError("a bug of ours")))
        trainer.train()

    assert trainer.state.global_step == 3
    assert sum("could not record on_log" in record.getMessage() for record in caplog.records) == 1


def test_a_strict_run_stops_a_training_whose_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        trainer = trainer_for(arguments(tmp_path / "out", max_steps=3), TrackingCallback(run))
        monkeypatch.setattr(run, "log", refusing(JournalWriteError(28, "no space left on device")))
        with pytest.raises(JournalWriteError):
            trainer.train()

    assert trainer.state.global_step == 1


def test_what_trainer_averages_over_all_ranks_is_recorded_by_the_first_alone(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs", ranks="all") as run:
        callback, args = TrackingCallback(run), arguments(tmp_path / "out")
        for is_first in (False, True):
            state = TrainerState(global_step=1 + is_first, is_world_process_zero=is_first)
            callback.on_log(args, state, TrainerControl(), logs={"loss": 0.5})

    assert points(run.path, "train/loss") == {2: 0.5}


def test_a_long_training_shows_that_it_is_alive_without_logging(tmp_path: Path) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        args = arguments(tmp_path / "out", max_steps=20, logging_strategy="no")
        trainer_for(args, TrackingCallback(run)).train()

    assert points(run.path, "train/loss") == {}
    assert len(events(run.path, "heartbeat")) == 1
