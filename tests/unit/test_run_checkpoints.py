"""Checkpoints: what is recorded, what is kept, and what a kept one survives."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import trackbridge as tb
from trackbridge.errors import JournalWriteError, MisuseError
from trackbridge.events.models import CheckpointDeleted, CheckpointSaved
from trackbridge.journal.kept import KEPT_NAME, changed_files
from trackbridge.journal.sampling import BLOCK_BYTES, sampled_sha256
from trackbridge.journal.sidecar import SIDECAR_NAME
from trackbridge.run.upkeep import drop_kept
from trackbridge.testing.written import events_of


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tb.Run]:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("checkpoints", name="baseline", root=tmp_path / "runs") as run:
        yield run


def save(folder: Path, value: float = 0.0) -> Path:
    """A checkpoint such as Trainer's: weights, an optimizer's state, a folder in it."""
    (folder / "inner").mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.full((100, 100), value)}, folder / "model.safetensors")
    torch.save({"state": torch.full((100, 100), value)}, folder / "optimizer.pt")
    (folder / "inner" / "config.json").write_text(json.dumps({"value": value}))
    return folder


def kept_of(run: tb.Run) -> Path:
    kept = events_of(run.path, CheckpointSaved)[-1].kept
    assert kept is not None
    return run.path / kept


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != KEPT_NAME
    }


def test_a_checkpoint_is_recorded_with_its_scores_and_knows_its_run(run: tb.Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-50")

    run.log_checkpoint(str(folder), step=50, metrics={"eval/mcc": np.float32(0.5), "eval/loss": float("nan")})

    (event,) = events_of(run.path, CheckpointSaved)
    assert (event.step, event.path, event.kept) == (50, str(folder), None)
    assert event.metrics["eval/mcc"] == 0.5
    assert np.isnan(event.metrics["eval/loss"])
    assert event.size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert json.loads((folder / SIDECAR_NAME).read_text()) == {
        "v": 1, "run_id": run.run_id, "project": "checkpoints", "name": "baseline", "step": 50,
        "root": str(tmp_path / "runs"),
    }  # fmt: skip


def test_a_kept_checkpoint_shares_its_bytes_and_survives_the_original(run: tb.Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-50")
    run.log_checkpoint(folder, step=50, keep=True)
    before = contents(folder)

    shared = [name for name in before if (folder / name).samefile(kept_of(run) / name)]
    shutil.rmtree(folder)

    assert sorted(shared) == sorted(before)
    assert contents(kept_of(run)) == before
    assert kept_of(run) == run.path / "files" / "checkpoints" / "step-50"


def test_a_folder_that_is_saved_to_again_and_again_is_copied(run: tb.Run, tmp_path: Path) -> None:
    kept = []
    for step in (1, 2, 3):
        # torch.save writes over the file of the step before, in place.
        run.log_checkpoint(save(tmp_path / "best", value=step), step=step, keep=True)
        kept.append(kept_of(run))

    assert [float(torch.load(folder / "optimizer.pt")["state"][0, 0]) for folder in kept] == [1.0, 2.0, 3.0]
    assert [float(load_file(folder / "model.safetensors")["weight"][0, 0]) for folder in kept] == [1.0, 2.0, 3.0]
    assert [changed_files(folder) for folder in kept] == [[], [], []]


def test_a_kept_checkpoint_that_was_overwritten_through_its_links_is_found_out(run: tb.Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-50", value=1.0)
    run.log_checkpoint(folder, step=50, keep=True)
    before = changed_files(kept_of(run))

    torch.save({"state": torch.full((100, 100), 2.0)}, folder / "optimizer.pt")

    assert before == []
    assert changed_files(kept_of(run)) == ["optimizer.pt"]
    assert changed_files(folder) == []


def test_a_file_that_vanished_from_a_kept_checkpoint_is_found_out(run: tb.Run, tmp_path: Path) -> None:
    run.log_checkpoint(save(tmp_path / "checkpoint-50"), step=50, keep=True)
    (kept_of(run) / "inner" / "config.json").unlink()

    assert changed_files(kept_of(run)) == ["inner/config.json"]


def test_a_kept_checkpoint_that_was_copied_elsewhere_is_still_unchanged(run: tb.Run, tmp_path: Path) -> None:
    run.log_checkpoint(save(tmp_path / "checkpoint-50"), step=50, keep=True)

    moved = shutil.copytree(kept_of(run), tmp_path / "moved", copy_function=shutil.copyfile)

    assert changed_files(moved) == []


def test_keeping_a_kept_checkpoint_leaves_the_first_as_it_was(run: tb.Run, tmp_path: Path) -> None:
    run.log_checkpoint(save(tmp_path / "checkpoint-50"), step=50, keep=True)
    first = kept_of(run)
    with tb.start_run("checkpoints", root=tmp_path / "runs") as second:
        (first / "added.txt").write_text("x")
        second.log_checkpoint(first, step=50, keep=True)

    assert changed_files(first) == [SIDECAR_NAME]
    assert changed_files(kept_of(second)) == []


def test_keeping_the_same_step_again_replaces_the_copy(run: tb.Run, tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        shutil.rmtree(tmp_path / "checkpoint-50", ignore_errors=True)
        run.log_checkpoint(save(tmp_path / "checkpoint-50", value), step=50, keep=True)

    assert float(load_file(kept_of(run) / "model.safetensors")["weight"][0, 0]) == 2.0
    assert [path.name for path in kept_of(run).parent.iterdir()] == ["step-50"]


def test_a_file_reached_by_a_symbolic_link_is_kept_itself(run: tb.Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-50")
    (tmp_path / "blob").write_bytes(b"shared by many")
    (folder / "vocab.txt").symlink_to(tmp_path / "blob")

    run.log_checkpoint(folder, step=50, keep=True)
    (tmp_path / "blob").rename(tmp_path / "elsewhere")

    assert (kept_of(run) / "vocab.txt").read_bytes() == b"shared by many"


def test_where_links_are_refused_the_files_are_copied(
    run: tb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*paths: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    folder = save(tmp_path / "checkpoint-50")
    run.log_checkpoint(folder, step=50, keep=True)

    assert contents(kept_of(run)) == contents(folder)
    assert not (kept_of(run) / "optimizer.pt").samefile(folder / "optimizer.pt")


@pytest.mark.parametrize("name", ["checkpoint-50", "best"])
def test_links_across_file_systems_become_copies(run: tb.Run, tmp_path: Path, name: str) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one file system")
    folder = save(other / f"trackbridge-{os.getpid()}" / name)
    try:
        run.log_checkpoint(folder, step=50, keep=True)
        assert contents(kept_of(run)) == contents(folder)
    finally:
        shutil.rmtree(folder.parent)


def test_a_copy_that_cannot_be_made_is_told_and_leaves_nothing(
    run: tb.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run.path / "files").write_text("a file where the folder should be")
    folder = save(tmp_path / "checkpoint-50")

    run.log_checkpoint(folder, step=50, keep=True)

    (event,) = events_of(run.path, CheckpointSaved)
    assert event.kept is None
    assert f"could not keep checkpoint {folder}" in caplog.text


def test_a_checkpoint_that_cannot_be_written_to_is_recorded_without_a_sidecar(
    run: tb.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save(tmp_path / "checkpoint-50")
    # A folder stands where the sidecar's name should be, which refuses even root.
    (folder / SIDECAR_NAME / "x").mkdir(parents=True)

    run.log_checkpoint(folder, step=50)
    run.log_checkpoint(folder, step=51)

    assert [event.step for event in events_of(run.path, CheckpointSaved)] == [50, 51]
    assert len(caplog.records) == 1
    assert SIDECAR_NAME in caplog.text


def test_a_strict_run_raises_when_the_sidecar_cannot_be_written(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint-50")
    (folder / SIDECAR_NAME / "x").mkdir(parents=True)

    with tb.start_run("strict", root=tmp_path / "runs", strict=True) as run, pytest.raises(JournalWriteError):
        run.log_checkpoint(folder, step=50)


def test_a_kept_copy_can_be_dropped(run: tb.Run, tmp_path: Path) -> None:
    run.log_checkpoint(save(tmp_path / "checkpoint-50"), step=50, keep=True)
    kept = kept_of(run)

    drop_kept(run, step=50)
    drop_kept(run, step=50)

    (event,) = events_of(run.path, CheckpointDeleted)
    assert (event.step, event.path) == (50, "files/checkpoints/step-50")
    assert not kept.exists()
    assert (tmp_path / "checkpoint-50" / "model.safetensors").exists()


def test_what_is_no_checkpoint_is_refused(run: tb.Run, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"")

    for path in (file, tmp_path / "gone"):
        with pytest.raises(MisuseError, match=r"is no directory: save it first, then log it"):
            run.log_checkpoint(path, step=1)
    with pytest.raises(MisuseError, match="metric 'eval/mcc' is 'good'"):
        run.log_checkpoint(save(tmp_path / "checkpoint-1"), step=1, metrics={"eval/mcc": "good"})
    with pytest.raises(MisuseError, match="step is -1"):
        run.log_checkpoint(tmp_path / "checkpoint-1", step=-1)

    assert events_of(run.path, CheckpointSaved) == []
    assert not (tmp_path / "checkpoint-1" / SIDECAR_NAME).exists()


def test_a_name_that_is_no_unicode_does_not_stop_the_training(run: tb.Run, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "checkpoint-") + b"\xff-50"))
    try:
        save(folder)
    except OSError:
        pytest.skip("this file system takes Unicode names only")

    run.log_checkpoint(folder, step=50, keep=True)

    (event,) = events_of(run.path, CheckpointSaved)
    assert event.path.endswith("checkpoint-\\udcff-50")
    assert contents(kept_of(run)) == contents(folder)


@pytest.mark.parametrize("size_bytes", [0, 1, BLOCK_BYTES, 16 * BLOCK_BYTES])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, size_bytes: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(size_bytes))
    before = sampled_sha256(file)
    assert before == sampled_sha256(file)

    for place in {0, size_bytes // 3, size_bytes // 2, size_bytes - 1} if size_bytes else ():
        changed = bytearray(size_bytes)
        changed[place] = 1
        file.write_bytes(changed)
        assert sampled_sha256(file) != before
    file.write_bytes(bytes(size_bytes + 1))
    assert sampled_sha256(file) != before
