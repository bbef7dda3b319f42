"""Every source to every tracker and back: what becomes of a run is what the page of bridges says."""

from __future__ import annotations

from pathlib import Path

import pytest
from bridge_kit import all_crossings
from bridge_page import PAGE, REGENERATE, differences, read_fates


@pytest.mark.timeout(600)
def test_every_crossing_keeps_changes_and_loses_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One test for all: each run is made and each tracker's SDK is started only once.
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")

    crossings = all_crossings(tmp_path)

    found = differences(read_fates(PAGE.read_text(encoding="utf-8")), crossings)
    assert not found, "\n".join([*found, REGENERATE])
