"""The page of bridges is whole: every source and tracker, and a reason for all that is not kept."""

from __future__ import annotations

from bridge_kit import SOURCES, TARGETS
from bridge_page import NOT_CROSSED, PAGE, differences, fates_of, page, read_fates, unexplained

from trackbridge import targets
from trackbridge.sources import registry
from trackbridge.testing.crossing import Crossing

PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_is_the_one_made_from_its_tables() -> None:
    assert page(read_fates(PAGE_TEXT)) == PAGE_TEXT, "run: python tests/bridge_page.py"


def test_all_that_is_not_kept_has_a_reason_and_no_reason_stands_for_nothing() -> None:
    assert unexplained(read_fates(PAGE_TEXT)) == []


def test_every_source_and_every_tracker_is_crossed_or_said_not_to_be() -> None:
    assert set(registry.BUILT_IN) | {"trackbridge"} == set(SOURCES) | set(NOT_CROSSED) - {"memory"}
    assert set(targets.BUILT_IN) == set(TARGETS) | {"memory"}
    assert {source: set(by_target) for source, by_target in read_fates(PAGE_TEXT).items()} == {
        source: set(TARGETS) for source in SOURCES
    }


def test_a_cell_that_gets_better_or_worse_is_told_with_what_became_of_it() -> None:
    crossings = {"wandb": {"mlflow": {"tags": Crossing("lost", ("tags / a is gone",)), "group": Crossing("kept")}}}
    text = page(fates_of({"wandb": {"mlflow": {"tags": Crossing("kept"), "group": Crossing("kept")}}}))

    assert differences(read_fates(text), crossings) == [
        "wandb to mlflow, tags: the page says 'kept', it is 'lost'\n    tags / a is gone"
    ]
