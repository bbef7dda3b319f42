"""The pipeline on real data, and the demo at its real size; run by name: `pytest -m real`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from finetune_kit import trained

from trackbridge.finetune.blocks.data import LocalData
from trackbridge.finetune.config import parse_config
from trackbridge.finetune.config_file import read_config_file
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.description import describe
from trackbridge.finetune.labels import find_labels
from trackbridge.store.store import open_store

pytestmark = pytest.mark.real

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
COLA_FILES = STUDIES / "data" / "cola_public.yaml"


def test_the_cola_study_reads_every_sentence_of_the_public_files(real_data: Path) -> None:
    told = {**read_config_file(COLA_FILES), "folder": real_data / "cola"}

    corpus = load_corpus(LocalData.model_validate(told))

    described = describe(corpus, find_labels(corpus.train, is_regression=False))
    assert {name: len(examples) for name, examples in corpus.evals.items()} == {"in_domain": 527, "out_of_domain": 516}
    assert len(corpus.train) == 8551
    assert described["train"]["labels"] == {"0": 2528, "1": 6023}
    assert described["train"]["sha256"].startswith("f320a10f")
    # quotation marks and the last line without a newline are where other readers go wrong
    assert sum('"' in text for text in corpus.train.texts) == 2
    assert all(text and "\t" not in text and "\n" not in text for text in corpus.train.texts)


def test_cola_trains(real_data: Path, tmp_path: Path) -> None:
    told = {**read_config_file(STUDIES / "cola_seeds.yaml"), "data": read_config_file(COLA_FILES)}
    changes = {"training.epochs": None, "training.max_steps": 10, "data.folder": str(real_data / "cola")}
    changes |= {"evaluation.every": 5, "model": {"builtin": "tiny-bert"}, "seeds.dropout": 12345}

    run = trained(tmp_path, base=told, overrides=changes)

    assert len(run.evidence.losses) == 10
    assert {"eval_in_domain/mcc", "eval_out_of_domain/mcc"} <= set(run.result.best)
    assert parse_config({**told, "seeds": {"dropout": 1}}).chosen_set == "in_domain"


def test_the_demo_takes_less_than_three_minutes_and_shows_what_a_seed_does(tmp_path: Path) -> None:
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "trackbridge", "demo", "--root", "runs"], check=True, cwd=tmp_path)
    took_s = time.monotonic() - started_s

    runs = open_store(tmp_path / "runs").runs(group="demo", status="finished")
    scores = {
        variant: [run.summary["best/eval/mcc"] for run in runs if run.name.startswith(f"{variant} dropout")]
        for variant in ("no warmup", "warmup")
    }
    assert took_s < 180
    assert len(scores["warmup"]) == len(scores["no warmup"]) == 4
    assert max(scores["no warmup"]) - min(scores["no warmup"]) > 0.1
    assert sum(scores["warmup"]) > sum(scores["no warmup"]) + 0.2
    assert "<svg" in (tmp_path / "trackbridge-demo.html").read_text(encoding="utf-8")
