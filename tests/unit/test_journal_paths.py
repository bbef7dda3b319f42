"""Where things lie, and ids that sort by the time they were made."""

from __future__ import annotations

import re
import sys
import time
import uuid
from pathlib import Path

import pytest

from trackbridge.journal import paths
from trackbridge.journal.paths import (
    draft_path,
    is_draft,
    is_run_id,
    journal_file,
    journal_files,
    new_id,
    run_folder,
    run_folders,
)


def test_an_id_is_a_uuid_of_version_seven() -> None:
    before_ms = time.time_ns() // 1_000_000
    text = new_id()
    after_ms = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)
    assert re.fullmatch(r"[0-9a-f]{32}", text)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before_ms <= parsed.int >> 80 <= after_ms


def test_ids_sort_by_the_millisecond_they_were_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    times_ns = [1, 10**15, 1_785_000_000_000_000_000, 1_785_000_000_001_000_000, (2**48 - 1) * 1_000_000]
    made = []
    for at in times_ns:
        monkeypatch.setattr(paths.time, "time_ns", lambda at=at: at)
        made.append(new_id())
    assert made == sorted(made)


def test_ids_made_in_one_millisecond_differ_in_all_their_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths.time, "time_ns", lambda: 0)
    numbers = [int(new_id(), 16) for _ in range(4000)]
    assert len(set(numbers)) == len(numbers)
    ever_set, always_set = 0, (1 << 128) - 1
    for number in numbers:
        ever_set, always_set = ever_set | number, always_set & number
    fixed = 0x7 << 76 | 0b10 << 62
    assert always_set == fixed
    assert ever_set == fixed | ((1 << 12) - 1) << 64 | ((1 << 62) - 1)


@pytest.mark.parametrize("text", ["", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 32 + "\n", "\u0661" * 32])
def test_other_texts_are_no_run_ids(text: str) -> None:
    assert not is_run_id(text)


def test_a_run_lies_under_its_project_and_its_journals_sort_by_writer(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "cola", "a" * 32)
    assert folder == tmp_path / "cola" / ("a" * 32)
    folder.mkdir(parents=True)
    ids = sorted(new_id() for _ in range(3))
    for writer_id in reversed(ids):
        journal_file(folder, writer_id).touch()
    (folder / "notes.jsonl").touch()
    assert journal_files(folder) == [journal_file(folder, writer_id) for writer_id in ids]
    assert journal_files(tmp_path / "nowhere") == []


def test_only_run_folders_are_found_below_a_root(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path, project, new_id()) for project in ("cola", "cola", "mrpc")]
    others = [tmp_path / ".git" / new_id(), tmp_path / "cola" / "cache", tmp_path / new_id()]
    for folder in (*runs, *others):
        folder.mkdir(parents=True)
    (tmp_path / "cola" / new_id()).touch()
    (tmp_path / "file").touch()
    assert sorted(run_folders(tmp_path)) == sorted(runs)
    assert list(run_folders(tmp_path / "nowhere")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="making links takes a right on Windows")
def test_a_link_that_leads_nowhere_or_to_itself_hides_no_runs(tmp_path: Path) -> None:
    run = run_folder(tmp_path, "cola", new_id())
    run.mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "cola" / new_id()).symlink_to(tmp_path / "loop")
    assert list(run_folders(tmp_path)) == [run]


def test_a_draft_lies_beside_its_target_and_is_known_again() -> None:
    target = Path("files") / "table.json"
    draft = draft_path(target)

    assert draft.parent == target.parent
    assert is_draft(draft)
    assert not any(is_draft(Path(name)) for name in ("table.json", ".hidden", ".kept.json", "a." + "0" * 32))
