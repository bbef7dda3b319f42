"""The bundled studies train to their end on local files, each by overriding two of its fields, at a tiny size."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from study_kit import studied
from tiny_models_kit import WORDS, tiny_model

from trackbridge.finetune.config_file import read_overrides
from trackbridge.finetune.plan import read_plan
from trackbridge.store.store import open_store

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
COLA = f"data=@{STUDIES / 'data' / 'cola_public.yaml'}"
SST2 = f"data=@{STUDIES / 'data' / 'sst2_labelled.yaml'}"
MODEL = "model.path=a-model"

# one seed, and of every training as few updates as still are a training; nothing of what the variants say
SMALL = ["training.batch_size=8", "training.bf16=false", "training.device=cpu", "training.threads=1"]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with two copies of a model of six layers, and the files that the examples name."""
    for name in ("bert-base-uncased", "a-model"):
        tiny_model(tmp_path, "bert", num_hidden_layers=6, max_position_embeddings=64)
        (tmp_path / "bert").rename(tmp_path / name)
    chance = random.Random(1)
    texts = [" ".join(chance.choices(WORDS, k=5)) for _ in range(24)]
    cola = "".join(f"here\t{number % 2}\t\t{text}\n" for number, text in enumerate(texts))
    with_header = "".join(["sentence\tlabel\n", *(f"{text}\t{number % 2}\n" for number, text in enumerate(texts))])
    unlabelled = "".join(f"{' '.join(chance.choices(WORDS, k=6))}\n" for _ in range(24))
    files = {
        "data/cola": dict.fromkeys(("in_domain_train.tsv", "in_domain_dev.tsv", "out_of_domain_dev.tsv"), cola),
        "data/sst2": {"labelled.tsv": with_header, "dev.tsv": with_header, "unlabelled.txt": unlabelled},
        "data/wikitext2": {"train.txt": unlabelled},
        ".": {"blimp.tsv": with_header},
    }
    for folder, contents in files.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (tmp_path / folder / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("name", "fields", "smaller", "n_runs", "stages"),
    [
        ("cola_seeds", [COLA, MODEL], ["training.epochs=1", "seeds.dropout=[1, 2]"], 2, []),
        ("cola_stability", [COLA, MODEL], ["training.epochs=1", "seeds.all=[1]"], 6, []),
        ("intermediate_blimp_cola", [COLA, MODEL], ["training.epochs=1", "seeds.all=[1]"], 3, ["intermediate blimp"]),
        (
            "mlm_domain",
            [COLA, f"pretraining.text=@{STUDIES / 'data' / 'wikitext2.yaml'}"],
            ["training.epochs=1", "seeds.all=[1]"],
            2,
            ["pretraining mlm"],
        ),
        (
            "pseudo_label_sst2",
            [SST2, f"pseudo_labels.text=@{STUDIES / 'data' / 'sst2_unlabelled.yaml'}"],
            ["training.max_steps=2", "seeds.all=[1]", "pseudo_labels.threshold=0.5"],
            4,
            ["teacher 1 of a quarter drawn"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bundled_study_trains_on_local_files_by_overriding_two_fields(
    name: str, fields: list[str], smaller: list[str], n_runs: int, stages: list[str], tmp_path: Path
) -> None:
    plan = read_plan(STUDIES / f"{name}.yaml", read_overrides([*fields, *smaller, *SMALL]))

    outcomes, seen = studied(plan, tmp_path / "runs")

    assert Counter(outcome.ending for outcome in outcomes) == {"finished": n_runs}, seen
    assert all(outcome.scores for outcome in outcomes)
    group = open_store(tmp_path / "runs").runs(group=f"{plan.name} stages")
    assert [(run.name, run.status) for run in group] == [(stage, "finished") for stage in stages]
