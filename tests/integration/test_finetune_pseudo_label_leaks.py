"""No pseudo-label comes from an example that the student is scored with: not its text, not its label, not its score."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_kit import trained
from pseudo_label_kit import CATS, CONFIG, FOLD, LABELS, POOL, Taught, cat_texts, endings, labelled, taught, texts_of

from trackbridge.finetune.blocks.data import Folds
from trackbridge.finetune.config import parse_config
from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.normalising import normalised
from trackbridge.finetune.origins import origin_of
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.techniques.folds import fold_of
from trackbridge.finetune.techniques.pseudo_labels import confident, pool_of
from trackbridge.finetune.techniques.teacher import probabilities_of
from trackbridge.store.store import open_store


def with_flipped_labels(corpus: Corpus, name: str) -> Corpus:
    """Every label of an eval set turned into the other."""
    examples = corpus.evals[name]
    flipped = [{"yes": "no", "no": "yes"}[label] for label in examples.labels]
    return replace(corpus, evals={**corpus.evals, name: replace(examples, labels=flipped)})


def with_other_texts(corpus: Corpus, name: str) -> Corpus:
    """An eval set of as many other texts."""
    return replace(corpus, evals={**corpus.evals, name: labelled(cat_texts(40, seed=9), noise_seed=9)})


# so that the score on the held-out fold decides when a training ends, and which of its weights are kept
EASILY_LED = with_overrides(CONFIG, {"evaluation.every": 4, "early_stopping": {"patience": 10}})


@pytest.fixture(scope="module")
def easily_led(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    return taught(tmp_path_factory.mktemp("led"), EASILY_LED)


@pytest.mark.parametrize("name", ["fold", "dev"])
@pytest.mark.parametrize("change", [with_flipped_labels, with_other_texts])
def test_no_validation_example_has_any_influence_on_a_teacher_or_on_its_labels(
    easily_led: Taught, tmp_path: Path, change: Any, name: str
) -> None:
    other = taught(tmp_path, EASILY_LED, change(FOLD, name))

    assert other.teacher.sha256 == easily_led.teacher.sha256
    assert other.labels == easily_led.labels
    assert len(other.labels) > 20


def test_a_teacher_chosen_by_the_fold_would_be_seen_to_be_influenced(tmp_path: Path) -> None:
    """The negative control: such a teacher as the one before, but for where its weights are taken from."""
    plain = with_overrides(EASILY_LED, {"pseudo_labels": None})

    def digests(corpus: Corpus) -> str | None:
        run = trained(tmp_path, base=plain, corpus=corpus)
        origin = origin_of(open_store(tmp_path).run(run.path.name))
        return origin.sha256 if origin else None

    assert digests(FOLD) != digests(with_flipped_labels(FOLD, "fold"))


def mangled_copies(texts: Iterable[str]) -> list[str]:
    """Each text as it is, in capitals, and with other spaces around and in it."""
    return [copy for text in texts for copy in (text, text.upper(), f"  {text.replace(' ', chr(0xA0))}\t")]


def leaked(lines: Iterable[dict[str, Any]], held_out: Examples) -> list[str]:
    """The detector: pseudo-labelled texts that the student is scored with."""
    scored_with = set(map(normalised, held_out.texts))
    return [line["text"] for line in lines if normalised(line["text"]) in scored_with]


def test_the_detector_sees_a_leak_where_texts_are_compared_with_nothing(easily_led: Taught, tmp_path: Path) -> None:
    """The negative control: the same teacher and pool, and no eval set that a text could be equal to."""
    blind = pool_of(texts_of(mangled_copies(FOLD.evals["fold"].texts)), replace(FOLD, evals={}))
    probabilities = probabilities_of(blind.texts, easily_led.teacher.weights, LABELS, parse_config(CONFIG), tmp_path)

    labels = [{"text": one.text} for one in confident(blind.texts, probabilities, LABELS, 0.8)]

    assert len(leaked(labels, FOLD.evals["fold"])) > 10


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Three folds, two rates each, and a pool that holds every labelled text of all folds in three spellings."""
    folder = tmp_path_factory.mktemp("study")
    for name, examples in (("train", CATS.train), ("dev", CATS.evals["dev"])):
        rows = [f"{text}\t{label}" for text, label in zip(examples.texts, examples.labels, strict=True)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    known = mangled_copies([*CATS.train.texts, *CATS.evals["dev"].texts])
    (folder / "pool.txt").write_text("\n".join([*known, *POOL]), encoding="utf-8")
    variants = [
        {"name": f"rate {rate} fold {index}", "set": {"folds.index": index, "pseudo_labels.rate": rate}}
        for rate in (0.25, 1.0)
        for index in range(3)
    ]
    config = {
        **CONFIG,
        "name": "cats",
        "data": {"folder": str(folder), "train": "train.tsv", "eval": {"dev": "dev.tsv"}},
        "pseudo_labels": {"text": {"folder": str(folder), "files": ["pool.txt"]}, "threshold": 0.8},
        "variants": variants,
    }
    assert endings(folder / "root", config) == ["finished"] * 6
    return config, folder / "root"


def test_in_every_fold_teacher_and_student_know_nothing_of_what_is_held_out(
    study: tuple[dict[str, Any], Path],
) -> None:
    store = open_store(study[1])
    runs = store.runs(group="cats")
    assert {run.config["pipeline"]["folds"]["index"] for run in runs} == {0, 1, 2}
    for run in runs:
        index = run.config["pipeline"]["folds"]["index"]
        fold = fold_of(CATS, Folds(count=3, index=index))
        teacher = store.run(run.config["lineage"]["labels"]["run_id"])
        file = Path(run.path) / "files" / "pseudo-labels.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

        assert teacher.config["pipeline"]["folds"]["index"] == index
        assert teacher.config["pipeline"]["evaluation"]["select"] == "last"
        assert "pseudo_labels" not in teacher.config["pipeline"]
        assert run.summary["pseudo_labels/equal_to_evaluated"] == 3 * (len(fold.evals["fold"]) + len(CATS.evals["dev"]))
        assert run.summary["pseudo_labels/equal_to_trained_on"] == 3 * len(fold.train)
        assert run.summary["pseudo_labels/pool"] == len(POOL)
        assert any(line["used"] for line in lines)
        assert leaked(lines, fold.evals["fold"]) == leaked(lines, fold.evals["dev"]) == []


def test_a_fold_has_one_teacher_for_all_rates_and_no_training_is_done_twice(
    study: tuple[dict[str, Any], Path],
) -> None:
    config, root = study
    store = open_store(root)

    teachers = store.runs(group="cats stages")
    by_fold = {run.config["pipeline"]["folds"]["index"]: run.run_id for run in teachers}
    assert len(teachers) == len(by_fold) == 3
    assert endings(root, config) == ["found finished"] * 6
    assert len(open_store(root).runs()) == 9


def test_the_smaller_rate_trains_on_a_part_of_what_the_larger_one_does(study: tuple[dict[str, Any], Path]) -> None:
    used: dict[tuple[int, float], set[str]] = {}
    for run in open_store(study[1]).runs(group="cats"):
        pipeline = run.config["pipeline"]
        lines = (Path(run.path) / "files" / "pseudo-labels.jsonl").read_text(encoding="utf-8").splitlines()
        texts = {line["text"] for line in map(json.loads, lines) if line["used"]}
        used[pipeline["folds"]["index"], pipeline["pseudo_labels"]["rate"]] = texts

    for index in range(3):
        assert used[index, 0.25] < used[index, 1.0]
        assert len(used[index, 0.25]) == pytest.approx(len(used[index, 1.0]) / 4, abs=1)
