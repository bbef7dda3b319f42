"""Runs that go on while the page is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import trackbridge as tb
from tests.browser import page_kit as kit
from tests.web_kit import serving


def scores(page: Page) -> list[str]:
    return page.locator("#table tbody tr[data-row] td.right").all_inner_texts()


def test_a_run_that_logs_is_followed_without_a_reload(open_page: kit.Open, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    with tb.start_run("cola", name="first", root=root) as run, serving(root) as access:
        run.log({"eval/mcc": 0.25}, step=1)
        page = open_page(access, "/?metrics=eval/mcc")
        expect(page.locator("#live")).to_have_text("live")
        expect(page.locator("#table tbody")).to_contain_text("0.2500")
        run.log({"eval/mcc": 0.5}, step=2)

        expect(page.locator("#table tbody")).to_contain_text("0.5000")
        expect(page.locator(".chart svg.tb-chart desc")).to_have_text("first ends at 0.5000 at step 2")
        with tb.start_run("cola", name="second", root=root) as other:
            other.log({"eval/mcc": 0.75}, step=1)
        expect(page.locator("#count")).to_have_text("2 runs")
        expect(page.locator("#table tbody")).to_contain_text("second")


def test_the_page_of_a_run_follows_its_curves(open_page: kit.Open, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    with tb.start_run("cola", name="first", root=root) as run, serving(root) as access:
        run.log({"train/loss": 2.0}, step=1)
        run.log({"train/loss": 1.5}, step=2)
        page = open_page(access, f"/run/{run.run_id}")
        described = page.locator(".chart svg.tb-chart desc")
        expect(described).to_have_text("first ends at 1.500 at step 2")
        expect(page.locator("#live")).to_have_text("live")
        run.log({"train/loss": 1.0}, step=3)

        expect(described).to_have_text("first ends at 1 at step 3")


def test_a_tab_out_of_sight_holds_no_connection_and_catches_up_when_it_is_seen(
    open_page: kit.Open, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    with serving(root) as access:
        page = open_page(access)
        expect(page.locator("#table tbody")).to_contain_text("No runs yet")
        expect(page.locator("#live")).to_have_text("live")
        streams: list[str] = []
        page.on("request", lambda request: streams.append(request.url) if "changes" in request.url else None)
        show_or_hide(page, is_hidden=True)
        kit.told_run(root, "came meanwhile")
        show_or_hide(page, is_hidden=False)

        expect(page.locator("#table tbody")).to_contain_text("came meanwhile")
        assert len(streams) == 1


def show_or_hide(page: Page, *, is_hidden: bool) -> None:
    """Tells the page what a browser tells it when its tab is put away or shown again."""
    page.evaluate(
        """(isHidden) => {
          Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def test_a_server_that_ended_is_told_and_leaves_what_was_shown(open_page: kit.Open, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    kit.told_run(root, "only")
    with serving(root) as access:
        page = open_page(access, complains=True)
        expect(page.locator("#live")).to_have_text("live")

    expect(page.locator("#live")).to_have_text("not connected")
    assert kit.names(page) == ["only"]


@pytest.mark.parametrize("n_pages", [3])
def test_the_server_ends_while_pages_are_open(open_page: kit.Open, tmp_path: Path, n_pages: int) -> None:
    root = tmp_path / "runs"
    kit.told_run(root, "only")
    with serving(root) as access:
        for _ in range(n_pages):
            expect(open_page(access, complains=True).locator("#live")).to_have_text("live")

    assert not kit.is_answering(access)
