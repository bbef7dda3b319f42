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
from trackbridge.finetune.blocks.study import Halting, Variant
from trackbridge.finetune.config import StudyConfig, parse_config
from trackbridge.finetune.config_errors import explain
from trackbridge.finetune.config_file import read_config_file
from trackbridge.finetune.origins import Role, TrainingConfig
from trackbridge.finetune.overrides import with_overrides

SeedRecord = dict[str, Any]


@dataclass(frozen=True)
class Halt:
    """Where a run is to pause, as a share of its updates, and the rule in words by which it may go on."""

    at: float
    rule: str


@dataclass(frozen=True)
class PlannedRun:
    """One training of a study, or a stage before one: its variant's name (empty for none), its name and whole config.

    `group` is the study it belongs to; stages are in a group of their own, which the study's runs share. With `halt`
    the training pauses there instead of ending.
    """

    variant: str
    name: str
    config: TrainingConfig
    group: str
    is_stage: bool = False
    halt: Halt | None = None

    def stage(self, role: Role, config: TrainingConfig) -> PlannedRun:
        """A training that this one builds on; a teacher is this run's own, other stages are shared."""
        group = self.group if self.is_stage else f"{self.group} stages"
        name = config.name or "stage"
        return PlannedRun("", f"{name} of {self.name}" if role == "labels" else name, config, group, is_stage=True)


@dataclass(frozen=True)
class Plan:
    """The runs of a study in the order they are done; `name` groups them, `halting` stops the worst of them early."""

    project: str
    name: str
    runs: tuple[PlannedRun, ...]
    halting: Halting | None = None


def read_plan(file: Path, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The plan a config file describes, after dotted `overrides`; the file's name names a nameless study.

    Raises:
        PipelineConfigError: the file cannot be read, or anything in it is wrong.
    """
    given = with_overrides(read_config_file(file), overrides or {})
    return make_plan({"name": file.stem, **given}, source=str(file))


def make_plan(given: Mapping[str, Any], *, source: str = "config") -> Plan:
    """The plan of a config with optional `variants`, `grid` and lists of seeds: every variant with every seed.

    Raises:
        PipelineConfigError: names the variant and the key.
    """
    base = {key: value for key, value in given.items() if key not in {"variants", "grid", "halting", "seeds"}}
    variants = [on for variant in _variants(given, source) for on in _on_grid(variant, given.get("grid", {}), source)]
    seed_records = _seed_records(given.get("seeds", {}), source)
    runs = [
        _planned(base, variant, seeds, _varying(seed_records), source) for variant in variants for seeds in seed_records
    ]
    _refuse_twins(runs, source)
    first = runs[0].config
    projects = sorted({run.config.project for run in runs})
    if len(projects) > 1:
        raise PipelineConfigError(f"{source}: a study has one project, not {', '.join(projects)}")
    return Plan(first.project, runs[0].group, tuple(runs), _halting(given, source))


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


def _on_grid(variant: Variant, grid: Any, source: str) -> list[Variant]:
    """The variant once for every combination of the grid's values."""
    if not isinstance(grid, Mapping) or not all(isinstance(values, list) and values for values in grid.values()):
        raise PipelineConfigError(
            f"{source}: grid: {grid!r} is not allowed: expected lists of values by dotted key,"
            " such as {training.learning_rate: [1.0e-5, 2.0e-5]}"
        )
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [_at_point(variant, point) for point in points]


def _at_point(variant: Variant, point: Mapping[str, Any]) -> Variant:
    names = {key: key.rpartition(".")[2] for key in point}
    told = [f"{key if list(names.values()).count(name) > 1 else name} {point[key]}" for key, name in names.items()]
    label = " ".join(part for part in (variant.name, *told) if part)
    return Variant.model_construct(name=label, set={**variant.set, **point})


def _halting(given: Mapping[str, Any], source: str) -> Halting | None:
    if given.get("halting") is None:
        return None
    try:
        return Halting.model_validate(given["halting"])
    except ValidationError as error:
        raise PipelineConfigError(explain(error, StudyConfig, source, at=("halting",))) from None


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
    if "all" in choices and len(choices) > 1:
        raise PipelineConfigError(f"{source}: seeds: give either all or the single seeds, not both")
    records = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    return [dict.fromkeys(("init", "data", "dropout"), r["all"]) if "all" in r else r for r in records]


def _varying(records: list[SeedRecord]) -> list[str]:
    """The seeds that tell the records apart, which is what a run's name needs to say."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [name for name in names if len({record.get(name) for record in records}) > 1]


def _planned(
    base: Mapping[str, Any], variant: Variant, seeds: SeedRecord, varying: list[str], source: str
) -> PlannedRun:
    where = f"{source}, variant {variant.name!r}" if variant.name else source
    config = parse_config(with_overrides({**base, "seeds": seeds}, variant.set), source=where)
    label = " ".join(part for part in (variant.name, *_told(seeds, varying)) if part)
    return PlannedRun(variant.name, label or config.name or "run", config, group=config.name or "study")


def _told(seeds: SeedRecord, varying: list[str]) -> list[str]:
    """The seeds in a run's name, as one where all three change together."""
    if len(varying) == 3 and len(set(seeds.values())) == 1:
        return [f"seed {next(iter(seeds.values()))}"]
    return [f"{name.removesuffix('_seed')} {seeds[name]}" for name in varying if name in seeds]


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
