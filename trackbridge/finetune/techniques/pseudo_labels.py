"""Pseudo-labels: what a teacher is sure of among unlabelled texts, added to the training set.

Sources: Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
for the idea; Xie et al. 2020, "Self-training with Noisy Student improves ImageNet classification" (arXiv 1911.04252),
for a teacher without and a student with dropout, soft labels, class balance by confidence, and rounds; Sohn et al.
2020, "FixMatch" (arXiv 2001.07685), for the threshold of .95.

No label may come from an example that the student is scored with. Its teacher learns from the training part alone, and
no text that stands in an eval set, which includes a fold that is held out, is labelled at all.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trackbridge.finetune.blocks.stages import PseudoLabels
from trackbridge.finetune.checkpoints import training_folder
from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.normalising import normalised
from trackbridge.finetune.origins import Origin
from trackbridge.finetune.techniques.teacher import Probabilities, probabilities_of
from trackbridge.finetune.text import Texts
from trackbridge.journal.paths import files_folder
from trackbridge.run.run import Run
from trackbridge.run.seeds import derive

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pool:
    """The texts a teacher may label, and how many it may not see: for they are evaluated, trained on, or repeated."""

    texts: list[str]
    evaluated: int
    trained_on: int
    repeated: int


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """What a teacher thinks of a text: its choice, how sure it is of it, and the probability of every class."""

    text: str
    label: str
    confidence: float
    probabilities: list[float]


def with_pseudo_labels(corpus: Corpus, teacher: Origin, labels: Labels, config: PipelineConfig, run: Run) -> Corpus:
    """The corpus with pseudo-labelled examples behind those of its training set; the run records which, and why.

    Raises:
        PipelineConfigError: the teacher has learned other labels.
    """
    settings, texts = config.pseudo_labels, corpus.unlabelled
    # only called where there are some
    assert settings is not None
    assert texts is not None
    pool = pool_of(texts, corpus)
    probabilities = probabilities_of(pool.texts, teacher.weights, labels, config, training_folder(run))
    sure = confident(pool.texts, probabilities, labels, settings.threshold)
    used = drawn(sure, labels, settings, data_seed=config.seeds.data)
    _record(run, pool, sure, used)
    if used:
        return replace(corpus, train=_enlarged(corpus.train, used, labels, settings))
    if settings.rate:
        _log.warning(
            "%s: of %d unlabelled texts none became a pseudo-label (%d reach the threshold of %g):"
            " it trains on the labelled examples alone",
            *(run.name, len(pool.texts), len(sure), settings.threshold),
        )
    return corpus


def pool_of(texts: Texts, corpus: Corpus) -> Pool:
    """The texts without those that equal a text of an eval set or of the training set, and without repetitions.

    Texts that differ in case, width or spaces alone are equal.
    """
    evaluated = {content for examples in corpus.evals.values() for content in _contents(examples)}
    trained_on = set(_contents(corpus.train)) - evaluated
    found: dict[str, str] = {}
    why: Counter[str] = Counter()
    for text in (text for document in texts.documents for text in document):
        content = normalised(text)
        why["evaluated"] += content in evaluated
        why["trained on"] += content in trained_on
        why["repeated"] += content in found
        if content not in evaluated and content not in trained_on:
            found.setdefault(content, text)
    return Pool(list(found.values()), why["evaluated"], why["trained on"], why["repeated"])


def confident(
    texts: Sequence[str], probabilities: Probabilities, labels: Labels, threshold: float
) -> list[PseudoLabel]:
    """The texts whose likeliest class has at least the probability `threshold`, in their order.

    Args:
        texts: n texts.
        probabilities: float64[n, k] for k classes.
    """
    choices, confidences = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
    return [
        PseudoLabel(text, labels.names[choice], confidence, row)
        for text, choice, confidence, row in zip(texts, choices, confidences, probabilities.tolist(), strict=True)
        if confidence >= threshold
    ]


def drawn(sure: Sequence[PseudoLabel], labels: Labels, settings: PseudoLabels, *, data_seed: int) -> list[PseudoLabel]:
    """The share `settings.rate` of each class, in the order of `sure`.

    Each text has a rank that the data seed and its own words decide, so that a larger rate adds to a smaller one's.
    With `settings.balance` as many of each class come into the draw as of the rarest, those the teacher is surest of.
    """
    by_class = {name: [one for one in sure if one.label == name] for name in labels.names}
    if settings.balance:
        rarest = min(map(len, by_class.values()))
        by_class = {name: sorted(ones, key=_surest)[:rarest] for name, ones in by_class.items()}
    chosen = {
        one.text
        for ones in by_class.values()
        for one in sorted(ones, key=lambda one: derive("pseudo", data_seed, one.text))[
            : round(settings.rate * len(ones))
        ]
    }
    return [one for one in sure if one.text in chosen]


def _contents(examples: Examples) -> Iterator[str]:
    return map(normalised, [*examples.texts, *(examples.pairs or ())])


def _surest(one: PseudoLabel) -> float:
    return -one.confidence


def _enlarged(train: Examples, used: list[PseudoLabel], labels: Labels, settings: PseudoLabels) -> Examples:
    is_soft = settings.labels == "soft"
    return replace(
        train,
        texts=[*train.texts, *(one.text for one in used)],
        labels=[*train.labels, *(one.label for one in used)],
        places=[*train.places, *("pseudo-labelled text" for _ in used)],
        soft_labels=[*labels.certain(train), *(one.probabilities for one in used)] if is_soft else None,
    )


def _record(run: Run, pool: Pool, sure: list[PseudoLabel], used: list[PseudoLabel]) -> None:
    """The counts as summary, and every text over the threshold as a line of a file."""
    by_label = {"over_threshold": Counter(one.label for one in sure), "used": Counter(one.label for one in used)}
    counts = {
        "equal_to_evaluated": pool.evaluated,
        "equal_to_trained_on": pool.trained_on,
        "repeated": pool.repeated,
        "pool": len(pool.texts),
        **{name: sum(count.values()) for name, count in by_label.items()},
        **{f"{name}/{label}": n for name, count in by_label.items() for label, n in sorted(count.items())},
    }
    run.log_summary({f"pseudo_labels/{name}": count for name, count in counts.items()})
    if not run.is_recording:
        return
    texts_used = {one.text for one in used}
    lines = [
        {"text": one.text, "label": one.label, "confidence": one.confidence, "used": one.text in texts_used}
        for one in sure
    ]
    file = files_folder(run.path) / "pseudo-labels.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    run.log_artifact(file, type="pseudo-labels")
