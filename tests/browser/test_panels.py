"""The panels below the table: what differs, who is better, which seed and which parameter it was."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser import page_kit as kit
from trackbridge.web.guard import Access


def panel(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=name, exact=True).click()
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
    kit.settle(page)
    return page.locator("#shown")


def pick_all(page: Page) -> None:
    for box in page.locator("#table tbody input").all():
        box.check()
    kit.settle(page)


def test_the_comparison_says_who_is_better_by_how_much_and_what_is_wrong(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr&group=replicates")
    expect(page.locator("tr.group")).to_have_count(4)
    pick_all(page)
    shown = panel(page, "Comparison")

    expect(shown.locator(".verdicts li")).to_have_count(6)
    expect(shown).to_contain_text("better than")
    expect(shown).to_contain_text("16 runs in 4 groups")
    expect(shown.locator("svg.tb-chart:visible")).not_to_have_count(0)


def test_a_pinned_run_is_what_the_others_are_read_against(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr&group=replicates")
    pick_all(page)
    page.locator("tr.group button").last.click()
    page.get_by_role("button", name="Pin lr2e-05-re0-s1", exact=True).click()
    expect(page.locator("tr.pinned")).to_have_count(1)
    shown = panel(page, "Comparison")

    expect(shown).to_contain_text("against baseline")
    expect(shown.locator(".verdicts li")).to_have_count(3)


def test_scores_are_compared_at_the_end_of_each_run_when_asked(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr")
    shown = panel(page, "Comparison")
    expect(shown).to_contain_text("each run at its best")
    page.locator("[data-tool=at]").select_option("last")

    expect(shown).to_contain_text("each run at its end")
    expect(page).to_have_url(kit.re_parameter("at", "last"))


def test_differences_name_what_differs_and_hide_what_does_not(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=s0 and reinit_layers = 0")
    shown = panel(page, "Differences")

    expect(shown).to_contain_text("Read against lr0.0001-re0-s0")
    expect(shown.locator("tbody th", has_text="lr")).to_have_count(1)
    expect(shown).not_to_contain_text("adamw")
    expect(shown).to_contain_text("first differ at step 1")


def test_seeds_say_what_trying_more_of_them_promises(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr")

    expect(panel(page, "Seeds")).to_contain_text("expected best")


def test_parameters_are_named_by_evidence_over_all_runs_that_pass_the_filter(
    open_page: kit.Open, study: Access
) -> None:
    page = open_page(study, "/?where=name~lr")
    shown = panel(page, "Parameters")

    expect(shown).to_contain_text("16 runs in 4 groups")
    expect(shown).to_contain_text("not enough runs: 4 settings")


def test_parallel_coordinates_have_an_axis_for_each_parameter_and_a_line_for_each_run(
    open_page: kit.Open, study: Access
) -> None:
    page = open_page(study, "/?where=name~lr")
    shown = panel(page, "Parallel coordinates")

    expect(shown.locator("svg path")).to_have_count(16)
    for title in ("lr", "reinit_layers", "best eval/mcc"):
        expect(shown.locator("svg text[font-weight='600']", has_text=title)).to_have_count(1)
    page.locator("[data-tool=y]").select_option("train/loss")
    expect(shown).to_contain_text("best train/loss")


def test_the_scatter_has_a_dot_for_each_run_and_axes_to_choose(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?where=name~lr")
    shown = panel(page, "Scatter")
    expect(shown).to_contain_text("16 runs: best eval/mcc by lr")
    page.locator("[data-tool=x]").select_option("script.reinit_layers")

    expect(shown).to_contain_text("16 runs: best eval/mcc by reinit_layers")
    expect(shown.locator("svg circle")).to_have_count(16)


def test_arrow_keys_go_from_panel_to_panel(open_page: kit.Open, study: Access) -> None:
    page = open_page(study)
    page.get_by_role("tab", name="Curves").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Comparison")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")

    expect(page.get_by_role("tab", name="Scatter")).to_have_attribute("aria-selected", "true")


def test_no_run_picked_is_told_as_such_by_every_panel(open_page: kit.Open, study: Access) -> None:
    page = open_page(study, "/?runs=")

    expect(panel(page, "Comparison")).to_contain_text("Tick runs in the table")
    expect(panel(page, "Differences")).to_contain_text("Tick two runs or more")
    expect(panel(page, "Curves")).to_contain_text("Tick runs in the table")
