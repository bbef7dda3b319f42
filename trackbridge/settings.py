"""
What a user may set, and where: explicit argument > `TRACKBRIDGE_*` > `[tool.trackbridge]` in pyproject.toml > default.

Read when a function is called, never at import. No other module reads the process environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from trackbridge.errors import SettingsError, nearest

PREFIX = "TRACKBRIDGE_"
CheckpointUpload: TypeAlias = Literal["none", "best", "all"]
"""Which checkpoints are uploaded: `best` means each that beats all before it by its first metric."""
_SWITCHES = {"on": True, "yes": True, "off": False, "no": False}
_SWITCHED = ("strict", "capture_environment", "system", "console")
# What would tie a relay to the trackers or the rank of the process that starts it, or to another run.
_NOT_FOR_RELAYS = frozenset(
    "WANDB_SERVICE WANDB_RUN_ID WANDB_RESUME WANDB_SWEEP_ID COMET_EXPERIMENT_KEY NEPTUNE_CUSTOM_RUN_ID MLFLOW_RUN_ID"
    " RANK LOCAL_RANK GROUP_RANK ROLE_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT".split()
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, with its default.

    A msgspec struct, not a pydantic model: importing pydantic and building one costs more than all the rest of
    a first `start_run`.
    """

    root: Annotated[Path, Meta(description="the folder that holds all projects")] = Path("trackbridge-runs")
    strict: Annotated[bool, Meta(description="raise when the disk refuses a line, instead of counting it")] = False
    capture_environment: Annotated[bool, Meta(description="record packages, git state, hardware at the start")] = True
    patch_limit_bytes: Annotated[int, Meta(ge=0, description="largest uncommitted git diff that is kept")] = 1_000_000
    to: Annotated[
        tuple[str, ...], Meta(description="where runs are delivered while they run, such as wandb,comet")
    ] = ()
    upload_checkpoints: Annotated[
        CheckpointUpload, Meta(description="which checkpoints are delivered with their bytes")
    ] = "none"
    system: Annotated[
        bool | None, Meta(description="sample CPU, memory and GPU; by default when runs are delivered live")
    ] = None
    console: Annotated[bool, Meta(description="keep what is printed while a run is open, in its folder")] = True
    finish_timeout_s: Annotated[float, Meta(ge=0, description="how long finish() waits for delivery")] = 30.0
    lost_after_s: Annotated[float, Meta(gt=0, description="silence after which a run elsewhere counts as lost")] = 900.0


def load_settings(**explicit: Any) -> Settings:
    """The settings in force now; arguments that are None do not count as given.

    Raises:
        SettingsError: an unknown name or a value of the wrong type, with where it was set.
    """
    layers = (
        ("pyproject.toml [tool.trackbridge]", _from_pyproject()),
        ("environment", _from_environment(os.environ)),
        ("argument", {name: value for name, value in explicit.items() if value is not None}),
    )
    known = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    set_by = {name: (layer, value) for layer, values in layers for name, value in values.items()}
    for name, (layer, _) in set_by.items():
        if name not in known:
            raise SettingsError(f"unknown setting {name!r} in {layer}{nearest(name, known)}")
    return Settings(**{name: _converted(name, value, known[name], layer) for name, (layer, value) in set_by.items()})


def _converted(name: str, value: Any, wanted: Any, layer: str) -> Any:
    try:
        return msgspec.convert(_as_typed(name, value), wanted, strict=False, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"setting {name!r} from {layer} is {value!r}: {str(error).lower()}") from error


def _as_typed(name: str, value: Any) -> Any:
    """What a person wrote on one line, as the data it stands for."""
    if not isinstance(value, str):
        return value
    if name == "to":
        return [part.strip() for part in value.split(",") if part.strip()]
    return _SWITCHES.get(value.lower(), value) if name in _SWITCHED else value


def _as_path(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    raise msgspec.ValidationError(f"expected a path, got {type(value).__name__}")


def launcher_rank() -> tuple[int, int]:
    """Rank and world size as torchrun and accelerate tell them; (0, 1) where they do not."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return (int(rank), int(size)) if rank.isdigit() and size.isdigit() else (0, 1)


def relay_environment() -> dict[str, str]:
    """The environment for a relay: without the variables that would tie it to this process's own trackers or rank."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_FOR_RELAYS}


def git_environment(**variables: str) -> dict[str, str]:
    """The environment for git: these variables of its own, and none that lead it to another repository or program."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    return {**inherited, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", **variables}


def variables_named(is_meant: Callable[[str], bool]) -> list[str]:
    """What the environment variables with such names hold; not those that hold the path of a file or folder."""
    # PWD, GOOGLE_APPLICATION_CREDENTIALS: whoever hides credentials must not hide every path below these.
    return [
        value
        for name, value in os.environ.items()
        if is_meant(name) and not (os.path.isabs(value) and os.path.exists(value))
    ]


@contextmanager
def vendor_variable(name: str, value: str) -> Iterator[None]:
    """A variable that a vendor's SDK reads and has no other way to be told, for as long as the block lasts."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def vendor_setting(name: str) -> str | None:
    """What the user set for a vendor's own tools, such as `WANDB_BASE_URL`; None where it is unset or empty."""
    return os.environ.get(name) or None


def let_this_process_see_one_gpu(number: int) -> None:
    """Of the GPUs this process may use, leave it the one of this number, counted round; without any nothing changes.

    To be called before torch is imported. `Trainer` would spread one training over all GPUs it sees.
    """
    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


def visible_gpus() -> list[str] | None:
    """The GPUs this process and its companions may use, by index or UUID; None where nothing says so."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if told is None else [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]


def reproducibility_variables() -> dict[str, str]:
    """Environment variables that change numbers or speed: threads, visible devices, determinism."""
    names = (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED",
        "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TOKENIZERS_PARALLELISM", "PYTORCH_CUDA_ALLOC_CONF",
        "HF_HUB_OFFLINE", "SLURM_JOB_ID",
    )  # fmt: skip
    return {name: os.environ[name] for name in names if name in os.environ}


def github_step_summary() -> Path | None:
    """The file that GitHub shows as the summary of a step of a workflow; None outside of one."""
    told = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(told) if told else None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    # A variable such as TRACKBRIDGE_TEST_DATA may belong to someone else: only known names are read.
    names = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    return {names[key]: value for key, value in environ.items() if key in names and value != ""}


def _from_pyproject() -> dict[str, Any]:
    try:
        folder = Path.cwd()
    except OSError:
        # The current folder was deleted; nothing is above it.
        return {}
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        # Parsing costs an import; most files have no table of ours.
        return _table_of_ours(path, text) if "tool.trackbridge" in text else {}
    return {}


def _table_of_ours(path: Path, text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text).get("tool", {}).get("trackbridge", {})
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    if isinstance(table.get("root"), str):
        # A relative root in a file means "beside that file", wherever the command is run from.
        table = {**table, "root": path.parent / Path(table["root"]).expanduser()}
    return dict(table)
