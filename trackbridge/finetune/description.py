"""What a run records of its data: where it is from, its digest, and how its labels are spread."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.labels import Labels


def describe(corpus: Corpus, labels: Labels) -> dict[str, Any]:
    """Per set the source, SHA-256, size and labels; of unlabelled texts, which have none, the rest.

    Classes: the count of each label, and `majority_accuracy`, the share the commonest training label has in
    the set, which is what a model scores that has learned nothing. Regression: the mean label.

    Raises:
        DataError: a label is none of the training set's, or no finite number; names its place.
    """
    majority = Counter(corpus.train.labels).most_common(1)[0][0]
    sets = {"train": corpus.train, **{f"eval_{name}": examples for name, examples in corpus.evals.items()}}
    described = {name: _described(examples, labels, majority) for name, examples in sets.items()}
    if (texts := corpus.unlabelled) is not None:
        count = sum(map(len, texts.documents))
        described["unlabelled"] = {"path": texts.source, "sha256": texts.sha256, "texts": count}
    return described


def _described(examples: Examples, labels: Labels, majority: str) -> dict[str, Any]:
    told = {"path": examples.source, "sha256": examples.sha256, "examples": len(examples)}
    numbers = labels.numbers(examples)
    if labels.is_regression:
        return {**told, "mean_label": sum(numbers) / len(numbers)}
    counts = dict(sorted(Counter(examples.labels).items()))
    return {**told, "labels": counts, "majority_accuracy": counts.get(majority, 0) / len(examples)}
