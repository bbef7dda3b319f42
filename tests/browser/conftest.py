"""A real browser on real pages. Whatever a test does, its pages ask no other machine and complain of nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import page_kit as kit
from tests.web_kit import serving
from trackbridge.web.guard import Access

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


# Playwright leaves a running event loop in its thread until it ends, and other tests start loops of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that `playwright install chromium` brings; without either, the tests fail."""
    from playwright.sync_api import expect, sync_playwright

    # Machines that run many tests at once are slow; an expectation that is met costs none of this.
    expect.set_options(timeout=20_000)

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=kit.CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A server of sixteen runs, two learning rates by two depths with four seeds each, and one run with everything."""
    root = tmp_path_factory.mktemp("study") / "runs"
    root.mkdir()
    kit.told_study(root, n_steps=200)
    kit.full_run(root)
    with serving(root) as access:
        yield access


@pytest.fixture
def open_page(browser: Browser) -> Iterator[kit.Open]:
    """Opens a page of a server; at the end all opened ones must have kept to it, and been quiet."""
    opened: list[tuple[Any, kit.Watched]] = []

    def open_(access: Access, path: str = "/", *, complains: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        page = context.new_page()
        page.set_default_timeout(20_000)
        home = f"http://127.0.0.1:{access.port}"
        seen = kit.watch(page, home)
        opened.append((context, kit.Watched() if complains else seen))
        page.goto(home + path)
        kit.settle(page)
        return page

    yield open_
    for context, _ in opened:
        context.close()
    assert [seen.complaints for _, seen in opened] == [[] for _ in opened]
    assert [seen.asked_elsewhere for _, seen in opened] == [[] for _ in opened]


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Access, str]]:
    """A server of one run that ended with an exception, and its id."""
    root = tmp_path_factory.mktemp("broken") / "runs"
    run_id = kit.broken_run(root)
    with serving(root) as access:
        yield access, run_id


@pytest.fixture(scope="session")
def long_curves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A server of two runs of 20,000 points each, more than a chart has room for."""
    root = tmp_path_factory.mktemp("long") / "runs"
    for number in range(2):
        kit.told_run(root, f"long-{number}", number=number, seed=number, n_steps=20_000, every=1000)
    with serving(root) as access:
        yield access
