"""The page of one run: its curves, what it logged beside them step by step, checkpoints and how it ended."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import page_kit as kit
from trackbridge.web.guard import Access


@pytest.fixture
def page(open_page: kit.Open, study: Access) -> Page:
    page = open_page(study, "/?where=everything")
    page.get_by_role("link", name="with everything").click()
    expect(page.locator("h1")).to_contain_text("with everything")
    kit.settle(page)
    return page


def test_scores_curves_config_and_checkpoints_are_on_the_page(page: Page) -> None:
    expect(page.locator(".chart svg.tb-chart").first).to_be_visible()
    headings = page.locator("h2").all_inner_texts()

    assert {"Metrics", "Curves", "Media and tables by step", "Summary", "Checkpoints"} <= set(headings)
    assert "checkpoint-20" in page.locator("section", has_text="Checkpoints").last.inner_text()
    assert "tokenizer.do_lower_case" in page.locator("main").inner_text()


def test_a_slider_goes_through_the_steps_of_a_confusion_matrix(page: Page) -> None:
    matrix = page.locator(".media", has=page.locator("h3", has_text="eval/confusion"))
    expect(matrix.locator("figcaption")).to_have_text("confusion at step 30")
    matrix.get_by_role("slider").fill("0")
    expect(matrix.locator("figcaption")).to_have_text("confusion at step 10")

    expect(matrix.locator("output")).to_have_text("step 10")
    assert matrix.locator("tbody tr").first.inner_text().split() == ["acceptable", "50", "30"]
    assert "s6" in str(matrix.locator("tbody td").first.get_attribute("class"))


def test_predictions_pictures_histograms_and_texts_are_shown(page: Page) -> None:
    def shown(name: str) -> Locator:
        return page.locator(".media", has=page.locator("h3", has_text=name))

    kit.settle(page)
    expect(page.locator(".media pre")).to_have_text("A sentence at step 30.")
    expect(shown("eval/predictions")).to_contain_text("The cat sat.")
    expect(shown("weights")).to_contain_text("500 values")
    picture = page.get_by_role("img", name="attention")
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    page.wait_for_function("image => image.naturalWidth === 64", arg=picture.element_handle())


def test_smoothing_and_axes_are_shared_by_all_charts_of_a_run(page: Page) -> None:
    page.get_by_label("axis").select_option("time")
    for chart in page.locator(".chart svg.tb-chart:visible").all():
        expect(chart).to_contain_text("training time")

    expect(page).to_have_url(kit.re_parameter("axis", "time"))


def test_a_run_that_failed_shows_why_and_what_it_printed_last(open_page: kit.Open, broken: tuple[Access, str]) -> None:
    access, run_id = broken
    page = open_page(access, f"/run/{run_id}")

    expect(page.locator("section", has_text="What went wrong").locator("pre")).to_contain_text("ZeroDivisionError")
    assert page.locator("section", has_text="What went wrong").locator("pre").inner_text().count("\n") >= 3
    expect(page.locator("section", has_text="Printed last").locator("pre")).to_contain_text("about to divide")


def test_a_run_that_is_not_there_is_told_so_on_a_page(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    answer = page.request.get(f"http://127.0.0.1:{study.port}/run/nothing")

    assert answer.status == 404
    assert "no run below" in answer.text()
