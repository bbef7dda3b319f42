"""What anybody prints in a relay goes to the run's log, and no secret with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trackbridge.relay import log as log_module
from trackbridge.relay.log import RelayLog, masked

NOISY = """
import atexit, logging, os, subprocess, sys
from pathlib import Path
from trackbridge.relay.log import RelayLog

log = RelayLog(Path(sys.argv[1]))
log.take_over()
atexit.register(lambda: print("from atexit"))
print("from python")
os.write(2, b"from C: key " + os.environ["COMET_API_KEY"].encode() + b"\\n")
subprocess.run(["echo", "from a child"])
logging.getLogger("sdk").warning("from a logger")
sys.stdout.flush()
raise ValueError("token " + os.environ["TRACKER_TOKEN"])
"""
SECRETS = {"COMET_API_KEY": "kYpT0p5ecret25characters", "TRACKER_TOKEN": "0123456789abcdef"}


def test_all_output_goes_to_the_log_with_secrets_masked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISY, str(tmp_path)], env={**os.environ, **SECRETS}, capture_output=True, text=True
    )

    log = (tmp_path / "delivery" / "relay.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    for source in ("python", "C", "a child", "a logger", "atexit"):
        assert f"from {source}" in log
    assert "ValueError: token ***masked***" in log
    assert not [secret for secret in SECRETS.values() if secret in log]


def test_a_long_log_is_set_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_LOG_BYTES", 100)
    log = RelayLog(tmp_path)
    for number in range(32):
        log._append(f"line {number:03}, twenty.\n")

    sizes = {path.name: path.stat().st_size for path in (tmp_path / "delivery").iterdir()}
    assert sorted(sizes) == ["relay.log", "relay.log.1"]
    assert all(size <= 120 for size in sizes.values())


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MY_SECRET"])
def test_the_values_of_secret_variables_are_masked_wherever_they_stand(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "s3cret-value")
    monkeypatch.setenv("MAX_NEW_TOKENS", "128")

    assert masked(f"url?key=s3cret-value&n=128, again s3cret-value, {name}") == (
        f"url?key=***masked***&n=128, again ***masked***, {name}"
    )


def test_what_has_the_shape_of_a_credential_is_masked_without_a_variable() -> None:
    assert masked("https://me:pa55word@host hf_abcdefghijklmnopqrstuvwx") == "https://me:***masked***@host ***masked***"


def test_a_variable_that_names_a_file_or_folder_hides_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials.json"
    file.write_text("{}")
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("SSH_KEY", f"{tmp_path}/{'0' * 5000}")

    assert masked(f"the run is in {tmp_path}/runs, as {file} says") == f"the run is in {tmp_path}/runs, as {file} says"
