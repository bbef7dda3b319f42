"""The three seeds are independent, and everything they decide repeats bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from finetune_kit import Evidence, Trained, trained
from transformers import TrainerCallback, TrainerControl, TrainerState

from trackbridge.finetune.seeding import DropoutSeed, random_state_kept
from trackbridge.run.seeds import Seeds


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return trained(tmp_path_factory.mktemp("reference")).evidence


def test_the_reference_trains_every_batch_of_two_epochs(reference: Evidence) -> None:
    assert len(reference.losses) == len(reference.gradient_norms) == 26
    assert len(set(reference.batches)) > 20
    assert reference.final_weights != reference.initial_weights


def test_equal_seeds_give_bitwise_equal_losses_and_weights(reference: Evidence, tmp_path: Path) -> None:
    assert trained(tmp_path).evidence == reference


def test_only_the_dropout_seed_changed_leaves_weights_and_batches_but_no_loss(
    reference: Evidence, tmp_path: Path
) -> None:
    other = trained(tmp_path, overrides={"seeds.dropout": 4}).evidence

    assert other.initial_weights == reference.initial_weights
    assert other.batches == reference.batches
    assert all(a != b for a, b in zip(other.losses, reference.losses, strict=True))
    assert other.final_weights != reference.final_weights


def test_without_dropout_its_seed_changes_nothing(tmp_path: Path) -> None:
    one = trained(tmp_path, overrides={"model.dropout": 0.0, "seeds.dropout": 3}).evidence
    other = trained(tmp_path, overrides={"model.dropout": 0.0, "seeds.dropout": 4}).evidence

    assert one == other


def test_only_the_data_seed_changed_leaves_the_initial_weights(reference: Evidence, tmp_path: Path) -> None:
    other = trained(tmp_path, overrides={"seeds.data": 9}).evidence

    assert other.initial_weights == reference.initial_weights
    assert other.batches != reference.batches


def test_only_the_init_seed_changed_leaves_the_batches(reference: Evidence, tmp_path: Path) -> None:
    other = trained(tmp_path, overrides={"seeds.init": 9}).evidence

    assert other.initial_weights != reference.initial_weights
    assert other.batches == reference.batches


def test_neighbouring_data_seeds_share_no_epoch(reference: Evidence, tmp_path: Path) -> None:
    """Unhashed, the second epoch of data seed 2 is the first of data seed 3: accelerate adds the epoch."""
    neighbour = trained(tmp_path, overrides={"seeds.data": 3}).evidence

    assert reference.batches[13:] != neighbour.batches[:13]


@pytest.mark.parametrize("every", [1, 1000])
def test_how_often_one_evaluates_changes_nothing_in_training(reference: Evidence, tmp_path: Path, every: int) -> None:
    """In a plain Trainer it does: each evaluation draws one number from the generator that dropout uses."""
    assert trained(tmp_path, overrides={"evaluation.every": every}).evidence == reference


def test_each_process_of_a_training_draws_dropout_masks_of_its_own() -> None:
    drawn = []
    with random_state_kept():
        for rank in (0, 0, 1):
            where = (SimpleNamespace(process_index=rank), TrainerState(global_step=4), TrainerControl())
            DropoutSeed(Seeds(dropout=3)).on_step_begin(*where)
            drawn.append(torch.rand(8))

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


class Gambler(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Draws from torch's generator between updates, as augmentations, samplers and careless callbacks do."""

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        torch.rand(state.global_step % 3)


def test_random_numbers_drawn_by_others_change_nothing_in_training(reference: Evidence, tmp_path: Path) -> None:
    assert trained(tmp_path, callbacks=[Gambler()]).evidence == reference


class RandomStates(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Torch's random state before and after the evaluation that stands between an update and the epoch's end."""

    def __init__(self) -> None:
        self.states: list[torch.Tensor] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.states.append(torch.get_rng_state())

    on_epoch_end = on_step_end


def test_an_evaluation_leaves_the_random_state_as_it_was(tmp_path: Path) -> None:
    seen = RandomStates()

    trained(tmp_path, overrides={"evaluation.every": 13, "training.epochs": 1}, callbacks=[seen])

    assert len(seen.states) == 14
    assert torch.equal(seen.states[-2], seen.states[-1])
    assert not torch.equal(seen.states[-3], seen.states[-2])


def test_several_eval_sets_change_nothing_in_training(reference: Evidence, tmp_path: Path) -> None:
    several = trained(tmp_path, overrides={"data.eval": {"dev": 40, "test": 30}})

    assert several.evidence == reference
    assert set(several.result.final) >= {"eval_dev/mcc", "eval_test/mcc", "eval_dev/loss"}


ACCUMULATED = {"training.gradient_accumulation": 2, "training.batch_size": 4}


@pytest.fixture(scope="module", params=["plain", "accumulated"])
def with_checkpoints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A whole training that kept a checkpoint of every update: 13 an epoch, accumulated or not."""
    overrides: dict[str, Any] = {"checkpoints.every": 1, "checkpoints.keep": "all"}
    if request.param == "accumulated":
        overrides |= ACCUMULATED
    return trained(tmp_path_factory.mktemp(request.param), overrides=overrides)


@pytest.mark.parametrize("step", [5, 12, 13, 14, 20], ids=lambda step: f"update-{step}")
def test_a_training_resumed_from_any_checkpoint_is_bitwise_the_uninterrupted_one(
    with_checkpoints: Trained, tmp_path: Path, step: int
) -> None:
    """In the middle of the first epoch, around its end, and in the middle of the second."""
    whole = with_checkpoints.evidence
    is_accumulated = len(whole.losses) > 26

    # a copy of the whole run, so that each resume finds it as it was
    copy = tmp_path / "tests" / with_checkpoints.path.name
    shutil.copytree(with_checkpoints.path, copy)
    resumed = trained(
        tmp_path,
        overrides=ACCUMULATED if is_accumulated else {},
        resume_from=copy / "training" / f"checkpoint-{step}",
    )

    # 25 batches of 4 an epoch: its last update has one of them instead of two
    batches_done = 2 * step - (step >= 13) if is_accumulated else step
    assert resumed.evidence.losses == whole.losses[batches_done:]
    assert resumed.evidence.final_weights == whole.final_weights
    assert resumed.evidence.gradient_norms == whole.gradient_norms[step:]
    assert resumed.path == copy
