"""The built-in grammar: what it must be to stand in for a data set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from trackbridge.finetune.grammar import sentences

DIGEST_OF_CORPUS_0 = "6809c5b082077b1e"


def test_the_corpus_is_the_same_for_ever_and_in_every_process() -> None:
    """Scores in docs and in other tests stand on these very sentences."""
    program = (
        "import hashlib; from trackbridge.finetune.grammar import sentences;"
        "print(hashlib.sha256('\\n'.join(sentences(9000)[0]).encode()).hexdigest()[:16])"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )

    here = hashlib.sha256("\n".join(sentences(9000)[0]).encode()).hexdigest()[:16]

    assert here == elsewhere.stdout.strip() == DIGEST_OF_CORPUS_0


def test_seventy_percent_are_acceptable() -> None:
    _, labels = sentences(20_000)

    assert set(labels) == {"0", "1"}
    assert labels.count("1") / len(labels) == pytest.approx(0.7, abs=0.01)


def test_no_sentence_is_acceptable_and_not() -> None:
    texts, labels = sentences(30_000)
    labels_of: dict[str, set[str]] = {}
    for text, label in zip(texts, labels, strict=True):
        labels_of.setdefault(text, set()).add(label)

    assert [text for text, found in labels_of.items() if len(found) > 1] == []


def test_a_smaller_count_is_the_beginning_of_a_larger_one() -> None:
    assert sentences(50)[0] == sentences(500)[0][:50]


def test_another_corpus_has_other_sentences() -> None:
    assert sentences(50, corpus=1)[0] != sentences(50, corpus=0)[0]


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("the tall boys blame herself rarely .", "reflexive"),
        ("these monks admires every aunt .", "agreement"),
        ("what does those happy garden like again ?", "determiner"),
        ("what do baskets those like ?", "word order"),
        ("the actresses beside the letters .", "dropped verb"),
    ],
)
def test_every_kind_of_violation_occurs(broken: str, kind: str) -> None:
    texts, labels = sentences(9000)

    assert labels[texts.index(broken)] == "0", kind
