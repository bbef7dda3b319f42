"""Comet's own SDK, offline in a process of its own: what it does to a process must not meet other tests."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

KEY = "Ab1" * 11
QUIET = {
    "COMET_INTERNAL_REPORTING": "false",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "COMET_DISABLE_ANNOUNCEMENT": "true",
    "COMET_AUTO_LOG_ENV_DETAILS_INTERVAL": "1",
}
STARTED = """
import math, os, signal, sys
import comet_ml
config = comet_ml.ExperimentConfig(
    offline_directory={folder!r}, name="base line ü", tags=["a, b", "ü"], log_code=False, log_graph=False,
    log_git_metadata=False, log_env_gpu=False, log_env_disk=False, auto_output_logging="simple",
)
experiment = comet_ml.start(
    online=False, project_name="cola ü", workspace="we", experiment_key={key!r}, mode={mode!r}, experiment_config=config
)
"""


def run_script(folder: Path, body: str, *, key: str = KEY, mode: str = "create", temporary: Path | None = None) -> int:
    """Run lines that log to `experiment`; the process's exit code."""
    script = STARTED.format(folder=str(folder), key=key, mode=mode) + body
    environment = {**os.environ, **QUIET} | ({"TMPDIR": str(temporary)} if temporary else {})
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=folder.parent, capture_output=True, text=True, timeout=100
    )
    assert done.returncode in (0, 1, -9), done.stderr
    return done.returncode


def rewritten(archive: Path, **members: bytes | None) -> Path:
    """The archive with some members of other content, or without them; `messages` is `messages.json`."""
    named = {f"{name}.json": content for name, content in members.items()}
    with zipfile.ZipFile(archive) as old:
        contents = {name: old.read(name) for name in old.namelist()} | named
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in contents.items():
            if content is not None:
                new.writestr(name, content)
    return archive
