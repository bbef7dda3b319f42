"""Each example is held out by exactly one fold, with everything that equals it, and the folds of a variant compare."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune_kit import trained, write_learnable_data
from study_kit import TINY, studied

from trackbridge.comparison import replicate_groups
from trackbridge.errors import DataError, PipelineConfigError
from trackbridge.finetune.blocks.data import Folds
from trackbridge.finetune.config import parse_config
from trackbridge.finetune.data import Corpus, Examples, load_corpus
from trackbridge.finetune.normalising import normalised
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.techniques.folds import fold_of
from trackbridge.store.store import open_store


def examples_of(texts: list[str], labels: list[str], pairs: list[str] | None = None) -> Examples:
    places = [f"line {number}" for number in range(1, len(texts) + 1)]
    return Examples("train.tsv", texts, pairs, labels, places, sha256="0" * 64)


def corpus_of(texts: list[str], labels: list[str], pairs: list[str] | None = None) -> Corpus:
    return Corpus(examples_of(texts, labels, pairs), {"dev": examples_of(["unseen"], labels[:1])})


def all_folds(corpus: Corpus, *, count: int = 5, seed: int = 0) -> list[Corpus]:
    return [fold_of(corpus, Folds(count=count, index=index, seed=seed)) for index in range(count)]


@pytest.fixture(scope="module")
def skewed() -> Corpus:
    """Of 203 texts 7 have a rare label, and 40 are there twice, spelled in two ways."""
    texts = [f"text {number}" for number in range(203)]
    labels = ["rare" if number % 29 == 5 else ("yes" if number % 3 else "no") for number in range(203)]
    return corpus_of([*texts, *(f"  TEXT\u00a0{number} " for number in range(40))], [*labels, *labels[:40]])


def test_each_example_is_held_out_once_and_trained_on_in_all_other_folds(skewed: Corpus) -> None:
    folds = all_folds(skewed)

    held_out = [place for fold in folds for place in fold.evals["fold"].places]
    assert sorted(held_out) == sorted(skewed.train.places)
    for fold in folds:
        assert sorted(fold.train.places + fold.evals["fold"].places) == sorted(skewed.train.places)


def test_what_is_held_out_comes_first_and_the_other_eval_sets_stay(skewed: Corpus) -> None:
    fold = all_folds(skewed)[2]

    assert list(fold.evals) == ["fold", "dev"]
    assert fold.evals["dev"] is skewed.evals["dev"]
    assert fold.evals["fold"].source == "train.tsv, fold 2 of 5"
    assert fold.train.source == "train.tsv, all but fold 2 of 5"


def test_texts_that_differ_in_case_and_spaces_alone_share_a_fold(skewed: Corpus) -> None:
    for fold in all_folds(skewed):
        seen = set(map(normalised, fold.train.texts))
        assert not seen & set(map(normalised, fold.evals["fold"].texts))


def test_pairs_share_a_fold_where_both_texts_are_equal() -> None:
    firsts = [f"premise {number // 3}" for number in range(60)]
    seconds = [f"hypothesis {number % 3}" for number in range(60)]
    corpus = corpus_of([*firsts, *firsts[:9]], ["yes"] * 69, [*seconds, *map(str.upper, seconds[:9])])

    folds = all_folds(corpus)

    for fold in folds:
        held_out, other = fold.evals["fold"], fold.train
        assert held_out.pairs is not None
        assert other.pairs is not None
        pairs = {(text, second.lower()) for text, second in zip(held_out.texts, held_out.pairs, strict=True)}
        assert not pairs & {(text, second.lower()) for text, second in zip(other.texts, other.pairs, strict=True)}
    assert any(set(fold.evals["fold"].texts) & set(fold.train.texts) for fold in folds)


def test_folds_are_equally_large_and_hold_each_label_equally_often() -> None:
    chance = random.Random(3)
    texts = [f"text {number}" for number in range(503)]
    folds = all_folds(corpus_of(texts, chance.choices(["a", "b", "c"], [0.7, 0.25, 0.05], k=503)))

    sizes = [len(fold.evals["fold"]) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for label in ("a", "b", "c"):
        counts = [Counter(fold.evals["fold"].labels)[label] for fold in folds]
        assert max(counts) - min(counts) <= 2, label


def test_the_seed_alone_decides_which_fold_an_example_is_in(skewed: Corpus) -> None:
    """Not the order of the lines, nor where the file lies."""
    order = list(range(len(skewed.train)))
    random.Random(0).shuffle(order)
    shuffled = replace(skewed, train=skewed.train.part(order, "shuffled"))

    def texts(folds: list[Corpus]) -> list[set[str]]:
        return [set(fold.evals["fold"].texts) for fold in folds]

    assert texts(all_folds(shuffled)) == texts(all_folds(skewed))
    assert texts(all_folds(skewed, seed=1)) != texts(all_folds(skewed))


def test_real_numbers_are_spread_over_the_folds_by_chance_too() -> None:
    corpus = corpus_of([f"text {number}" for number in range(100)], [f"{number / 100:.2f}" for number in range(100)])

    one, other = all_folds(corpus, seed=1)[0].evals["fold"], all_folds(corpus, seed=2)[0].evals["fold"]

    assert set(one.labels) != set(other.labels)
    assert sum(map(float, one.labels)) / 20 == pytest.approx(0.5, abs=0.05)


def test_fewer_different_texts_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match=r"train\.tsv: 2 different texts cannot fill 3 folds: lower folds\.count"):
        fold_of(corpus_of(["a", "A ", "b"], ["1", "1", "0"]), Folds(count=3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The cat.", "the  CAT. "),
        ("the\tcat.\n", "the cat."),
        ("the\u00a0cat.", "the cat."),
        ("\uff21\uff22\uff23", "abc"),
        ("\ufb01sh", "fish"),
        ("STRASSE", "straße"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u1fb3", "\u0391\u0399"),
    ],
)
def test_equal_texts_are_found_in_any_spelling(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert normalised(normalised(one)) == normalised(one)


@pytest.mark.parametrize(("one", "other"), [("the cat.", "the cat"), ("a cat", "acat"), ("caf\u00e9", "cafe")])
def test_what_makes_another_text_is_kept(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_the_folds_of_a_variant_are_one_group_of_replicates_and_runs_of_their_own(tmp_path: Path) -> None:
    """With the built-in model, whose vocabulary is another in each fold."""
    variants = [
        {"name": f"{name}, fold {index}", "set": {"folds": {"count": 3, "index": index}, "training.epochs": epochs}}
        for name, epochs in (("short", 0.5), ("long", 1))
        for index in range(3)
    ]

    outcomes, _ = studied(make_plan({**TINY, "name": "folded", "variants": variants}), tmp_path)

    assert [outcome.ending for outcome in outcomes] == ["finished"] * 6
    runs = open_store(tmp_path).runs(group="folded")
    assert [sorted(run.name for run in group.runs) for group in replicate_groups(runs)] == [
        [f"{name}, fold {index}" for index in range(3)] for name in ("short", "long")
    ]
    assert {run.summary["chosen_by"] for run in runs} == {"eval_fold/mcc"}
    assert len({run.config["model"]["vocab_size"] for run in runs}) > 1


def test_a_fold_is_scored_with_what_it_held_out_and_the_other_sets_are_only_reported(tmp_path: Path) -> None:
    data = write_learnable_data(tmp_path)
    config = with_overrides(data, {"folds": {"count": 4, "index": 1}})
    corpus = fold_of(load_corpus(parse_config(config).data), Folds(count=4, index=1))

    run = trained(tmp_path / "root", base=config, corpus=corpus)

    assert set(run.result.final) == {
        f"eval_{name}/{score}" for name in ("fold", "dev") for score in ("mcc", "accuracy", "f1", "loss")
    }
    assert len(run.evidence.batches) == 4 * -(-len(corpus.train) // 8)


def test_a_corpus_without_the_fold_its_config_asks_for_is_refused(tmp_path: Path) -> None:
    config: dict[str, Any] = {"folds": {"count": 4, "index": 1}}

    with pytest.raises(PipelineConfigError, match=r"folds: the corpus has no eval set 'fold': cut it with fold_of"):
        trained(tmp_path, overrides=config)


def test_an_eval_set_cannot_have_the_name_of_the_held_out_fold() -> None:
    with pytest.raises(PipelineConfigError, match=r"data\.eval has a set 'fold', which is what folds holds out"):
        parse_config(with_overrides(TINY, {"folds": {}, "data.eval": {"fold": 10}}))
