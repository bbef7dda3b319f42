"""
Keys: which config keys are seeds, which say nothing about the training, and which are its causes.

Runs are replicates when only seeds and volatile keys differ, so a key listed here wrongly would merge two
different experiments. Hence the lists name whole keys, and a seed must also look like one.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, Literal, TypeAlias

from trackbridge.compare.canonical import Path, flatten

KeyRole: TypeAlias = Literal["config", "seed", "volatile"]

_SEED_KEY = re.compile(r"(?:^|_)seed$|^random_state$|^[a-z]+Seed$")

_VOLATILE_KEYS = frozenset(
    """
    output_dir logging_dir log_dir save_dir checkpoint_dir cache_dir work_dir tmp_dir overwrite_output_dir
    run_name experiment_name wandb_run_name run_id experiment_id experiment_key job_id slurm_job_id uuid
    hub_model_id hub_strategy hub_token hub_revision hub_private_repo push_to_hub push_to_hub_model_id
    push_to_hub_organization push_to_hub_token hub_always_push
    hostname host pid port master_addr master_port local_rank local_process_index process_index rank node_rank
    resume_from_checkpoint report_to disable_tqdm transformers_version
    timestamp created_at updated_at started_at start_time end_time launched_at datetime
    """.split()
)

# What the pipeline writes about the study a run belongs to; the variant's effect is in the other keys.
_BOOKKEEPING = frozenset({("pipeline", "study"), ("pipeline", "variant"), ("pipeline", "variants"), ("study",)})

_LOCATIONS = frozenset({"path", "file", "url", "location", "modified", "mtime"})


def key_role(path: Path, value: Any, known: Container[Path] = ()) -> KeyRole:
    """What a difference in this key means for a comparison.

    Args:
        path: scope and keys, such as `("training_arguments", "seed")`.
        value: the value there; `use_seed: true` is a switch and no seed.
        known: every path of the same config: where a file has a digest, its location is volatile.
    """
    if _is_seed(path, value):
        return "seed"
    if path[-1] in _VOLATILE_KEYS or any(path[: len(prefix)] == prefix for prefix in _BOOKKEEPING):
        return "volatile"
    if path[-1] in _LOCATIONS and (*path[:-1], "sha256") in known:
        return "volatile"
    return "config"


def causes(config: Mapping[str, Mapping[str, Any]]) -> dict[Path, Any]:
    """The leaves of a run's config that are neither seeds nor volatile."""
    leaves = flatten(config)
    return {path: value for path, value in leaves.items() if key_role(path, value, leaves) == "config"}


def _is_seed(path: Path, value: Any) -> bool:
    named = bool(_SEED_KEY.search(path[-1])) or "seeds" in path
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return named and all(number is None or type(number) is int or _is_digits(number) for number in numbers)


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()
