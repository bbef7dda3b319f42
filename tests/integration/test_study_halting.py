"""A study that starts many runs, stops the worst early and continues the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from finetune_kit import write_learnable_data
from study_kit import studied

from trackbridge.comparison.comparison import compare
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

HALTING = {"at": 0.25, "stop": 0.5, "among": "variant"}


def study(folder: Path) -> dict[str, Any]:
    """Four seeds of a task that is learned, 52 updates each, scored every second one."""
    seeds = {"init": [1, 2, 3, 4], "data": 2, "dropout": 3}
    return {**with_overrides(write_learnable_data(folder), {"training.threads": 1}), "name": "many", "seeds": seeds}


@pytest.fixture(scope="module")
def halted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The root of a study that stopped half of its runs, its config, and what a person saw."""
    folder = tmp_path_factory.mktemp("halted")
    config = {**study(folder), "halting": HALTING}
    outcomes, seen = studied(make_plan(config), folder / "root")
    assert sorted(outcome.ending for outcome in outcomes) == ["finished", "finished", "paused", "paused"]
    return folder / "root", config, seen


def by_name(root: Path) -> dict[str, RunRecord]:
    return {run.name: run for run in open_store(root).runs()}


def best_until(run: RunRecord, step: int) -> float:
    curve = run.series("eval/mcc")
    return max(value for at, value in zip(curve.steps, curve.values, strict=True) if at <= step)


def test_the_worst_half_stops_at_a_quarter_and_the_rest_trains_to_its_end(halted: tuple[Path, Any, str]) -> None:
    runs = by_name(halted[0]).values()
    stopped = [run for run in runs if run.summary.get("halted_at")]
    whole = [run for run in runs if not run.summary.get("halted_at")]

    assert {run.summary["halted_at"] for run in stopped} == {13}
    assert {run.metrics["train/loss"].last_step for run in stopped} == {13}
    assert {run.metrics["train/loss"].last_step for run in whole} == {52}
    assert max(best_until(run, 13) for run in stopped) <= min(best_until(run, 13) for run in whole)
    assert {run.summary["halted_by"] for run in stopped} == {"the worst 50% of the variant stop at 25% of the updates"}
    assert "paused at update 13" in halted[2]
    # a run that goes on after its pause is no run more
    assert re.findall(r"^\[(\d)/4\]", halted[2], re.MULTILINE) == ["1", "2", "3", "4", "4", "4"]


def test_those_that_went_on_are_bitwise_the_runs_of_a_study_that_stops_none(
    halted: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    root, config, _ = halted
    studied(make_plan({key: value for key, value in config.items() if key != "halting"}), tmp_path)

    never_stopped = by_name(tmp_path)
    for name, run in by_name(root).items():
        losses = list(run.series("train/loss").values)
        assert losses
        assert losses == list(never_stopped[name].series("train/loss").values)[: len(losses)]


def test_the_same_command_again_trains_nothing(halted: tuple[Path, dict[str, Any], str]) -> None:
    root, config, _ = halted
    before = {run.run_id: len(run.sessions) for run in open_store(root).runs()}

    outcomes, _ = studied(make_plan(config), root)

    assert sorted(outcome.ending for outcome in outcomes) == [
        "found finished",
        "found finished",
        "found paused",
        "found paused",
    ]
    assert {run.run_id: len(run.sessions) for run in open_store(root).runs()} == before


def test_a_comparison_takes_a_stopped_run_for_no_short_one(halted: tuple[Path, Any, str]) -> None:
    comparison = compare(open_store(halted[0]).runs(), metrics=["eval/mcc"])

    (group,) = comparison.metrics["eval/mcc"].groups
    assert (group.n_runs, group.scores.n) == (4, 2)
    assert comparison.metrics["eval/mcc"].common.position == 52
    codes = {note.code: note.text for note in comparison.notes}
    assert "unequal_length" not in codes
    assert "were stopped early by a rule (the worst 50% of the variant stop at 25% of the updates)" in codes["halted"]


def test_without_a_score_by_then_no_run_is_stopped(tmp_path: Path) -> None:
    config = {**study(tmp_path), "halting": HALTING}

    outcomes, _ = studied(
        make_plan(with_overrides(config, {"evaluation.every": 20, "seeds.init": [1, 2]})), tmp_path / "root"
    )

    assert [outcome.ending for outcome in outcomes] == ["finished", "finished"]


def test_a_study_that_stops_fewer_takes_up_what_was_stopped(
    halted: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    root, config, _ = halted

    outcomes, seen = studied(make_plan(with_overrides(config, {"halting.stop": 0.25})), root)

    assert sorted(outcome.ending for outcome in outcomes) == [
        "finished",
        "found finished",
        "found finished",
        "found paused",
    ]
    assert "goes on from checkpoint-13" in seen
