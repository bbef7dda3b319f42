"""A task for teachers and students that sixty updates learn, and the two of them trained as a study would."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_kit import Trained, events_of, trained
from study_kit import TINY, studied

from trackbridge.finetune.blocks.data import Folds
from trackbridge.finetune.config import PipelineConfig, parse_config
from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.origins import Origin, origin_of, origins_wanted
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.techniques.folds import fold_of
from trackbridge.finetune.text import Texts
from trackbridge.store.store import open_store

LABELS = Labels(("no", "yes"))
FILLERS = "a the dog bird fox cow sees hears likes old young red blue runs sleeps and or near under above".split()

CONFIG: dict[str, Any] = {
    **TINY,
    "training": {**TINY["training"], "epochs": 6, "learning_rate": 0.01, "log_every": 4},
    "evaluation": {"metric": "mcc", "every": 20},
    "folds": {"count": 3, "index": 1},
    "pseudo_labels": {"text": {"builtin": "acceptability"}, "threshold": 0.8},
}


def cat_texts(count: int, *, seed: int) -> list[str]:
    """Texts of six words, in every second of which there is a cat."""
    chance = random.Random(seed)
    texts = [[chance.choice(FILLERS) for _ in range(6)] for _ in range(count)]
    for number, words in enumerate(texts):
        if number % 2:
            words[chance.randrange(6)] = "cat"
    return [" ".join(words) for words in texts]


def labelled(texts: list[str], *, noise_seed: int) -> Examples:
    """Is there a cat in it? One label in ten is wrong."""
    chance = random.Random(noise_seed)
    labels = [("yes" if ("cat" in text) != (chance.random() < 0.1) else "no") for text in texts]
    places = [f"line {number}" for number in range(1, len(texts) + 1)]
    return Examples("cats.tsv", texts, None, labels, places, sha256="a" * 64)


def texts_of(texts: Iterable[str]) -> Texts:
    return Texts("pool.txt", [[text] for text in texts], sha256="b" * 64)


CATS = Corpus(labelled(cat_texts(120, seed=1), noise_seed=1), {"dev": labelled(cat_texts(30, seed=2), noise_seed=2)})
FOLD = fold_of(CATS, Folds(count=3, index=1))
POOL = cat_texts(80, seed=3)


@dataclass
class Taught:
    """A student and its teacher; `labels` has the lines of the file that tells the pseudo-labels."""

    teacher: Origin
    student: Trained
    labels: list[dict[str, Any]]

    @property
    def summary(self) -> dict[str, Any]:
        summaries = events_of(self.student.path, "summary_logged")
        return {name: value for event in summaries for name, value in event["values"].items()}


def teacher_of(root: Path, config: dict[str, Any], corpus: Corpus) -> Origin:
    """The teacher as a study would train it."""
    wanted = origins_wanted(parse_config(config))["labels"]
    assert isinstance(wanted, PipelineConfig)
    run = trained(root, base=wanted.model_dump(mode="json"), corpus=corpus)
    teacher = origin_of(open_store(root).run(run.path.name))
    assert teacher is not None
    return teacher


def taught_by(teacher: Origin, root: Path, config: dict[str, Any], corpus: Corpus, pool: list[str]) -> Taught:
    corpus = replace(corpus, unlabelled=texts_of(pool))
    student = trained(root, base=config, corpus=corpus, origins={"labels": teacher})
    file = student.path / "files" / "pseudo-labels.jsonl"
    return Taught(teacher, student, [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])


def taught(root: Path, config: dict[str, Any] = CONFIG, corpus: Corpus = FOLD, pool: list[str] = POOL) -> Taught:
    return taught_by(teacher_of(root, config, corpus), root, config, corpus, pool)


def endings(root: Path, config: dict[str, Any]) -> list[str]:
    """How each run of a study ended."""
    outcomes, _ = studied(make_plan(config), root)
    return [outcome.ending for outcome in outcomes]
