"""
What a run ran on: Python, packages, git state, command line, host, CPU, GPUs, threads.

Each probe may fail alone; its error then stands in its place. Nothing is imported to look at it, and git, the
only other program asked, gets a bounded time.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trackbridge.events.redact import mask_arguments, mask_text, mask_value
from trackbridge.events.values import as_json, clean_text
from trackbridge.run import files
from trackbridge.settings import reproducibility_variables

GIT_TIMEOUT_S = 0.3
_DIST_INFO = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-]+)\.(dist|egg)-info")


def capture(files_folder: Path, *, patch_limit_bytes: int) -> dict[str, Any]:
    """The environment as JSON-safe data; the uncommitted git diff becomes a file in `files_folder`."""
    deadline = time.monotonic() + GIT_TIMEOUT_S
    git = _start_git()
    probes: dict[str, Callable[[], Any]] = {
        "python": _python,
        "host": _host,
        "command": _command,
        "packages": _packages,
        "cpu": _cpu,
        "gpu": _gpus,
        "threads": _threads,
        "variables": reproducibility_variables,
        "git": lambda: _git(git, deadline, files_folder, patch_limit_bytes),
    }
    return {name: mask_value(as_json(_probe(probe))) for name, probe in probes.items()}


def fingerprints(data: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies each dataset: a path's size and SHA-256, a Hugging Face `_fingerprint`, or the text given."""
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
    return {"name": socket.gethostname(), "system": platform.system(), "release": platform.release()}


def _command() -> dict[str, Any]:
    return {
        "argv": [clean_text(argument) for argument in mask_arguments(sys.argv)],
        "folder": clean_text(os.getcwd()),
    }


def _packages() -> dict[str, str]:
    # importlib.metadata opens every METADATA file; the folder names hold name and version already.
    found: dict[str, str] = {}
    for entry in reversed(sys.path):
        if not os.path.isdir(entry or "."):
            continue
        for name in os.listdir(entry or "."):
            if match := _DIST_INFO.fullmatch(name):
                found[match["name"].lower().replace("_", "-").replace(".", "-")] = match["version"]
    return dict(sorted(found.items()))


def _cpu() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            model = next(named, model)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"model": model, "count": os.cpu_count(), "usable": usable}


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    # nvidia-smi takes a second; the driver lists its devices as files.
    models = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = (line for path in models for line in path.read_text().splitlines())
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]


def _threads() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    return {} if torch is None else {"torch": torch.get_num_threads(), "torch_interop": torch.get_num_interop_threads()}


_GIT_QUESTIONS = {
    "state": ["rev-parse", "HEAD", "--abbrev-ref", "HEAD", "--show-toplevel"],
    "diff": ["diff", "HEAD", "--no-color", "--no-ext-diff", "--binary"],
    "remote": ["config", "--get", "remote.origin.url"],
}


def _start_git() -> dict[str, subprocess.Popen[bytes]]:
    # All questions at once, and before the other probes: git works while Python looks elsewhere.
    try:
        return {name: _ask_git(arguments) for name, arguments in _GIT_QUESTIONS.items()}
    except OSError:
        return {}


def _ask_git(arguments: list[str]) -> subprocess.Popen[bytes]:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _git(
    asked: Mapping[str, subprocess.Popen[bytes]], deadline: float, files_folder: Path, patch_limit_bytes: int
) -> dict[str, Any]:
    answers = {name: _answer(process, deadline) for name, process in asked.items()}
    state = (answers.get("state") or b"").decode("utf-8", "replace").split("\n")
    if len(state) < 3:
        return {}
    commit, branch, folder = state[:3]
    found: dict[str, Any] = {"commit": commit, "branch": branch, "folder": folder}
    if remote := answers.get("remote"):
        found["remote"] = mask_text(remote.decode("utf-8", "replace").strip())
    diff = answers.get("diff")
    if diff is None:
        return {**found, "dirty": None, "error": f"git diff took longer than {GIT_TIMEOUT_S} s"}
    return {**found, "dirty": bool(diff), **_patch(diff, files_folder, patch_limit_bytes)}


def _patch(diff: bytes, files_folder: Path, limit_bytes: int) -> dict[str, Any]:
    if not diff or limit_bytes == 0:
        return {}
    if len(diff) > limit_bytes:
        return {"patch_omitted": f"{len(diff)} bytes, more than the limit of {limit_bytes}"}
    masked = mask_text(diff.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    files.write_once(files_folder / "uncommitted.patch", masked)
    return {"patch": "files/uncommitted.patch", "patch_bytes": len(masked)}


def _answer(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    try:
        answer, _ = process.communicate(timeout=max(0.01, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return answer if process.returncode == 0 else b""


def _fingerprint(value: Any) -> dict[str, Any]:
    if isinstance(value, Path) or (isinstance(value, str) and os.path.exists(value)):
        size_bytes, sha256 = files.digest(Path(value))
        return {"path": clean_text(str(value)), "size_bytes": size_bytes, "sha256": sha256}
    if (own := getattr(value, "_fingerprint", None)) is not None:
        return {"fingerprint": str(own), "rows": len(value)}
    return {"fingerprint": str(value)}
