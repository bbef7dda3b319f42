"""Curves of many runs in one chart: read, zoomed, smoothed and put on other axes, by pointer and by keys."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import page_kit as kit
from trackbridge.web.guard import Access

FOUR = "/?where=re2 and lr = 2e-5&metrics=train/loss"


@pytest.fixture
def page(open_page: kit.Open, study: Access) -> Page:
    """Four curves of 200 points each in one chart: the newest runs are picked, so the filter comes before the page."""
    return open_page(study, FOUR)


def chart(page: Page) -> Locator:
    return page.locator(".chart svg.tb-chart")


def point_at(page: Page, share: float, *, to: float | None = None) -> None:
    """Moves the pointer to a share of the plot's width; with `to`, drags it from there."""
    svg = chart(page)
    box = svg.bounding_box()
    assert box is not None
    left, top, right, bottom = map(float, str(svg.get_attribute("data-plot")).split())
    scale = box["width"] / float(str(svg.get_attribute("viewBox")).split()[2])

    def x(place: float) -> float:
        return box["x"] + scale * (left + place * (right - left))

    y = box["y"] + scale * (top + bottom) / 2
    page.mouse.move(x(share), y)
    if to is not None:
        page.mouse.down()
        page.mouse.move(x(to), y, steps=4)
        page.mouse.up()


def shown_range(page: Page) -> tuple[float, float]:
    low, high = map(float, str(chart(page).get_attribute("data-x")).split())
    return low, high


def n_points(page: Page) -> int:
    """How many points the longest line has."""
    paths = chart(page).locator("path[d]").all()
    return max(len(re.findall(r"-?\d+(?:\.\d+)?", str(path.get_attribute("d")))) // 2 for path in paths)


def test_the_curves_of_all_picked_runs_lie_in_one_chart(page: Page) -> None:
    expect(page.locator("figcaption")).to_have_text("4 runs")
    assert (chart(page).locator("desc").text_content() or "").count(" ends at ") == 4


def test_a_pointer_reads_the_values_logged_at_its_place(page: Page) -> None:
    point_at(page, 0.5)
    reading = page.locator(".reading")
    expect(reading).to_be_visible()
    expect(reading.locator("caption")).to_contain_text(re.compile(r"step (99|100|101)"))

    assert reading.locator("tbody tr").count() == 4
    assert "lr2e-05-re2-s3" in reading.inner_text()
    page.mouse.move(0, 0)
    expect(reading).to_be_hidden()


def test_a_brush_shows_exactly_the_stretch_it_marked_and_escape_all_of_it_again(page: Page) -> None:
    whole = shown_range(page)
    point_at(page, 0.5, to=0.75)
    expect(page).to_have_url(re.compile(r"range=\d+\.\.\d+"))
    kit.settle(page)
    low, high = map(float, kit.parameter(page, "range").split(".."))

    assert shown_range(page) == (low, high)
    assert abs(low - 100) <= 3
    assert abs(high - 150) <= 3
    page.locator(".picture").focus()
    page.keyboard.press("Escape")
    expect(chart(page)).to_have_attribute("data-x", re.compile(f"^{whole[0]:g} {whole[1]:g}$"))


def test_the_back_button_undoes_a_zoom(page: Page) -> None:
    point_at(page, 0.2, to=0.4)
    expect(page).to_have_url(re.compile("range="))
    page.go_back()

    expect(page).not_to_have_url(re.compile("range="))
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()


def test_a_zoom_brings_points_that_the_whole_curve_had_no_room_for(open_page: kit.Open, long_curves: Access) -> None:
    page = open_page(long_curves, "/?metrics=train/loss")
    whole = n_points(page)
    point_at(page, 0.1, to=0.12)
    expect(page).to_have_url(re.compile("range="))
    kit.settle(page)
    low, high = shown_range(page)

    assert whole < 20_000
    assert n_points(page) >= high - low


def test_smoothing_draws_the_average_before_what_was_logged(page: Page) -> None:
    page.locator("[data-tool=smoothing]").fill("0.9")
    expect(page).to_have_url(kit.re_parameter("smoothing", "0.9"))
    expect(page.locator("figcaption")).to_contain_text("smoothed by 0.9")

    expect(chart(page).locator("path[stroke-opacity], path[opacity]").first).to_be_attached()


def test_axes_are_logarithmic_or_count_epochs_or_seconds(page: Page) -> None:
    page.get_by_label("log x").check()
    expect(chart(page)).to_have_attribute("data-x-scale", "log")
    page.get_by_label("log y").check()
    expect(page).to_have_url(kit.re_parameter("log", "xy"))
    kit.settle(page)
    page.get_by_label("log x").uncheck()
    page.get_by_label("axis").select_option("epoch")
    expect(chart(page)).to_contain_text("epoch")
    assert shown_range(page)[1] == pytest.approx(10, abs=0.5)
    page.get_by_label("axis").select_option("time")

    expect(chart(page)).to_contain_text("training time")


def test_arrow_keys_read_and_plus_zooms(page: Page) -> None:
    page.locator(".picture").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".reading caption")).to_have_text(re.compile("step 10[1-9]"))
    page.keyboard.press("+")

    expect(page).to_have_url(re.compile("range="))


def test_groups_have_a_mean_with_a_band_and_a_reading_with_its_deviation(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr&group=replicates&metrics=eval/mcc")
    picks = page.locator("#table tr.group input")
    expect(picks).to_have_count(4)
    for pick in picks.all():
        pick.check()
    expect(page.locator("figcaption")).to_contain_text("16 runs in 4 groups")
    kit.settle(page)
    point_at(page, 0.8)
    reading = page.locator(".reading")
    expect(reading).to_contain_text("±")

    assert chart(page).locator("path.band").count() == 4
    assert "(4 runs)" in reading.inner_text()


def test_a_run_that_is_unticked_leaves_the_chart_and_the_others_keep_their_colours(page: Page) -> None:
    before = chart(page).locator("path[stroke]").nth(1).get_attribute("stroke")
    page.locator("#table tbody input").first.uncheck()
    expect(page.locator("figcaption")).to_have_text("3 runs")

    assert chart(page).locator("path[stroke]").first.get_attribute("stroke") == before


def test_metrics_are_chosen_from_a_menu(page: Page) -> None:
    page.locator("summary", has_text="Metrics").click()
    page.locator("#tools .choices").get_by_label("eval/mcc").check()

    expect(page.locator(".chart")).to_have_count(2)
    expect(page).to_have_url(re.compile("metrics="))
