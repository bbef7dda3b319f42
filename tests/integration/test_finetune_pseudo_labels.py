"""A student learns what its teacher is sure of, as hard or as soft labels, and the run records what and why."""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetune_kit import events_of, trained
from pseudo_label_kit import CATS, CONFIG, FOLD, LABELS, POOL, Taught, endings, taught, taught_by, texts_of
from transformers import AutoTokenizer, TrainerCallback

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.stages import PseudoLabels
from trackbridge.finetune.config import parse_config
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.model import load_classifier
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.techniques.pseudo_labels import PseudoLabel, confident, drawn, pool_of
from trackbridge.finetune.techniques.teacher import probabilities_of
from trackbridge.finetune.trainer import PipelineTrainer, training_arguments
from trackbridge.run.seeds import Seeds
from trackbridge.store.store import open_store


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    return taught(tmp_path_factory.mktemp("reference"))


# The pool


def test_no_text_of_an_eval_set_or_of_the_training_set_is_in_the_pool_in_any_spelling() -> None:
    held_out, dev, learned = FOLD.evals["fold"].texts, FOLD.evals["dev"].texts, FOLD.train.texts
    mangled = [held_out[0], held_out[1].upper(), f" {dev[0]}  ", dev[1].replace(" ", "\u00a0\t"), learned[0].title()]

    pool = pool_of(texts_of(["new", *mangled, "NEW ", "another"]), FOLD)

    assert pool.texts == ["new", "another"]
    assert (pool.evaluated, pool.trained_on, pool.repeated) == (4, 1, 1)


def test_a_text_that_is_both_trained_on_and_evaluated_counts_as_evaluated() -> None:
    both = replace(FOLD, evals={**FOLD.evals, "copy": FOLD.train})

    pool = pool_of(texts_of([FOLD.train.texts[0]]), both)

    assert (pool.evaluated, pool.trained_on) == (1, 0)


# What is kept of it, and drawn


def guesses(*, no: int, yes: int) -> list[PseudoLabel]:
    """The surer, the later, from .9 up."""
    names = ["no"] * no + ["yes"] * yes
    random.Random(0).shuffle(names)
    return [PseudoLabel(f"text {number}", name, 0.9 + number / 1000, [0.5, 0.5]) for number, name in enumerate(names)]


def test_what_a_teacher_is_at_least_as_sure_of_as_the_threshold_is_kept_with_its_choice() -> None:
    probabilities = np.array([[0.9, 0.1], [0.25, 0.75], [0.4, 0.6], [0.125, 0.875]])

    sure = confident(["a", "b", "c", "d"], probabilities, LABELS, 0.75)

    assert [(one.text, one.label, one.confidence) for one in sure] == [
        ("a", "no", 0.9), ("b", "yes", 0.75), ("d", "yes", 0.875),
    ]  # fmt: skip
    assert sure[1].probabilities == [0.25, 0.75]


@pytest.mark.parametrize("balance", [False, True])
def test_a_larger_rate_adds_to_what_a_smaller_one_drew(balance: bool) -> None:
    sure = guesses(no=60, yes=20)
    settings = PseudoLabels.model_validate({"text": {"builtin": "acceptability"}, "balance": balance})

    draws = [
        {one.text for one in drawn(sure, LABELS, settings.model_copy(update={"rate": rate}), data_seed=1)}
        for rate in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]

    assert all(smaller < larger for smaller, larger in pairwise(draws))
    assert list(map(len, draws)) == ([0, 10, 20, 30, 40] if balance else [0, 20, 40, 60, 80])


def settings_with(**keys: Any) -> PseudoLabels:
    return PseudoLabels.model_validate({"text": {"builtin": "acceptability"}, **keys})


def test_a_draw_has_the_share_of_each_class_and_is_another_for_another_data_seed() -> None:
    sure = guesses(no=60, yes=20)

    one, other = (drawn(sure, LABELS, settings_with(rate=0.5), data_seed=seed) for seed in (1, 2))

    assert Counter(guess.label for guess in one) == Counter(guess.label for guess in other) == {"no": 30, "yes": 10}
    assert one != other
    assert one == sorted(one, key=sure.index)


def test_balanced_there_are_as_many_of_each_class_as_of_the_rarest_and_the_surest_of_them() -> None:
    sure = guesses(no=60, yes=20)

    balanced = drawn(sure, LABELS, settings_with(balance=True), data_seed=1)

    assert Counter(one.label for one in balanced) == {"no": 20, "yes": 20}
    left_out = [one.confidence for one in sure if one not in balanced]
    assert min(one.confidence for one in balanced if one.label == "no") > max(left_out)


def test_balanced_with_a_class_the_teacher_is_never_sure_of_leaves_nothing() -> None:
    assert drawn(guesses(no=5, yes=0), LABELS, settings_with(balance=True), data_seed=1) == []
    assert len(drawn(guesses(no=5, yes=0), LABELS, settings_with(), data_seed=1)) == 5


# The teacher


def test_a_teacher_says_what_its_weights_say_without_dropout_and_the_same_each_time(
    reference: Taught, tmp_path: Path
) -> None:
    config = parse_config(CONFIG)
    model = load_classifier(reference.teacher.weights).eval()
    assert model.config.hidden_dropout_prob > 0
    tokenizer = AutoTokenizer.from_pretrained(reference.teacher.weights)
    pool = [*POOL, "cat", "a " * 30]
    alone = [model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].tolist() for text in pool]

    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = probabilities_of(pool, reference.teacher.weights, LABELS, config, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = probabilities_of(pool, reference.teacher.weights, LABELS, config, tmp_path)

    assert one.tolist() == again.tolist()
    assert one == pytest.approx(np.array(alone), abs=1e-5)
    assert one.sum(axis=1) == pytest.approx(np.ones(len(pool)))


def test_a_teacher_of_other_labels_is_refused(reference: Taught, tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match=r"knows the labels \('no', 'yes'\), and the training set has"):
        probabilities_of(["a"], reference.teacher.weights, Labels(("0", "1")), parse_config(CONFIG), tmp_path)


# The student


def test_the_student_trains_on_every_labelled_and_every_pseudo_labelled_example(reference: Taught) -> None:
    used = [line for line in reference.labels if line["used"]]
    examples = len(FOLD.train) + len(used)

    assert len(used) > 20
    assert len(reference.student.evidence.batches) == 6 * -(-examples // 8)


def test_the_run_records_each_pseudo_label_and_the_counts(reference: Taught) -> None:
    labels, summary = reference.labels, reference.summary
    (artifact,) = events_of(reference.student.path, "artifact_logged")
    data = next(e["config"] for e in events_of(reference.student.path, "config_logged") if e["scope"] == "data")

    assert artifact["type"] == "pseudo-labels"
    assert all(set(line) == {"text", "label", "confidence", "used"} for line in labels)
    assert {line["text"] for line in labels} <= set(POOL)
    assert min(line["confidence"] for line in labels) >= 0.8
    of_label = Counter(line["label"] for line in labels)
    assert summary["pseudo_labels/pool"] == len(POOL)
    assert summary["pseudo_labels/over_threshold"] == summary["pseudo_labels/used"] == len(labels)
    assert {name: summary[f"pseudo_labels/used/{name}"] for name in of_label} == of_label
    assert data["unlabelled"] == {"path": "pool.txt", "sha256": "b" * 64, "texts": len(POOL)}


def test_most_labels_the_teacher_is_sure_of_are_right(reference: Taught) -> None:
    right = [(line["label"] == "yes") == ("cat" in line["text"]) for line in reference.labels]

    assert sum(right) / len(right) > 0.8


def test_a_student_that_draws_nothing_is_bitwise_the_training_without_pseudo_labels(
    reference: Taught, tmp_path: Path
) -> None:
    plain = trained(tmp_path, base=CONFIG, overrides={"pseudo_labels": None}, corpus=FOLD)
    none_drawn = with_overrides(CONFIG, {"pseudo_labels.rate": 0})

    student = taught_by(reference.teacher, tmp_path, none_drawn, FOLD, POOL)

    assert student.student.evidence == plain.evidence
    assert student.summary["pseudo_labels/used"] == 0
    assert student.summary["pseudo_labels/over_threshold"] == len(reference.labels)
    assert reference.student.evidence.initial_weights == plain.evidence.initial_weights
    assert reference.student.evidence.final_weights != plain.evidence.final_weights


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_teacher_sure_of_nothing_is_told_once_and_the_labelled_examples_train(
    reference: Taught, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    too_much = with_overrides(CONFIG, {"pseudo_labels.threshold": 1.0, "pseudo_labels.labels": kind})

    with caplog.at_level(logging.WARNING, logger="trackbridge"):
        student = taught_by(reference.teacher, tmp_path, too_much, FOLD, POOL)

    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "of 80 unlabelled texts none became a pseudo-label (0 reach the threshold of 1):"
        " it trains on the labelled examples alone"
    ]
    assert student.summary["pseudo_labels/used"] == 0
    assert len(student.student.evidence.batches) == 6 * len(FOLD.train) // 8


def test_a_pool_of_nothing_but_known_texts_trains_the_labelled_examples(reference: Taught, tmp_path: Path) -> None:
    student = taught_by(reference.teacher, tmp_path, CONFIG, FOLD, CATS.train.texts)

    assert student.summary["pseudo_labels/pool"] == 0
    assert student.summary["pseudo_labels/equal_to_evaluated"] == len(FOLD.evals["fold"])
    assert student.summary["pseudo_labels/equal_to_trained_on"] == len(FOLD.train)
    assert student.student.result.weights is not None


class PowerCut(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends a training with an exception after an update."""

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == 21:
            raise RuntimeError("the lights went out")


def test_a_student_goes_on_after_a_crash_to_bitwise_the_same_weights(reference: Taught, tmp_path: Path) -> None:
    often = with_overrides(CONFIG, {"checkpoints.every": 8})
    given: dict[str, Any] = {
        "corpus": replace(FOLD, unlabelled=texts_of(POOL)),
        "origins": {"labels": reference.teacher},
    }
    with pytest.raises(RuntimeError, match="the lights went out"):
        trained(tmp_path, base=often, callbacks=[PowerCut()], **given)
    (crashed,) = (tmp_path / "tests").iterdir()

    checkpoint = crashed / "training" / "checkpoint-16"
    resumed = trained(tmp_path, base=often, resume_from=checkpoint, **given)

    assert resumed.evidence.final_weights == reference.student.evidence.final_weights
    assert resumed.evidence.losses == reference.student.evidence.losses[16:]


# Soft labels


@pytest.fixture(scope="module")
def trainer(reference: Taught, tmp_path_factory: pytest.TempPathFactory) -> PipelineTrainer:
    arguments = training_arguments(parse_config(CONFIG), tmp_path_factory.mktemp("soft"), Seeds(all=1))
    return PipelineTrainer(
        model=load_classifier(reference.teacher.weights).eval(), args=arguments, eval_dataset=[{"input_ids": [2, 3]}]
    )


def test_the_loss_of_soft_labels_is_their_cross_entropy(trainer: PipelineTrainer) -> None:
    inputs = {"input_ids": torch.tensor([[2, 7, 8, 3], [2, 9, 5, 3]]), "labels": torch.tensor([[0.3, 0.7], [0.9, 0.1]])}
    log_probabilities = trainer.model(inputs["input_ids"]).logits.log_softmax(-1)

    loss, outputs = trainer.compute_loss(trainer.model, inputs, return_outputs=True)

    assert loss.item() == pytest.approx(-(inputs["labels"] * log_probabilities).sum(-1).mean().item(), rel=1e-6)
    assert outputs["logits"].shape == (2, 2)


def test_soft_labels_that_are_certain_have_the_loss_of_hard_ones(trainer: PipelineTrainer) -> None:
    tokens = {"input_ids": torch.tensor([[2, 7, 8, 3], [2, 9, 5, 3]])}
    examples = replace(FOLD.train.part([0, 1], "two"), labels=["yes", "no"])

    hard = trainer.compute_loss(trainer.model, {**tokens, "labels": torch.tensor(LABELS.numbers(examples))})
    soft = trainer.compute_loss(trainer.model, {**tokens, "labels": torch.tensor(LABELS.certain(examples))})

    assert soft.item() == pytest.approx(hard.item(), rel=1e-6)


def test_a_student_of_soft_labels_is_nearer_to_its_teachers_doubts(reference: Taught, tmp_path: Path) -> None:
    config = with_overrides(CONFIG, {"pseudo_labels.threshold": 0.5, "evaluation.select": "last"})

    def distance(labels: str) -> float:
        told = with_overrides(config, {"pseudo_labels.labels": labels})
        weights = taught_by(reference.teacher, tmp_path, told, FOLD, POOL).student.result.weights
        assert weights is not None
        learned = probabilities_of(POOL, weights, LABELS, parse_config(CONFIG), tmp_path)
        return float(abs(learned - doubts).mean())

    doubts = probabilities_of(POOL, reference.teacher.weights, LABELS, parse_config(CONFIG), tmp_path)
    assert distance("soft") < distance("hard") / 2


def test_accumulated_updates_of_soft_labels_have_the_loss_and_gradient_of_one_batch(
    reference: Taught, tmp_path: Path
) -> None:
    soft = with_overrides(
        CONFIG,
        {
            "pseudo_labels.labels": "soft",
            "model.dropout": 0.0,
            "training.epochs": None,
            "training.max_steps": 1,
            "training.log_every": 1,
            "training.warmup": 0,
        },
    )

    def first_update(**overrides: int) -> tuple[float, float]:
        config = with_overrides(soft, {f"training.{name}": value for name, value in overrides.items()})
        run = taught_by(reference.teacher, tmp_path, config, FOLD, POOL).student
        points = [event["metrics"] for event in events_of(run.path, "metrics_logged")]
        point = next(one for one in points if "train/grad_norm" in one)
        return point["train/loss"], point["train/grad_norm"]

    whole = first_update(batch_size=16)
    assert first_update(batch_size=4, gradient_accumulation=4) == pytest.approx(whole, rel=1e-4)


# Rounds


def test_in_the_second_round_the_student_of_the_first_is_the_teacher(tmp_path: Path) -> None:
    config = {**CONFIG, "name": "rounds", "data": {"builtin": "acceptability", "train": 100, "eval": {"dev": 20}}}
    text = {"builtin": "acceptability", "sentences": 40}
    config["pseudo_labels"] = {"text": text, "threshold": 0.5, "rounds": 2}

    assert endings(tmp_path, config) == ["finished"]

    store = open_store(tmp_path)
    (student,) = store.runs(group="rounds")
    second = store.run(student.config["lineage"]["labels"]["run_id"])
    first = store.run(second.config["lineage"]["labels"]["run_id"])
    assert [run.name for run in (second, first)] == ["teacher 2 of rounds", "teacher 1 of teacher 2 of rounds"]
    assert second.config["pipeline"]["pseudo_labels"]["rounds"] == 1
    assert second.summary["pseudo_labels/used"] == 40
    assert "lineage" not in first.config


# What is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"evaluation.metric": "pearson"}, "pseudo_labels needs classes"),
        (
            {"data": {"train": "t.tsv", "eval": {"dev": "d.tsv"}, "text_pair": "second"}},
            "pseudo_labels takes single texts, and data.text_pair asks for pairs",
        ),
    ],
)
def test_pseudo_labels_of_real_numbers_and_of_pairs_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineConfigError, match=message):
        parse_config(with_overrides(CONFIG, changed))


def test_a_training_without_the_texts_or_the_teacher_it_asks_for_says_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineConfigError, match="pseudo_labels: there are no texts to label: give the corpus"):
        trained(tmp_path, base=CONFIG, corpus=FOLD)
    with pytest.raises(PipelineConfigError, match=r"'teacher 1' stands for is to be done first, for its labels"):
        trained(tmp_path, base=CONFIG, corpus=replace(FOLD, unlabelled=texts_of(POOL)))
