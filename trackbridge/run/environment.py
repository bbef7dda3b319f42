"""
What a run ran on: Python, packages, git state, command line, host, CPU, GPUs, threads.

Each probe may fail alone; its error then stands in its place. Nothing is imported to look at it, and git, the
only other program asked, gets a bounded time.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trackbridge.events.redact import mask_arguments, mask_value
from trackbridge.events.values import as_json, clean_text, shown
from trackbridge.run import files
from trackbridge.run.credentials import credentials
from trackbridge.run.git import Git
from trackbridge.settings import reproducibility_variables

WHOLE_DIGEST_LIMIT_BYTES = 100_000_000
_NVIDIA_DRIVER = Path("/proc/driver/nvidia")
_DIST_INFO = re.compile(r"(?P<name>[\w.]+)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info")


def capture(files_folder: Path, *, patch_limit_bytes: int) -> dict[str, Any]:
    """The environment as JSON-safe data; the uncommitted git diff becomes a file in `files_folder`."""
    git = Git()
    probes: dict[str, Callable[[], Any]] = {
        "python": _python,
        "host": _host,
        "command": _command,
        "packages": _packages,
        "cpu": _cpu,
        "gpu": _gpus,
        "threads": _threads,
        "variables": reproducibility_variables,
        "git": lambda: git.state(files_folder, patch_limit_bytes),
    }
    secrets = credentials()
    return {name: mask_value(as_json(_probe(probe)), secrets=secrets) for name, probe in probes.items()}


def fingerprints(data: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies each dataset: a path's size and SHA-256, a Hugging Face `_fingerprint`, or the text given.

    Of more than 100 MB only samples are read, and the fingerprint says so: a run must not wait for its data.
    """
    return {name: as_json(_probe(partial(_fingerprint, value))) for name, value in data.items()}


def _probe(probe: Callable[[], Any]) -> Any:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - the reader is told: the error stands where the fact would
        return {"error": f"{type(error).__name__}: {error}"}


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": clean_text(sys.executable),
    }


def _host() -> dict[str, Any]:
    return {"name": platform.node(), "system": platform.system(), "release": platform.release()}


def _command() -> dict[str, Any]:
    return {
        "argv": [clean_text(argument) for argument in mask_arguments(sys.argv)],
        "folder": _probe(lambda: clean_text(os.getcwd())),
    }


def _packages() -> dict[str, str]:
    # importlib.metadata opens every METADATA file; the folder names hold name and version already.
    found: dict[str, str] = {}
    for entry in reversed(sys.path):
        if not os.path.isdir(entry or "."):
            continue
        for name in os.listdir(entry or "."):
            if match := _DIST_INFO.fullmatch(name):
                found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    return dict(sorted(found.items()))


def _cpu() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"model": _cpu_model(), "count": os.cpu_count(), "usable": usable}


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    # On Linux this starts a process, so it comes last.
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    # Asking torch for a name starts CUDA, and after that no forked process can use it.
    if torch is not None and torch.cuda.is_initialized():
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    # nvidia-smi takes a second; the driver lists its devices as files.
    models = sorted(_NVIDIA_DRIVER.glob("gpus/*/information"))
    lines = (line for path in models for line in path.read_text().splitlines())
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]


def _threads() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    return {} if torch is None else {"torch": torch.get_num_threads(), "torch_interop": torch.get_num_interop_threads()}


def _fingerprint(value: Any) -> dict[str, Any]:
    if isinstance(value, Path) or (isinstance(value, str) and os.path.exists(value)):
        return {"path": clean_text(str(value)), **_digest(Path(value))}
    if (own := getattr(value, "_fingerprint", None)) is not None:
        return {"fingerprint": str(own), "rows": len(value)}
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is no path, no Hugging Face dataset and no text that identifies a dataset")
    return {"fingerprint": value}


def _digest(path: Path) -> dict[str, Any]:
    if not path.is_dir() and not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    if (size_bytes := files.size_bytes(path)) <= WHOLE_DIGEST_LIMIT_BYTES:
        return {"size_bytes": size_bytes, "sha256": files.digest(path)[1]}
    return {"size_bytes": size_bytes, "fingerprint": f"sampled-sha256:{files.sampled_digest(path)}"}
