"""Averaged weights are the mean they claim to be, are scored beside the plain ones, and leave training as it is."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_kit import Trained, events_of, trained, write_counting_data
from safetensors.torch import load_file
from study_kit import TINY
from torch.optim.lr_scheduler import LambdaLR
from transformers import BertConfig, BertForMaskedLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.techniques import Ema, Swa
from trackbridge.finetune.config import parse_config
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.techniques.averaging import WeightAveraging

Weights = dict[str, torch.Tensor]

SWA: dict[str, Any] = {"averaging": {"kind": "swa", "start": 0.5, "every": 2}}
EMA: dict[str, Any] = {"averaging": {"kind": "ema", "decay": 0.8}}
ACCUMULATED = {"training.gradient_accumulation": 2, "training.batch_size": 4}


class Observer(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """The weights after every update, and those that each evaluation scored, as plain or as averaged."""

    def __init__(self) -> None:
        self.after: dict[int, Weights] = {}
        self.scored: dict[tuple[int, str], Weights] = {}
        self.averages_saved: list[bool] = []

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: torch.nn.Module, **others: Any) -> None:
        self.after[state.global_step] = copied(model)

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        *,
        model: torch.nn.Module,
        metrics: Mapping[str, float],
        **others: Any,
    ) -> None:
        kind = "plain" if "eval_plain_loss" in metrics else "averaged"
        self.scored[state.global_step, kind] = copied(model)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.averages_saved.append((checkpoint / "averaging.safetensors").is_file())


def copied(model: torch.nn.Module) -> Weights:
    return {name: weights.detach().clone() for name, weights in model.named_parameters()}


def mean_of(snapshots: list[Weights]) -> Weights:
    """The mean in float64, rounded once."""
    return {name: torch.stack([s[name].double() for s in snapshots]).mean(dim=0).float() for name in snapshots[0]}


def same(one: Weights, other: Weights) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("overrides", [SWA, {**SWA, **ACCUMULATED}], ids=["batches", "accumulated"])
def test_swa_is_bitwise_the_mean_of_the_weights_after_every_second_update_from_the_start_on(
    tmp_path: Path, overrides: dict[str, Any]
) -> None:
    seen = Observer()

    trained(tmp_path, overrides=overrides, callbacks=[seen])

    # 26 updates: the second half begins with the 14th
    assert {step for step, _ in seen.scored} == {5, 10, 15, 20, 25, 26}
    for step in (15, 20, 25, 26):
        snapshots = [seen.after[taken] for taken in range(15, step + 1, 2)]
        assert same(seen.scored[step, "averaged"], mean_of(snapshots))
        assert same(seen.scored[step, "plain"], seen.after[step])


def test_ema_follows_its_recursion_with_its_beginning_corrected(tmp_path: Path) -> None:
    seen, decay = Observer(), 0.8

    trained(tmp_path, overrides=EMA, callbacks=[seen])

    average = {name: torch.zeros_like(weights, dtype=torch.float64) for name, weights in seen.after[1].items()}
    for step in range(1, 27):
        average = {name: decay * old + (1 - decay) * seen.after[step][name].double() for name, old in average.items()}
        if (step, "averaged") in seen.scored:
            expected = {name: (value / (1 - decay**step)).float() for name, value in average.items()}
            # one unit in the last place of float32
            torch.testing.assert_close(seen.scored[step, "averaged"], expected, rtol=1.2e-7, atol=0)


def test_training_with_ema_is_bitwise_the_plain_training(plain: Trained, tmp_path: Path) -> None:
    assert trained(tmp_path, overrides=EMA).evidence == plain.evidence
    assert trained(tmp_path, overrides={**EMA, "evaluation.every": 1}).evidence == plain.evidence


def test_swa_at_the_rate_training_has_anyway_is_bitwise_the_plain_training(tmp_path: Path) -> None:
    constant = {"training.schedule": "constant", "training.warmup": 0}
    rate = {"averaging.learning_rate": TINY["training"]["learning_rate"]}

    with_swa = trained(tmp_path, overrides={**SWA, **constant, **rate}).evidence

    assert with_swa == trained(tmp_path, overrides=constant).evidence


def rates_of(run: Trained) -> dict[int, float]:
    points = events_of(run.path, "metrics_logged")
    return {p["step"]: p["metrics"]["train/learning_rate"] for p in points if "train/learning_rate" in p["metrics"]}


def test_from_its_start_on_swa_learns_at_half_the_rate_and_before_as_the_plain_training(
    plain: Trained, tmp_path: Path
) -> None:
    rates, plain_rates = rates_of(trained(tmp_path, overrides=SWA)), rates_of(plain)

    assert [rates[step] for step in range(1, 14)] == [plain_rates[step] for step in range(1, 14)]
    assert {rates[step] for step in range(14, 27)} == {0.001}
    assert plain_rates[26] < 0.0002


def test_each_group_of_parameters_keeps_its_proportion_of_the_constant_rate() -> None:
    top, bottom = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.AdamW([{"params": [top], "lr": 1.0}, {"params": [bottom], "lr": 0.5}])
    normal = LambdaLR(optimizer, lambda step: 1 - step / 4)
    averaging = WeightAveraging(Swa(start=0.5, learning_rate=0.3), full_rate=1.0, resume_from=None)

    schedule, rates = averaging.schedule(normal, 4), []
    for _ in range(4):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()

    assert rates == [[1.0, 0.5], [0.75, 0.375], [0.3, 0.15], [0.3, 0.15]]


def points_of(run_folder: Path, name: str) -> dict[int, float]:
    return {e["step"]: e["metrics"][name] for e in events_of(run_folder, "metrics_logged") if name in e["metrics"]}


def test_both_models_are_scored_at_every_evaluation_and_are_one_until_averaging_begins(tmp_path: Path) -> None:
    run = trained(tmp_path, overrides=SWA)

    # the first snapshot, of update 15, is its own mean
    averaged, alone = points_of(run.path, "eval/loss"), points_of(run.path, "eval_plain/loss")
    assert averaged.keys() == alone.keys() == {5, 10, 15, 20, 25, 26}
    assert [averaged[step] == alone[step] for step in averaged] == [True, True, True, False, False, False]
    assert set(run.result.final) >= {"eval/mcc", "eval/loss", "eval_plain/mcc", "eval_plain/loss"}


def test_with_several_eval_sets_each_is_scored_by_both(plain: Trained, tmp_path: Path) -> None:
    sets = {"data.eval": {"dev": 40, "test": 30}, "evaluation.every": 13}

    run = trained(tmp_path, overrides={**EMA, **sets})

    assert run.evidence == plain.evidence
    for name in ("dev", "test"):
        averaged, alone = points_of(run.path, f"eval_{name}/loss"), points_of(run.path, f"eval_plain_{name}/loss")
        assert averaged.keys() == alone.keys() == {13, 26}
        assert all(averaged[step] != alone[step] for step in averaged)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_counting_data(tmp_path_factory.mktemp("data"))


def test_the_best_weights_are_chosen_by_the_averaged_models_score_and_are_its_own(
    data: dict[str, Any], tmp_path: Path
) -> None:
    seen = Observer()

    run = trained(tmp_path, base=data, overrides=EMA, callbacks=[seen])

    scores, alone = points_of(run.path, "eval/pearson"), points_of(run.path, "eval_plain/pearson")
    step = run.result.best_step
    assert step == max(scores, key=scores.__getitem__) != max(alone, key=alone.__getitem__)
    assert run.result.best["eval/pearson"] == scores[step]
    assert run.result.best["eval_plain/pearson"] == alone[step]
    assert run.result.weights is not None
    kept = load_file(run.result.weights / "model.safetensors")
    assert same(kept, seen.scored[step, "averaged"])
    assert not same(kept, seen.after[step])


def test_the_last_weights_of_a_training_with_averaging_are_the_average(tmp_path: Path) -> None:
    seen = Observer()

    run = trained(tmp_path, overrides={**EMA, "evaluation.select": "last"}, callbacks=[seen])

    assert run.result.weights is not None
    assert same(load_file(run.result.weights / "model.safetensors"), seen.scored[26, "averaged"])


def test_a_checkpoint_has_its_average_before_anybody_is_told_of_it(tmp_path: Path) -> None:
    seen = Observer()

    trained(tmp_path, overrides={**SWA, "checkpoints.every": 7}, callbacks=[seen])

    # of the updates 7, 14, 21 and 26, where the first snapshot is that of 15
    assert seen.averages_saved == [False, False, True, True]


@dataclass
class Whole:
    """A training of 40 updates that kept the checkpoint of each, and what it was told."""

    run: Trained
    overrides: dict[str, Any]


@pytest.fixture(scope="module", params=[SWA, EMA], ids=["swa", "ema"])
def whole(request: pytest.FixtureRequest, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    overrides = {**request.param, "checkpoints.every": 1, "checkpoints.keep": "all"}
    return Whole(trained(tmp_path_factory.mktemp("whole"), base=data, overrides=overrides), overrides)


@pytest.mark.parametrize("step", [4, 21, 22, 31], ids=lambda step: f"update-{step}")
def test_a_resumed_training_ends_with_bitwise_the_same_weights_average_scores_and_best(
    whole: Whole, data: dict[str, Any], tmp_path: Path, step: int
) -> None:
    """Before SWA begins, after its first update, at its first snapshot, and between two."""
    run, folder = whole.run, tmp_path / "tests" / whole.run.path.name
    later = [f"checkpoint-{number}" for number in range(step + 1, 41)]
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns(*later))

    checkpoint = folder / "training" / f"checkpoint-{step}"
    resumed = trained(tmp_path, base=data, overrides=whole.overrides, resume_from=checkpoint)

    assert resumed.evidence.losses == run.evidence.losses[step:]
    assert resumed.evidence.final_weights == run.evidence.final_weights
    assert (resumed.result.final, resumed.result.best) == (run.result.final, run.result.best)
    assert resumed.result.best_step == run.result.best_step
    for file in ("averaging.safetensors", "model.safetensors"):
        end = f"training/checkpoint-40/{file}"
        assert same(load_file(folder / end), load_file(run.path / end))


def test_frozen_weights_stay_the_models_own_and_tied_weights_stay_one() -> None:
    model = BertForMaskedLM(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    frozen = model.bert.embeddings.position_embeddings.weight.requires_grad_(False)
    tied, decoder = model.bert.embeddings.word_embeddings.weight, model.get_output_embeddings()
    averaging = WeightAveraging(Ema(kind="ema", decay=0.5), full_rate=1.0, resume_from=None)
    where = (TrainingArguments(use_cpu=True), TrainerState(max_steps=2), TrainerControl())
    averaging.on_train_begin(*where, model=model)
    before = tied.detach().clone()
    for step in (1, 2):
        where[1].global_step = step
        with torch.no_grad():
            tied += 1
            frozen += 1
        averaging.on_step_end(*where, model=model)
    own = copied(model)

    with averaging.lent_to(model):
        assert decoder.weight is tied
        # (1 * (w + 1) + 2 * (w + 2)) / 3
        torch.testing.assert_close(tied.detach(), before + 5 / 3)
        assert torch.equal(frozen, own["bert.embeddings.position_embeddings.weight"])

    assert same(copied(model), own)


def test_weights_come_back_when_scoring_fails() -> None:
    model = torch.nn.Linear(2, 2)
    averaging = WeightAveraging(Ema(kind="ema"), full_rate=1.0, resume_from=None)
    where = (TrainingArguments(use_cpu=True), TrainerState(max_steps=1, global_step=1), TrainerControl())
    averaging.on_train_begin(*where, model=model)
    averaging.on_step_end(*where, model=model)
    with torch.no_grad():
        model.weight.fill_(math.pi)

    with pytest.raises(ZeroDivisionError), averaging.lent_to(model):
        _ = 1 / 0

    assert torch.equal(model.weight, torch.full((2, 2), math.pi))


def test_a_second_training_begins_an_average_of_its_own() -> None:
    model = torch.nn.Linear(2, 2)
    averaging = WeightAveraging(Swa(start=0.5), full_rate=1.0, resume_from=None)
    for _ in range(2):
        where = (TrainingArguments(use_cpu=True), TrainerState(max_steps=2), TrainerControl())
        averaging.on_train_begin(*where, model=model)
        assert not averaging.has_begun

        where[1].global_step = 2
        averaging.on_step_end(*where, model=model)
        own = copied(model)
        with averaging.lent_to(model):
            assert same(copied(model), own)
        with torch.no_grad():
            model.weight += 1


def test_an_average_of_nothing_is_refused_with_what_would_give_one(tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=r"of 26 updates 3 come after start 0\.9, fewer than every 5"):
        trained(tmp_path, overrides={"averaging": {"start": 0.9, "every": 5}})


@pytest.mark.parametrize("name", ["plain", "plain_dev"])
def test_an_eval_set_cannot_take_the_plain_models_name(name: str) -> None:
    sets = {"data.eval": {name: 10, "dev": 10}}

    with pytest.raises(PipelineConfigError, match=f"data.eval has a set '{name}', and with averaging eval_plain"):
        parse_config(with_overrides(TINY, {**EMA, **sets}))
    parse_config(with_overrides(TINY, sets))


def test_the_average_of_a_diverged_training_is_no_number_and_its_scores_say_so(tmp_path: Path) -> None:
    diverged = {"training.learning_rate": 1e30, "training.max_gradient_norm": 0, "training.warmup": 0}

    run = trained(tmp_path, overrides={**EMA, **diverged, "evaluation.every": 13})

    assert math.isnan(run.result.final["eval/loss"])
