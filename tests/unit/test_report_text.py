"""Values and counts as people read them."""

from __future__ import annotations

from trackbridge.report.text import age_text, counted, value_text


def test_one_thing_is_not_several() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_lists_and_objects_are_spelled_as_in_json() -> None:
    assert value_text([1, None, {"bert": True, "ключ": "\x1b[2J"}]) == '[1, null, {"bert": true, "ключ": "\\u001b[2J"}]'


def test_an_integer_of_many_digits_is_shortened_to_its_ends() -> None:
    assert value_text(10**39 + 7) == "1" + "0" * 38 + "7"
    assert value_text(10**400 + 7) == "100000000000…000000000007 (401 digits)"
    assert value_text(-(10**400)) == "-100000000000…000000000000 (401 digits)"
    assert value_text([1, {"a": 10**400}]) == '[1, {"a": 100000000000…000000000000 (401 digits)}]'


def test_digits_in_a_text_are_left_as_they_are() -> None:
    assert value_text("1" * 400) == "1" * 400
    assert value_text(["1" * 400, "a" + "1" * 400]) == f'["{"1" * 400}", "a{"1" * 400}"]'


def test_an_age_is_told_in_its_largest_unit() -> None:
    assert [age_text(seconds) for seconds in (0.44, 42, 977, 7620, 300_000)] == [
        "0.4 s ago", "42 s ago", "16 min ago", "2 h ago", "3 d ago",
    ]  # fmt: skip
