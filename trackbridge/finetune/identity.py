"""When two trainings are the same one: equal config, seeds, data and origins, as their journals tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import PipelineConfig, PretrainingConfig, parse_config
from trackbridge.finetune.origins import Origin, Role, TrainingConfig
from trackbridge.store.records import RunRecord


def planned_identity(config: TrainingConfig, digests: Mapping[str, str], origins: Mapping[Role, Origin]) -> str:
    """What tells this training from every other: its config and seeds, and the digests of its data and origins."""
    return _identity(config, digests, {role: origin.sha256 for role, origin in origins.items()})


def recorded_identity(record: RunRecord) -> str | None:
    """The same of a run in the store; None for a run that is no training of this pipeline."""
    seeds = {name: seed for name, seed in asdict(record.seeds).items() if name != "all"}
    try:
        # parsed again, so that a key which a later version adds has its default in older runs
        config = _parsed({**record.config["pipeline"], "seeds": seeds})
        digests = {name: described["sha256"] for name, described in record.config["data"].items()}
        origins = {role: origin["sha256"] for role, origin in record.config.get("lineage", {}).items()}
    except (PipelineConfigError, ValidationError, KeyError, TypeError):
        return None
    return _identity(config, digests, origins)


def _parsed(given: Mapping[str, Any]) -> TrainingConfig:
    return parse_config(given) if "data" in given else PretrainingConfig.model_validate(given)


def _identity(config: TrainingConfig, digests: Mapping[str, Any], origins: Mapping[Any, Any]) -> str:
    told = {
        "kind": "fine-tuning" if isinstance(config, PipelineConfig) else "pre-training",
        "config": config.recorded(),
        "seeds": config.seeds.model_dump(),
        "data": dict(digests),
        "origins": dict(origins),
    }
    return json.dumps(told, sort_keys=True)
