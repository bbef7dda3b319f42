"""axe-core finds nothing to complain of: light and dark, on a desk and on a phone, every panel and every page."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser import page_kit as kit
from trackbridge.web.guard import Access

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
PANELS = ("Curves", "Comparison", "Differences", "Seeds", "Parameters", "Parallel coordinates", "Scatter")


def assert_accessible(page: Page, part: str | None = None) -> None:
    found = Axe().run(page, part)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("look", LOOKS)
def test_the_table_and_every_panel_are_accessible(open_page: kit.Open, study: Access, look: str) -> None:
    page = open_page(study, **LOOKS[look])
    for name in PANELS:
        page.get_by_role("tab", name=name, exact=True).click()
        kit.settle(page)
        # The whole page once with every panel; after that the colours and sizes of what changed.
        assert_accessible(page, None if look == "light" or name == "Curves" else "#panel")


@pytest.mark.parametrize("look", LOOKS)
def test_groups_open_menus_readings_and_troubles_are_accessible(open_page: kit.Open, study: Access, look: str) -> None:
    page = open_page(study, "/?group=replicates&where=name~lr", **LOOKS[look])
    page.locator("tr.group button").first.click()
    expect(page.locator("tr.member")).to_have_count(4)
    page.locator("summary", has_text="Columns").click()
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".reading").first).to_be_visible()
    kit.settle(page)
    assert_accessible(page)
    page.locator("#where").fill("reinit_layer > 0")
    expect(page.locator("#trouble")).to_be_visible()

    assert_accessible(page)


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_of_a_run_is_accessible(open_page: kit.Open, study: Access, look: str) -> None:
    page = open_page(study, "/?where=everything", **LOOKS[look])
    page.get_by_role("link", name="with everything").click()
    expect(page.locator(".media figure")).to_have_count(5)
    expect(page.locator(".chart svg.tb-chart").first).to_be_visible()
    kit.settle(page)

    assert_accessible(page)


def test_nothing_is_wider_than_a_phone(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, **LOOKS["phone"])
    for name in PANELS:
        page.get_by_role("tab", name=name, exact=True).click()
        kit.settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.get_by_role("tab", name="Curves").click()
    page.get_by_role("link", name="with everything").click()
    expect(page.locator("h1")).to_contain_text("with everything")
    kit.settle(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_can_be_used_by_keys_alone(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))

    assert {"where", "group", "constant", "SUMMARY", "BUTTON", "INPUT", "A"} <= seen
