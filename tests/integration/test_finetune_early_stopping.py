"""A training stops when its score stops rising, at the same update whether or not it was killed; the last weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from finetune_kit import Trained, events_of, trained, write_counting_data
from safetensors.torch import load_file
from torch import equal
from transformers import TrainerCallback

from trackbridge.comparison.comparison import compare
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.tables import chosen_scores_table
from trackbridge.finetune.techniques.early_stopping import evaluations_without_gain
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

PATIENT = {"early_stopping.patience": 5, "checkpoints.every": 1, "checkpoints.keep": "all"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_counting_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """40 updates, scored every 2."""
    return trained(tmp_path_factory.mktemp("plain"), base=data)


@pytest.fixture(scope="module")
def stopped(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("stopped"), base=data, overrides=PATIENT)


def record_of(run: Trained) -> RunRecord:
    (record,) = open_store(run.path.parents[1]).runs()
    return record


def scores_of(run: Trained, name: str = "eval/pearson") -> dict[int, float]:
    return {e["step"]: e["metrics"][name] for e in events_of(run.path, "metrics_logged") if name in e["metrics"]}


def test_it_stops_at_the_fifth_evaluation_in_a_row_that_is_no_better_than_one_before(
    plain: Trained, stopped: Trained
) -> None:
    curve = scores_of(plain)
    ends = [
        step
        for step in range(12, 40, 2)
        if max(curve[s] for s in range(step - 8, step + 1, 2)) <= max(curve[s] for s in range(2, step - 9, 2))
    ]

    assert ends[0] == 20
    assert scores_of(stopped) == {step: score for step, score in curve.items() if step <= 20}
    assert stopped.evidence.losses == plain.evidence.losses[:20]


def test_a_run_that_stopped_early_is_finished_and_says_so_and_a_short_one_does_not(
    plain: Trained, stopped: Trained
) -> None:
    record = record_of(stopped)
    last = max(scores_of(stopped))

    assert record.status == "finished"
    assert record.summary["stopped_early_at"] == last
    assert record.summary["stopped_early_by"] == (
        "5 evaluations without a gain of more than 0 in eval_pearson, of 40 updates planned"
    )
    assert "stopped_early_at" not in record_of(plain).summary


def test_the_best_weights_are_those_before_the_gains_ended(stopped: Trained) -> None:
    scores = scores_of(stopped)
    best_step = max(scores, key=scores.__getitem__)

    assert stopped.result.best_step == best_step < max(scores)
    assert stopped.result.weights == stopped.path / "files" / "checkpoints" / f"step-{best_step}"


def test_the_update_it_stopped_at_is_no_checkpoint_to_go_on_from(stopped: Trained) -> None:
    last = max(scores_of(stopped))

    assert (stopped.path / "training" / f"checkpoint-{last - 1}").is_dir()
    assert not (stopped.path / "training" / f"checkpoint-{last}").exists()


def test_nothing_but_the_best_weights_is_left_of_a_training_that_stopped(data: dict[str, Any], tmp_path: Path) -> None:
    """Its best was of update 2 first, then of 10, and it stopped before any checkpoint."""
    run = trained(tmp_path, base=data, overrides={"early_stopping.patience": 5})

    assert run.result.best_step == 10
    assert not (run.path / "training").exists()
    assert [folder.name for folder in (run.path / "files" / "checkpoints").iterdir()] == ["step-10"]


@pytest.mark.parametrize("updates_before", [1, 3, 7])
def test_a_killed_training_stops_at_the_same_update_with_the_same_weights(
    stopped: Trained, data: dict[str, Any], tmp_path: Path, updates_before: int
) -> None:
    """After one, three and four of the five evaluations without gain."""
    last = max(scores_of(stopped))
    step = last - updates_before
    folder = tmp_path / "tests" / stopped.path.name
    shutil.copytree(stopped.path, folder)

    resumed = trained(tmp_path, base=data, overrides=PATIENT, resume_from=folder / "training" / f"checkpoint-{step}")

    assert resumed.evidence.losses == stopped.evidence.losses[step:]
    assert resumed.evidence.final_weights == stopped.evidence.final_weights
    assert (resumed.result.final, resumed.result.best) == (stopped.result.final, stopped.result.best)
    assert record_of(resumed).summary["stopped_early_at"] == last


def test_patience_that_ends_with_the_training_has_stopped_nothing(data: dict[str, Any], tmp_path: Path) -> None:
    """The first of 7 evaluations is a gain, and the sixth without one is the last."""
    short = {"training.epochs": None, "training.max_steps": 14, "early_stopping.min_gain": 10.0}

    run = trained(tmp_path, base=data, overrides={**PATIENT, **short, "early_stopping.patience": 6})

    assert max(scores_of(run)) == 14
    assert "stopped_early_at" not in record_of(run).summary
    assert (run.path / "training" / "checkpoint-14").is_dir()


NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "min_gain", "count"),
    [
        ([], 0.0, 0),
        ([0.1], 0.0, 0),
        ([0.1, 0.1, 0.1], 0.0, 2),
        ([0.1, 0.2, 0.1, 0.3], 0.0, 0),
        ([0.3, 0.1, 0.2], 0.0, 2),
        ([NAN, NAN], 0.0, 2),
        ([0.1, NAN, 0.2], 0.0, 0),
        # gains too small to count by themselves add up to one that does
        ([0.10, 0.14, 0.18, 0.22], 0.1, 0),
        ([0.10, 0.14, 0.18], 0.1, 2),
    ],
)
def test_evaluations_without_gain_are_counted_from_the_last_gain(
    scores: list[float], min_gain: float, count: int
) -> None:
    assert evaluations_without_gain(scores, min_gain=min_gain) == count


def test_with_averaging_it_is_the_averaged_models_score_that_counts(data: dict[str, Any], tmp_path: Path) -> None:
    ema = {"averaging": {"kind": "ema", "decay": 0.9}}

    run = trained(tmp_path, base=data, overrides={**PATIENT, **ema})

    scores = list(scores_of(run).values())
    assert evaluations_without_gain(scores, min_gain=0) == 5
    assert all(evaluations_without_gain(scores[:n], min_gain=0) < 5 for n in range(len(scores)))
    # by the plain model's it would have been at update 20
    assert max(scores_of(run)) == 26


LAST = {"evaluation.select": "last"}


class LastWeights(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The weights after the last update."""

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: Any, **others: Any) -> None:
        self.weights = {name: weights.detach().clone() for name, weights in model.state_dict().items()}


@pytest.mark.parametrize("technique", [{}, {"early_stopping.patience": 5}], ids=["to the end", "stopped early"])
def test_the_last_weights_are_kept_where_no_score_is_to_choose(
    data: dict[str, Any], tmp_path: Path, technique: dict[str, Any]
) -> None:
    seen = LastWeights()

    run = trained(tmp_path, base=data, overrides={**technique, **LAST}, callbacks=[seen])

    last = max(scores_of(run))
    assert run.result.best_step == last
    assert run.result.weights == run.path / "files" / "checkpoints" / f"step-{last}"
    kept = load_file(run.result.weights / "model.safetensors")
    assert kept.keys() == seen.weights.keys()
    assert all(equal(kept[name], seen.weights[name]) for name in kept)
    assert not (run.path / "training").exists()


def test_a_run_that_keeps_its_last_weights_claims_no_choice(data: dict[str, Any], tmp_path: Path) -> None:
    plan = make_plan(with_overrides(data, LAST))
    run = trained(tmp_path, base=data, overrides=LAST)

    record = record_of(run)
    outcome = Outcome(plan.runs[0], "finished", record)

    assert record.summary["judged_by"] == "eval/pearson"
    assert record.summary["best_step"] == 40
    assert not any(name == "chosen_by" or name.startswith("best/") for name in record.summary)
    assert outcome.chosen_by is None
    assert outcome.scores == {"eval/pearson": record.summary["final/eval/pearson"]}
    assert str(outcome) == f"run: finished, last eval/pearson {record.summary['final/eval/pearson']:.4f} at update 40"
    assert chosen_scores_table([outcome]).caption == "the last of a run"
    assert next(iter(compare([record]).metrics)) == "eval/pearson"


def test_a_training_killed_at_its_very_end_still_keeps_its_last_weights(data: dict[str, Any], tmp_path: Path) -> None:
    """Its last checkpoint is that of the last update, so that there is nothing left to train or score."""
    last = {**LAST, "training.epochs": 1, "checkpoints.keep": "all"}
    whole = trained(tmp_path, base=data, overrides=last)
    checkpoint = whole.path / "training" / "checkpoint-5"
    assert whole.result.weights is not None
    kept = (whole.result.weights / "model.safetensors").read_bytes()

    resumed = trained(tmp_path, base=data, overrides=last, resume_from=checkpoint)

    assert resumed.evidence.losses == []
    assert resumed.result.weights == whole.result.weights
    assert (resumed.result.weights / "model.safetensors").read_bytes() == kept
    assert resumed.result.final == whole.result.final
