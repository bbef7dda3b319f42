"""The studies whose figures the page of techniques shows are valid ones, and train what the page says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from trackbridge.finetune.config_file import read_overrides
from trackbridge.finetune.plan import read_plan

STUDIES = Path(__file__).parents[2] / "examples" / "studies" / "measured"
PAGE = (Path(__file__).parents[2] / "docs" / "techniques.md").read_text(encoding="utf-8")
NAMES = sorted(file.stem for file in STUDIES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_measured_study_is_named_on_the_page_and_runs_with_a_model_and_data_from_elsewhere(name: str) -> None:
    here = read_overrides(["model.path=a-model", "data.folder=elsewhere"])

    configs = [run.config for run in read_plan(STUDIES / f"{name}.yaml", here).runs]

    assert name in PAGE
    assert {(config.model.path, str(config.data.folder)) for config in configs} == {("a-model", "elsewhere")}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cola_folds"])
def test_every_measured_variant_has_the_three_seeds_of_the_plain_training(name: str) -> None:
    runs = read_plan(STUDIES / f"{name}.yaml").runs

    assert set(Counter(run.variant for run in runs).values()) == {3}
    assert {tuple(run.config.seeds.__dict__.values()) for run in runs} == {(1, 1, 1), (2, 2, 2), (3, 3, 3)}


def test_the_measured_techniques_differ_from_the_plain_training_in_their_block_alone() -> None:
    first = {run.variant: run.config for run in reversed(read_plan(STUDIES / "cola_techniques.yaml").runs)}
    plain = first.pop("plain").model_dump()

    changed = {
        variant: {key for key, value in config.model_dump().items() if value != plain[key]}
        for variant, config in first.items()
    }

    assert changed == {
        "re-init 1": {"reinit"},
        "layer-wise decay .95": {"layerwise_decay"},
        "SWA from .5": {"averaging"},
        "EMA .99": {"averaging"},
        "without bias correction": {"training"},
        "long (4 epochs)": {"training"},
        "mean-pooled head": {"head"},
        "feature extraction": {"head", "freezing", "training"},
        "LoRA": {"lora", "training"},
    }
