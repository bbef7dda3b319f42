"""The note in a checkpoint that says which run it belongs to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trackbridge.journal.sidecar import SIDECAR_NAME, Sidecar, read_sidecar, write_sidecar

SIDECAR = Sidecar(run_id="a" * 32, project="cola", name="basel\u00efne", step=50, root="/runs")


def test_a_sidecar_is_read_back_and_is_plain_json(tmp_path: Path) -> None:
    write_sidecar(tmp_path, SIDECAR)
    assert read_sidecar(tmp_path) == SIDECAR
    assert json.loads((tmp_path / SIDECAR_NAME).read_text("utf-8")) == {
        "v": 1, "run_id": "a" * 32, "project": "cola", "name": "basel\u00efne", "step": 50, "root": "/runs",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == [SIDECAR_NAME]


def test_a_new_sidecar_leaves_a_hard_link_to_the_old_one_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    write_sidecar(tmp_path, SIDECAR)
    os.link(tmp_path / SIDECAR_NAME, kept / SIDECAR_NAME)
    write_sidecar(tmp_path, Sidecar(run_id="b" * 32, project="cola", name="other", step=75, root="/runs"))
    assert read_sidecar(kept) == SIDECAR
    assert read_sidecar(tmp_path) != SIDECAR


def test_fields_of_a_newer_sidecar_are_passed_over(tmp_path: Path) -> None:
    write_sidecar(tmp_path, SIDECAR)
    text = (tmp_path / SIDECAR_NAME).read_text("utf-8")
    (tmp_path / SIDECAR_NAME).write_text(text.replace('"v": 1', '"v": 2,\n  "cluster": "x"'), "utf-8")
    found = read_sidecar(tmp_path)
    assert found is not None
    assert (found.v, found.run_id, found.step) == (2, "a" * 32, 50)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"run_id": 3}',
        b"\0" * 100,
        b'{"v":1,"run_id":"\xff","project":"","name":"","step":1,"root":""}',
    ],
)
def test_a_sidecar_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SIDECAR_NAME).write_bytes(content)
    assert read_sidecar(tmp_path) is None


def test_a_folder_without_a_sidecar_has_none(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) is None
    assert read_sidecar(tmp_path / "nowhere") is None
    (tmp_path / SIDECAR_NAME).mkdir()
    assert read_sidecar(tmp_path) is None


def test_a_sidecar_that_cannot_be_written_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_sidecar(tmp_path / "nowhere", SIDECAR)


def test_a_sidecar_that_cannot_be_put_in_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / SIDECAR_NAME).mkdir()
    with pytest.raises(OSError, match=SIDECAR_NAME):
        write_sidecar(tmp_path, SIDECAR)
    assert [path.name for path in tmp_path.iterdir()] == [SIDECAR_NAME]
