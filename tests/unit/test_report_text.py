"""Values and counts as people read them."""

from __future__ import annotations

from trackbridge.report.text import counted, value_text


def test_one_thing_is_not_several() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_lists_and_objects_are_spelled_as_in_json() -> None:
    assert value_text([1, None, {"bert": True, "ключ": "\x1b[2J"}]) == '[1, null, {"bert": true, "ключ": "\\u001b[2J"}]'
