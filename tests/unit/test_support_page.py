"""The support page says what the adapters say."""

from __future__ import annotations

from pathlib import Path

from support_page import page, untold

PAGE = Path(__file__).parent.parent.parent / "docs" / "support.md"


def test_the_support_page_is_the_one_made_from_the_adapters() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/support_page.py > docs/support.md"


def test_the_support_page_leaves_no_adapter_and_no_capability_out() -> None:
    assert untold() == set()
