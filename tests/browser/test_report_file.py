"""The report in a real browser: no script, no request, nothing for axe-core to complain of; on a phone and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

import trackbridge as tb
from tests.browser import page_kit as kit
from trackbridge.report.page import comparison_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of sixteen runs and one with a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    kit.told_study(folder / "runs", n_steps=100)
    kit.told_run(folder / "runs", kit.HOSTILE, number=99, lr=3e-5, n_steps=100)
    page = comparison_page(tb.compare(tb.open_store(folder / "runs").runs()))
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 390])
def test_a_report_is_accessible_and_no_wider_than_the_screen(
    browser: Browser, report: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    viewport: Any = {"width": width, "height": 900}
    context = browser.new_context(color_scheme=scheme, viewport=viewport, bypass_csp=True)
    page = context.new_page()
    page.goto(report.as_uri())

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()


def test_a_report_asks_for_nothing_and_needs_no_script(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(report.as_uri())

    assert asked == [report.as_uri()]
    assert said == []
    assert page.get_by_role("heading", name="Curves").is_visible()
    assert page.get_by_role("img").first.is_visible()
    context.close()


def test_a_report_on_paper_is_light_and_shows_what_is_folded(browser: Browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    folded = page.locator("details .told, details .scroll").first
    assert not folded.is_visible()

    page.emulate_media(media="print")

    assert folded.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
