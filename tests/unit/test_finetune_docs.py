"""The pages about the pipeline name every key, show the true defaults, and their example studies are valid ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from trackbridge.finetune.blocks import data, model, stages, study, techniques, text, training
from trackbridge.finetune.config_file import read_overrides
from trackbridge.finetune.demo import demo_plan
from trackbridge.finetune.plan import make_plan, read_plan

REPOSITORY = Path(__file__).parents[2]
PAGES = [(REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("pipeline", "techniques")]
BLOCKS = {
    "model": (model.PretrainedModel, model.BuiltinModel),
    "data": (data.LocalData, data.HubData, data.BuiltinData),
    "training": (training.Training,),
    "evaluation": (training.Evaluation,),
    "checkpoints": (training.Checkpoints,),
    "seeds": (training.Seeds,),
    "head": (model.Head,),
    "freezing": (techniques.Freezing,),
    "lora": (techniques.Lora,),
    "reinit": (techniques.Reinit,),
    "layerwise_decay": (techniques.LayerwiseDecay,),
    "folds": (data.Folds,),
    "pseudo_labels": (stages.PseudoLabels,),
    "pretraining": (stages.Pretraining,),
    "text": (text.LocalText, text.HubText, text.BuiltinText),
    "intermediate": (stages.Intermediate,),
    "averaging": (techniques.Swa, techniques.Ema),
    "early_stopping": (techniques.EarlyStopping,),
    "halting": (study.Halting,),
}


def documented(name: str) -> Iterator[dict[str, Any]]:
    """The YAML examples of a block on the pages, in order."""
    for example in re.findall(r"^```yaml\n(.*?)^```$", "\n".join(PAGES), re.MULTILINE | re.DOTALL):
        content = yaml.safe_load(example)
        if name in content:
            yield content[name][0] if name == "intermediate" else content[name]


@pytest.mark.parametrize("name", BLOCKS)
def test_every_key_of_a_block_is_shown_with_its_default(name: str) -> None:
    examples = list(documented(name))

    assert len(examples) == len(BLOCKS[name])
    for example, block in zip(examples, BLOCKS[name], strict=True):
        assert set(example) == set(block.model_fields)
        for key, value in defaults_of(block).items():
            shown = type(value).model_validate(example[key]) if isinstance(value, BaseModel) else example[key]
            assert shown == value, f"{name}.{key}"


def defaults_of(block: type[BaseModel]) -> dict[str, Any]:
    """The defaults a page can show; epochs has its own because max_steps may replace it."""
    fields = {key: field.default for key, field in block.model_fields.items() if not field.is_required()}
    special = {"epochs": 3, "folder": "."} if block in (training.Training, data.LocalData, text.LocalText) else {}
    # the page shows a hub data set that exists, not the names a nameless one would have
    skipped = {"subset", "text"} if block in (data.HubData, text.HubText) else set()
    return {key: special.get(key, value) for key, value in fields.items() if key not in skipped}


def test_every_example_of_variants_can_be_planned() -> None:
    base = {"model": {"builtin": "tiny-bert"}, "data": {"builtin": "acceptability"}}

    plans = [make_plan({**base, "variants": variants}) for variants in documented("variants")]

    planned = {run.variant: run.config for plan in plans for run in plan.runs}
    assert len(plans) >= 3
    assert (planned["stable"].training.epochs, planned["stable"].training.epsilon) == (20, 1e-6)


def test_the_cola_study_differs_in_the_dropout_seed_and_in_nothing_else() -> None:
    plan = read_plan(REPOSITORY / "examples" / "studies" / "cola_seeds.yaml")

    assert [run.config.seeds.dropout for run in plan.runs] == [12345, 12346, 12347, 12348, 12349]
    assert len({(run.config.seeds.init, run.config.seeds.data) for run in plan.runs}) == 1
    assert len({str(run.config.recorded()) for run in plan.runs}) == 1
    assert plan.runs[0].config.evaluation.every == 25


@pytest.mark.parametrize("name", ["cola_seeds", "cola_stability", "intermediate_blimp_cola", "mlm_domain"])
def test_a_cola_study_names_hub_data_and_runs_on_local_files_by_overriding_two_fields(name: str) -> None:
    file = REPOSITORY / "examples" / "studies" / f"{name}.yaml"
    local = read_overrides(
        [f"data=@{REPOSITORY / 'examples' / 'studies' / 'data' / 'cola_public.yaml'}", "model.path=me"]
    )

    assert {run.config.data.hub for run in read_plan(file).runs} == {"nyu-mll/glue"}  # type: ignore[union-attr]
    here = [run.config for run in read_plan(file, local).runs]
    assert {config.chosen_set for config in here} == {"in_domain"}
    assert {config.model.path for config in here} == {"me"}  # type: ignore[union-attr]


def test_the_stability_study_compares_six_variants_with_five_seeds_each() -> None:
    runs = read_plan(REPOSITORY / "examples" / "studies" / "cola_stability.yaml").runs

    assert Counter(run.variant for run in runs) == dict.fromkeys(
        ("plain", "without bias correction", "long", "re-init", "layer-wise decay", "SWA"), 5
    )
    by_variant = {run.variant: run.config for run in runs}
    assert by_variant["plain"].reinit is by_variant["plain"].averaging is by_variant["plain"].layerwise_decay is None


def test_the_pseudo_label_study_sweeps_the_rate_beside_a_plain_variant() -> None:
    runs = read_plan(REPOSITORY / "examples" / "studies" / "pseudo_label_sst2.yaml").runs

    rates = {run.variant: run.config.pseudo_labels.rate if run.config.pseudo_labels else 0 for run in runs}
    assert list(rates.values()) == [0, 0.25, 0.5, 1.0]
    assert {run.config.data.hub for run in runs} == {"stanfordnlp/sst2"}


def test_the_demo_is_two_variants_with_four_seeds_each() -> None:
    runs = demo_plan().runs

    assert [(run.variant, run.config.seeds.dropout) for run in runs] == [
        (variant, seed) for variant in ("no warmup", "warmup") for seed in (12345, 12346, 12347, 12348)
    ]
