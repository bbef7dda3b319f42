"""The environment of a run: each probe tells the truth, fails alone, and costs next to nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import socket
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

import trackbridge as tb
from trackbridge.events.models import EnvironmentCaptured
from trackbridge.events.redact import MASK
from trackbridge.run import environment
from trackbridge.run.environment import capture, fingerprints
from trackbridge.testing.written import events_of

TOKEN = "hf_" + "abcdefghij" * 3


def test_the_environment_says_what_the_run_ran_on(tmp_path: Path) -> None:
    found = capture(tmp_path, patch_limit_bytes=0)

    assert found["python"]["version"] == platform.python_version()
    assert found["python"]["executable"] == sys.executable
    assert found["host"]["name"] == socket.gethostname()
    assert found["command"] == {"argv": sys.argv, "folder": str(Path.cwd())}
    assert found["cpu"]["count"] == os.cpu_count()
    assert found["cpu"]["model"]
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["variables"]["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]
    assert json.loads(json.dumps(found)) == found


def test_the_packages_are_those_that_importlib_metadata_knows(tmp_path: Path) -> None:
    known = {
        re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower(): distribution.version
        for distribution in reversed(list(importlib.metadata.distributions()))
    }

    found = capture(tmp_path, patch_limit_bytes=0)["packages"]

    assert len(known) > 30
    assert found == dict(sorted(known.items()))


def test_packages_installed_the_old_way_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Old_Style-1.2-py3.11.egg-info", "zope.interface-6.0.dist-info", "own-1.0+local.dist-info"):
        (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    found = environment.capture(tmp_path / "files", patch_limit_bytes=0)["packages"]

    assert (found["old-style"], found["zope-interface"], found["own"]) == ("1.2", "6.0", "1.0+local")


def test_a_run_starts_in_a_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with tb.start_run("deleted", root=tmp_path / "runs") as run:
        run.log({"a": 1.0}, step=1)
    monkeypatch.chdir(tmp_path)

    (event,) = events_of(run.path, EnvironmentCaptured)
    assert event.environment["command"]["argv"] == sys.argv
    assert event.environment["command"]["folder"]["error"].startswith("FileNotFoundError")


def test_a_probe_that_fails_leaves_its_error_and_the_other_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys, "argv")

    found = capture(tmp_path, patch_limit_bytes=0)

    assert found["command"]["error"].startswith("AttributeError")
    assert found["python"]["version"] == platform.python_version()


def test_secrets_in_the_command_line_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "--hub-token", "mine", f"--note={TOKEN}", "--max_new_tokens", "5"])

    found = capture(tmp_path, patch_limit_bytes=0)

    assert found["command"]["argv"] == [
        "train.py", "--hub-token", MASK, f"--note={MASK}", "--max_new_tokens", "5",
    ]  # fmt: skip


def test_looking_for_gpus_does_not_start_cuda(tmp_path: Path) -> None:
    found = capture(tmp_path, patch_limit_bytes=0)

    assert isinstance(found["gpu"], list)
    assert not torch.cuda.is_initialized()


def test_gpus_are_read_off_the_drivers_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bus in ("0000:3b:00.0", "0000:5e:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(
            f"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 42\nBus Location: \t {bus}\n"
        )
    monkeypatch.setattr(environment, "_NVIDIA_DRIVER", tmp_path)

    assert capture(tmp_path / "files", patch_limit_bytes=0)["gpu"] == ["NVIDIA H100 80GB HBM3"] * 2


def test_capturing_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")

    with tb.start_run("off", root=tmp_path / "runs") as run:
        pass

    assert events_of(run.path, EnvironmentCaptured) == []


def test_a_data_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(b"gj04\t1\t\tSentence\n")
    expected = {
        "path": str(tmp_path / "train.tsv"),
        "size_bytes": 17,
        "sha256": hashlib.sha256(b"gj04\t1\t\tSentence\n").hexdigest(),
    }

    found = fingerprints({"text": str(tmp_path / "train.tsv"), "path": tmp_path / "train.tsv"})

    assert found == {"text": expected, "path": expected}


def test_a_data_folder_is_known_by_the_names_and_bytes_in_it(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        (folder / name).write_text(content)
        digests.append(fingerprints({"data": folder})["data"]["sha256"])

    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_large_data_is_sampled_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "WHOLE_DIGEST_LIMIT_BYTES", 1000)
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(5_000_000))
    before = fingerprints({"data": file, "folder": tmp_path})
    with file.open("r+b") as opened:
        opened.seek(-10, os.SEEK_END)
        opened.write(b"x")
    after = fingerprints({"data": file, "folder": tmp_path})

    assert before["data"]["fingerprint"].startswith("sampled-sha256:")
    assert before["data"]["size_bytes"] == before["folder"]["size_bytes"] == 5_000_000
    assert before["data"]["fingerprint"] != after["data"]["fingerprint"]
    assert before["folder"]["fingerprint"] != after["folder"]["fingerprint"]


def test_a_hugging_face_dataset_is_known_by_its_own_fingerprint() -> None:
    dataset = Dataset.from_dict({"text": ["a", "b"]})

    found = fingerprints({"train": dataset, "same": Dataset.from_dict({"text": ["a", "b"]}), "name": "glue/cola@1.0"})

    assert found["train"] == {"fingerprint": dataset._fingerprint, "rows": 2}
    assert found["train"] == found["same"]
    assert found["name"] == {"fingerprint": "glue/cola@1.0"}


def test_a_dataset_that_cannot_be_identified_is_told_and_the_others_are_not_lost(tmp_path: Path) -> None:
    found = fingerprints({"gone": tmp_path / "gone.tsv", "object": object(), "text": "cola"})

    assert found["gone"]["error"].startswith("FileNotFoundError: ")
    assert found["object"]["error"].startswith("TypeError: ")
    assert found["text"] == {"fingerprint": "cola"}
