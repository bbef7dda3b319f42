"""
Keys: which config keys are seeds, which say nothing about the training, and which are its causes.

Runs are replicates when only seeds and volatile keys differ, so a key listed here wrongly would merge two
different experiments. Hence the lists name whole keys, and a seed must also look like one.
"""

from __future__ import annotations

import re
from collections.abc import Container, Hashable, Mapping
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from trackbridge.comparison.canonical import Path, dotted, flatten
from trackbridge.store.records import RunRecord

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

_VOLATILE_PATHS = (
    # What the pipeline writes about the study a run belongs to; a variant's effect is in the other keys.
    ("study",),
    # Which run a training builds on; what that run was told stands in the scope `pipeline`.
    ("lineage",),
    ("environment", "host", "name"),
    ("environment", "command"),
    ("environment", "python", "executable"),
    # The commit and the digest of the patch say which code ran; these say where it lay and how large the patch is.
    ("environment", "git", "folder"),
    ("environment", "git", "branch"),
    ("environment", "git", "remote"),
    ("environment", "git", "patch_bytes"),
    ("environment", "git", "untracked"),
    ("environment", "git", "untracked_omitted"),
    ("environment", "variables", "SLURM_JOB_ID"),
    # Where an import came from, and what it kept raw: the other tracker's words on its client and the machine.
    ("environment", "import"),
    *((source,) for source in ("wandb", "comet", "neptune", "neptune_export", "mlflow", "tensorboard", "trackio")),
)

# The patch says it better, where it was kept.
_DIRTY = ("environment", "git", "dirty")

# Which fold of the same data is held out is a nuisance as a seed is; sizes and vocabulary follow from it.
_FOLD = ("pipeline", "folds", "index")
_FOLLOWS_FROM_FOLD = (("model", "vocab_size"), ("model", "parameters"), ("model", "trainable_parameters"))

_LOCATIONS = frozenset({"path", "file", "url", "location", "modified", "mtime"})


def key_role(path: Path, value: Any, known: Container[Path] = ()) -> KeyRole:
    """What a difference in this key means for a comparison.

    Args:
        path: scope and keys, such as `("training_arguments", "seed")`; the environment's begin with that word.
        value: the value there; `use_seed: true` is a switch and no seed.
        known: every path of the same config: where a file has a digest, its location is volatile.
    """
    if _is_seed(path, value) or path == _FOLD:
        return "seed"
    if _is_named_volatile(path):
        return "volatile"
    if path == _DIRTY and (value is False or (*path[:-1], "patch") in known):
        return "volatile"
    if path[-1] in _LOCATIONS and (*path[:-1], "sha256") in known:
        return "volatile"
    if _FOLD in known and (path in _FOLLOWS_FROM_FOLD or _describes_data(path)):
        return "volatile"
    return "config"


def causes(run: RunRecord) -> dict[Path, Any]:
    """What a run's scores can follow from: the leaves of its config but for seeds and volatile keys, and its data."""
    leaves = flatten(run.config)
    found = {path: value for path, value in leaves.items() if key_role(path, value, leaves) == "config"}
    return found | {("data", name, "digest"): digest for name, digest in data_digests(run).items()}


def replicate_mark(run: RunRecord) -> Hashable | None:
    """What a run shares with the run of another setting that it can be paired with: its seeds and its fold.

    The recorded seeds, else those in the config; None where there are neither.
    """
    recorded = (run.seeds.init, run.seeds.data, run.seeds.dropout, run.seeds.all)
    leaves = flatten(run.config) if set(recorded) == {None} else {}
    written = tuple((path, str(value)) for path, value in leaves.items() if _is_seed(path, value))
    fold = fold_index(run)
    return None if set(recorded) == {None} and not written and fold is None else (recorded, written, fold)


def fold_index(run: RunRecord) -> int | None:
    """Which fold of its data a run of a cross-validation holds out; None for any other run."""
    folds = run.config.get("pipeline", {}).get("folds")
    index = folds.get("index") if isinstance(folds, Mapping) else None
    return index if isinstance(index, int) else None


def data_digests(run: RunRecord) -> dict[str, str]:
    """What identifies each of a run's data sets, by name: a SHA-256, or the fingerprint its library gives it.

    They are recorded by `start_run(data=...)` among the environment, and by the pipeline in the scope `data`, and in
    `lineage` for the runs that this one builds on.
    """
    leaves = flatten({"data": run.environment.get("data") or {}}) | flatten({"data": run.config.get("data") or {}})
    named = [(path, value) for path, value in leaves.items() if path[-1] in ("fingerprint", "sha256") and value]
    found = {dotted(path[1:-1]): str(value) for path, value in sorted(named)}
    for path, value in sorted(flatten({"lineage": run.config.get("lineage") or {}}).items()):
        if path[-2] == "data":
            stages = (part for part in path[1:-2] if part != "lineage")
            found[dotted((*stages, path[-1]))] = str(value)
    return found


def _describes_data(path: Path) -> bool:
    """Sizes and shares of labels: what is told of a data set beside its digest, which is that of all folds."""
    return path[0] == "data" and path[-1] != "sha256"


# A thousand runs have the same hundred keys: what follows from a name alone is worked out once.
@lru_cache(maxsize=16_384)
def _is_named_volatile(path: Path) -> bool:
    return path[-1] in _VOLATILE_KEYS or any(path[: len(prefix)] == prefix for prefix in _VOLATILE_PATHS)


@lru_cache(maxsize=16_384)
def _is_named_seed(path: Path) -> bool:
    return bool(_SEED_KEY.search(path[-1])) or "seeds" in path


def _is_seed(path: Path, value: Any) -> bool:
    if not _is_named_seed(path):
        return False
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return all(number is None or type(number) is int or _is_digits(number) for number in numbers)


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()
