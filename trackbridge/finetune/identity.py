"""When two trainings are the same one: equal config, seeds and data, as the journals tell, not a note beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import PipelineConfig, parse_config
from trackbridge.finetune.data import Corpus
from trackbridge.store.records import RunRecord


def planned_identity(config: PipelineConfig, corpus: Corpus) -> str:
    """What tells this training from every other: all of its config, its seeds, and the digests of its data."""
    digests = {name: examples.sha256 for name, examples in corpus.evals.items()}
    return _identity(config, {"train": corpus.train.sha256, **{f"eval_{name}": d for name, d in digests.items()}})


def recorded_identity(record: RunRecord) -> str | None:
    """The same of a run in the store; None for a run that is no training of this pipeline."""
    seeds = {name: seed for name, seed in asdict(record.seeds).items() if name != "all"}
    try:
        # parsed again, so that a key which a later version adds has its default in older runs
        config = parse_config({**record.config["pipeline"], "seeds": seeds})
        digests = {name: described["sha256"] for name, described in record.config["data"].items()}
    except (PipelineConfigError, KeyError, TypeError):
        return None
    return _identity(config, digests)


def _identity(config: PipelineConfig, digests: Mapping[str, Any]) -> str:
    seeds = config.seeds.model_dump()
    return json.dumps({"config": config.recorded(), "seeds": seeds, "data": dict(digests)}, sort_keys=True)
