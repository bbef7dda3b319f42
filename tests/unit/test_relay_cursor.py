"""The cursor file: whole or not at all, refused when damaged, short whatever a tracker rejects."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.errors import DeliveryRefused
from trackbridge.journal.cursor import (
    MAX_REJECTIONS,
    Cursor,
    Mark,
    cursor_file,
    delivery_folder,
    load_cursor,
    save_cursor,
    targets_of,
)
from trackbridge.testing.journals import ToldJournal


def test_a_saved_cursor_is_loaded_as_it_was(tmp_path: Path) -> None:
    cursor = Cursor(target="comet:offline", marks={"journal-a.jsonl": Mark(12, 3)}, next_row=7, in_flight={"a": 2})
    cursor.reject(5, "metrics_logged", "train/loss", "NaN")

    save_cursor(tmp_path, cursor)

    assert load_cursor(tmp_path, "comet:offline") == cursor
    assert targets_of(tmp_path) == ["comet:offline"]
    assert [path.name for path in delivery_folder(tmp_path).iterdir()] == ["comet@offline.json"]


def test_a_run_that_was_never_delivered_has_a_cursor_at_its_start(tmp_path: Path) -> None:
    assert load_cursor(tmp_path, "wandb") == Cursor(target="wandb")
    assert targets_of(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", b'{"v":1,"tar', b"\x00" * 40, b'{"v":1}', b'{"target":"wandb","next_row":"x"}']
)
def test_a_damaged_cursor_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    save_cursor(tmp_path, Cursor(target="wandb"))
    cursor_file(tmp_path, "wandb").write_bytes(content)

    with pytest.raises(DeliveryRefused, match=r"wandb\.json is damaged .* remove the file and run `trackbridge sync"):
        load_cursor(tmp_path, "wandb")


def test_a_cursor_of_a_later_version_is_refused(tmp_path: Path) -> None:
    save_cursor(tmp_path, Cursor(target="wandb", v=2))

    with pytest.raises(DeliveryRefused, match="update trackbridge"):
        load_cursor(tmp_path, "wandb")


def test_the_same_rejection_is_counted_and_kept_once() -> None:
    cursor = Cursor(target="neptune")
    for row in range(5):
        cursor.reject(row, "metrics_logged", "train/loss", "NaN")
    for row in range(1000):
        cursor.reject(row, "media_logged", f"picture {row}", "gone")

    assert (cursor.rejections[0].count, cursor.rejections[0].first_row) == (5, 0)
    assert len(cursor.rejections) == MAX_REJECTIONS
    assert cursor.rejected == 1005


def test_waiting_events_are_counted_from_the_marks_on(tmp_path: Path) -> None:
    path = ToldJournal().start().log(1, {"a": 1.0}).log(2, {"a": 1.0}).write(tmp_path)

    assert Cursor(target="t").events_waiting(path.parent) == 4
    assert Cursor(target="t", marks={path.name: Mark(0, 3)}).events_waiting(path.parent) == 1
    assert Cursor(target="t", marks={path.name: Mark(path.stat().st_size)}).events_waiting(path.parent) == 0


def test_saving_into_a_run_that_was_deleted_does_not_bring_it_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_cursor(tmp_path / "gone", Cursor(target="wandb"))

    assert not (tmp_path / "gone").exists()
