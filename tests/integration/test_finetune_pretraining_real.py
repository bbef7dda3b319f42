"""Further pre-training at a size where it changes a score, and on real text; run by name: `pytest -m real`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study_kit import studied

from trackbridge.finetune.blocks.text import LocalText
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.text import load_texts

pytestmark = pytest.mark.real


def test_the_articles_of_wikitext_are_its_documents(real_data: Path) -> None:
    found = load_texts(LocalText(folder=real_data / "wikitext2", files=[Path("valid.txt")]))

    assert len(found.documents) == 60
    assert found.documents[0][0].startswith("Homarus gammarus , known as the European lobster")
    assert not any(text.startswith("= ") for document in found.documents for text in document)


def test_predicting_the_next_word_first_teaches_the_tiny_classifier_the_grammar(tmp_path: Path) -> None:
    training: dict[str, Any] = {"batch_size": 64, "learning_rate": 2e-3, "bf16": False, "device": "cpu", "threads": 1}
    pretraining = {
        "objective": "clm",
        "text": {"builtin": "acceptability", "sentences": 5000},
        "training": {**training, "batch_size": 32, "epochs": 6},
        "block_size": 16,
        "evaluate_every": 1000,
    }
    config = {
        "name": "clm",
        "model": {"builtin": "tiny-bert"},
        "data": {"builtin": "acceptability", "train": 8000, "eval": {"dev": 1000}},
        "training": {**training, "epochs": 2},
        "evaluation": {"metric": "mcc", "every": 1000},
        "variants": [{"name": "plain"}, {"name": "clm", "set": {"pretraining": pretraining}}],
        "seeds": {"dropout": 1},
    }

    outcomes, _ = studied(make_plan(config), tmp_path)

    plain, taught = (outcome.scores["eval/mcc"] for outcome in outcomes)
    assert taught > plain + 0.1
