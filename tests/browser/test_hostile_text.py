"""Whatever runs are called and hold is shown as text: markup, scripts, terminal escapes, paths and huge strings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import page_kit as kit
from tests.web_kit import serving
from trackbridge.web.guard import Access

PANELS = ("Curves", "Comparison", "Differences", "Seeds", "Parameters", "Parallel coordinates", "Scatter")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Access, str]]:
    root = tmp_path_factory.mktemp("hostile") / "runs"
    run_id = kit.hostile_run(root)
    for seed in range(2):
        kit.told_run(root, f"{kit.HOSTILE} {seed}", number=seed, seed=seed)
    kit.told_run(root, "x" * 100_000, number=5)
    with serving(root) as access:
        yield access, run_id


def assert_nothing_ran(page: Page) -> None:
    assert not page.evaluate("window.owned"), "a text was obeyed"
    assert page.locator("img[src='x'], main script, iframe, b").count() == 0
    shown = page.evaluate(
        "[document.body.textContent, ...[...document.querySelectorAll('[title]')].map(one => one.title)]"
    )
    assert not {"\x1b", "\u202e"} & set("".join(shown))


def test_the_table_and_all_panels_show_hostile_text_as_text(open_page: kit.Open, hostile: tuple[Access, str]) -> None:
    page = open_page(hostile[0])
    expect(page.locator("#count")).to_have_text("4 runs")
    assert any("<img src=x" in name for name in kit.names(page))
    for name in PANELS:
        page.get_by_role("tab", name=name, exact=True).click()
        kit.settle(page)
        assert_nothing_ran(page)
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("replicates as groups").check()
    kit.settle(page)

    assert_nothing_ran(page)


def test_the_page_of_a_run_shows_hostile_text_as_text(open_page: kit.Open, hostile: tuple[Access, str]) -> None:
    access, run_id = hostile
    page = open_page(access, f"/run/{run_id}")
    expect(page.locator(".media figure")).to_have_count(4)
    kit.settle(page)

    assert_nothing_ran(page)
    assert "<img src=x" in page.locator("h1").inner_text()
    assert "<img src=x" in page.locator(".media figcaption").first.inner_text()
    assert len(page.locator("main").inner_text()) < 300_000


def test_a_picture_with_a_script_in_it_is_a_picture(open_page: kit.Open, hostile: tuple[Access, str]) -> None:
    access, run_id = hostile
    page = open_page(access)
    index = page.request.get(f"http://127.0.0.1:{access.port}/run/{run_id}/file/0")

    assert "sandbox" in index.headers["content-security-policy"]
    assert "script-src" not in index.headers["content-security-policy"]
    assert index.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/run/..%2f..%2fetc%2fpasswd",
        "/static/..%2fpages.py",
        "/static/%2e%2e/app.py",
        "/run/%3Cscript%3Ewindow.owned=1%3C%2Fscript%3E",
        "/nothing%1b%5b2J",
    ],
)
def test_an_address_that_is_none_shows_a_page_that_says_so(
    open_page: kit.Open, hostile: tuple[Access, str], path: str
) -> None:
    page = open_page(hostile[0])
    answer = page.request.get(f"http://127.0.0.1:{hostile[0].port}{path}")

    assert answer.status == 404
    assert "<script>window" not in answer.text()
    assert "root:" not in answer.text()


def test_a_hostile_address_is_no_more_than_a_filter_that_fails(
    open_page: kit.Open, hostile: tuple[Access, str]
) -> None:
    page = open_page(hostile[0], "/?where=<script>window.owned=1</script>&metrics=<b>x</b>&panel=__proto__&sort=<b>")

    expect(page.locator("#trouble")).to_be_visible()
    assert_nothing_ran(page)
