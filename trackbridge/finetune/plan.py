"""A study on paper: the config file with its variants and seeds, spread out into the runs it asks for.

Everything is validated here, before the first run starts: the thirtieth run does not die of a typing error.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import StudyConfig, Variant, parse_config
from trackbridge.finetune.config_errors import explain
from trackbridge.finetune.config_file import read_config_file
from trackbridge.finetune.origins import TrainingConfig
from trackbridge.finetune.overrides import with_overrides

SeedRecord = dict[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One training of a study, or a stage before one: its variant's name (empty for none), its name and whole config.

    `group` is the study it belongs to; stages are in a group of their own, which the study's runs share.
    """

    variant: str
    name: str
    config: TrainingConfig
    group: str
    is_stage: bool = False

    def stage(self, config: TrainingConfig) -> PlannedRun:
        """A training that this one builds on."""
        group = self.group if self.is_stage else f"{self.group} stages"
        return PlannedRun("", config.name or "stage", config, group, is_stage=True)


@dataclass(frozen=True)
class Plan:
    """The runs of a study in the order they are done; `name` groups them."""

    project: str
    name: str
    runs: tuple[PlannedRun, ...]


def read_plan(file: Path, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The plan a config file describes, after dotted `overrides`; the file's name names a nameless study.

    Raises:
        PipelineConfigError: the file cannot be read, or anything in it is wrong.
    """
    given = with_overrides(read_config_file(file), overrides or {})
    return make_plan({"name": file.stem, **given}, source=str(file))


def make_plan(given: Mapping[str, Any], *, source: str = "config") -> Plan:
    """The plan of a config with optional `variants` and lists of seeds: every variant with every seed.

    Raises:
        PipelineConfigError: names the variant and the key.
    """
    base = {key: value for key, value in given.items() if key not in {"variants", "seeds"}}
    variants = _variants(given, source)
    seed_records = _seed_records(given.get("seeds", {}), source)
    runs = [
        _planned(base, variant, seeds, _varying(seed_records), source) for variant in variants for seeds in seed_records
    ]
    _refuse_twins(runs, source)
    first = runs[0].config
    projects = sorted({run.config.project for run in runs})
    if len(projects) > 1:
        raise PipelineConfigError(f"{source}: a study has one project, not {', '.join(projects)}")
    return Plan(first.project, runs[0].group, tuple(runs))


def _variants(given: Mapping[str, Any], source: str) -> list[Variant]:
    if "variants" not in given:
        return [Variant.model_construct(name="", set={})]
    try:
        variants = TypeAdapter(list[Variant]).validate_python(given["variants"])
    except ValidationError as error:
        raise PipelineConfigError(explain(error, StudyConfig, source, at=("variants",))) from None
    if not variants:
        raise PipelineConfigError(f"{source}: variants: the list is empty: leave it out or name one")
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PipelineConfigError(f"{source}: two variants are named {twice[0]!r}: give each its own name")
    return variants


def _seed_records(seeds: Any, source: str) -> list[SeedRecord]:
    """A list of records as it is; a block with lists in it, every combination of their values."""
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        if not seeds or not all(isinstance(record, Mapping) for record in seeds):
            raise PipelineConfigError(
                f"{source}: seeds: {seeds!r} is not allowed: expected blocks such as {{dropout: 12345}}"
            )
        return [dict(record) for record in seeds]
    if not isinstance(seeds, Mapping):
        raise PipelineConfigError(f"{source}: seeds: {seeds!r} is not allowed: expected a block or a list of blocks")
    choices = {name: value if isinstance(value, list) else [value] for name, value in seeds.items()}
    empty = [name for name, values in choices.items() if not values]
    if empty:
        raise PipelineConfigError(f"{source}: seeds.{empty[0]}: the list is empty: give at least one seed")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _varying(records: list[SeedRecord]) -> list[str]:
    """The seeds that tell the records apart, which is what a run's name needs to say."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [name for name in names if len({record.get(name) for record in records}) > 1]


def _planned(
    base: Mapping[str, Any], variant: Variant, seeds: SeedRecord, varying: list[str], source: str
) -> PlannedRun:
    where = f"{source}, variant {variant.name!r}" if variant.name else source
    config = parse_config(with_overrides({**base, "seeds": seeds}, variant.set), source=where)
    told = [f"{name.removesuffix('_seed')} {seeds[name]}" for name in varying if name in seeds]
    label = " ".join(part for part in (variant.name, *told) if part)
    return PlannedRun(variant.name, label or config.name or "run", config, group=config.name or "study")


def _refuse_twins(runs: list[PlannedRun], source: str) -> None:
    """Two runs with one config are one run: the study would find the first when it looks for the second."""
    seen: dict[str, str] = {}
    for run in runs:
        content = run.config.model_dump_json()
        if content in seen:
            raise PipelineConfigError(
                f"{source}: {seen[content]!r} and {run.name!r} are the same run: change a key or a seed of one"
            )
        seen[content] = run.name
