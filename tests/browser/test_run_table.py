"""The run table, by clicking and typing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import page_kit as kit
from tests.web_kit import serving
from trackbridge.web.guard import Access


def search(page: Page, text: str) -> None:
    page.locator("#where").fill(text)
    expect(page).to_have_url(kit.re_parameter("where", text))
    kit.settle(page)


def test_typing_a_filter_leaves_the_runs_that_pass_and_says_how_many(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    search(page, "lr = 1e-4 and reinit_layers > 0")

    expect(page.locator("#count")).to_have_text("4 of 17 runs")
    assert sorted(kit.names(page)) == [f"lr0.0001-re2-s{seed}" for seed in range(4)]


def test_a_filter_that_names_no_field_is_told_with_the_likely_one(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    page.on("console", lambda message: None)
    page.locator("#where").fill("reinit_layer > 0")

    expect(page.locator("#trouble")).to_contain_text("did you mean")


def test_a_click_on_a_score_brings_the_best_run_to_the_top_and_another_the_worst(
    open_page: kit.Open, study: Access
) -> None:
    page = open_page(study, "/?where=name~lr")
    page.get_by_role("button", name="best eval/mcc").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("best eval/mcc")
    kit.settle(page)
    best_first = kit.names(page)
    page.get_by_role("button", name="best eval/mcc").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_count(1)
    kit.settle(page)

    assert best_first[0].startswith("lr2e-05-re2")
    assert kit.names(page) == list(reversed(best_first))


def test_a_pinned_run_stays_on_top_whatever_the_filter(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    page.get_by_role("button", name="Pin lr2e-05-re0-s1", exact=True).click()
    expect(page.locator("tr.pinned")).to_have_count(1)
    search(page, "lr = 1e-4")

    assert kit.names(page)[0] == "lr2e-05-re0-s1"


def test_constant_columns_are_hidden_until_asked_for(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr")
    heads = page.locator("#table thead")
    expect(heads).to_contain_text("reinit_layers")
    expect(heads).not_to_contain_text("optimizer")
    page.get_by_label("constant columns").check()

    expect(heads).to_contain_text("optimizer")


def test_columns_are_chosen_from_a_menu(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("last(train/loss)").check()
    expect(page.locator("#table thead")).to_contain_text("last train/loss")
    page.get_by_label("best(train/loss)").uncheck()

    expect(page.locator("#table thead")).not_to_contain_text("best train/loss")


def test_the_tick_of_the_heading_shows_no_run_and_again_the_first_ones(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    ticks = page.locator("#table tbody input:checked")
    expect(ticks).to_have_count(10)
    page.get_by_label("Show the first runs, or none").uncheck()
    expect(ticks).to_have_count(0)
    expect(page.locator("#shown")).to_contain_text("Tick runs in the table")
    page.get_by_label("Show the first runs, or none").check()

    expect(ticks).to_have_count(10)


def test_a_menu_closes_with_escape_or_a_click_elsewhere(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    choices = page.locator("#columns")
    page.locator("summary", has_text="Columns").click()
    expect(choices).to_be_visible()
    page.keyboard.press("Escape")
    expect(choices).to_be_hidden()
    page.locator("summary", has_text="Columns").click()
    expect(choices).to_be_visible()
    page.locator("#count").click()

    expect(choices).to_be_hidden()


def test_replicates_become_groups_with_mean_and_deviation_that_unfold(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr")
    page.get_by_label("replicates as groups").check()
    expect(page.locator("tr.group")).to_have_count(4)
    kit.settle(page)
    first = page.locator("tr.group").first
    cells = first.inner_text()
    first.get_by_role("button").click()

    expect(page.locator("tr.member")).to_have_count(4)
    assert "4 runs" in cells
    assert "±" in cells
    expect(page.locator(".chart path.band").first).to_be_attached()


def test_the_address_brings_back_what_was_shown(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    search(page, "reinit_layers = 2")
    page.get_by_role("button", name="best eval/mcc").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_count(1)
    page.get_by_role("tab", name="Differences").click()
    expect(page.locator("#shown")).to_contain_text("Read against")
    kit.settle(page)
    shown = kit.names(page)
    again = open_page(study, page.url.partition(str(study.port))[2])

    assert kit.names(again) == shown
    assert again.locator("#where").input_value() == "reinit_layers = 2"
    expect(again.get_by_role("tab", name="Differences")).to_have_attribute("aria-selected", "true")


def test_arrow_keys_go_from_row_to_row_and_a_slash_to_the_filter(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    page.locator("#table tbody input").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("#table tbody input").nth(2)).not_to_be_checked()
    kit.settle(page)
    expect(page.locator("#table tbody input").nth(2)).to_be_focused()
    page.keyboard.press("/")

    expect(page.locator("#where")).to_be_focused()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A server of 1,500 runs."""
    root = tmp_path_factory.mktemp("large") / "runs"
    for number in range(1500):
        kit.told_run(root, f"run-{number:04}", number=number, seed=number % 5, n_steps=1, every=1)
    with serving(root) as access:
        yield access


def test_of_many_runs_only_those_in_sight_are_in_the_page(open_page: kit.Open, large: Access) -> None:
    page = open_page(large)
    expect(page.locator("#count")).to_have_text("1500 runs")
    at_first = page.locator("#table tbody tr").count()
    page.locator("#table").evaluate("table => { table.scrollTop = table.scrollHeight }")
    expect(page.locator("#table tbody")).to_contain_text("run-0000")
    search(page, "run-0750")
    expect(page.locator("#count")).to_have_text("1 of 1500 runs")

    assert at_first < 150
    assert kit.names(page) == ["run-0750"]
