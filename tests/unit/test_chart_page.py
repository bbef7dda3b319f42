"""The HTML report: one file, no script, everything in it shown as text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.report.curves import metric_chart
from trackbridge.report.html import list_html
from trackbridge.report.markdown import comparison_markdown
from trackbridge.report.page import comparison_page
from trackbridge.report.text import duration_text, mean_text, number_text, printable, size_text
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\x1b]0;owned\x07\u202e"


class Page(HTMLParser):
    """The elements and the text of a page, as a browser would see them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


SIX = ("eval/mcc", "eval/f1", "eval/accuracy", "eval/loss", "test/mcc", "train/loss")


def study(
    n_groups: int, n_seeds: int, n_steps: int = 20, metrics: Sequence[str] = ("eval/mcc", "eval/loss", "train/loss")
) -> list[RunRecord]:
    rng = np.random.default_rng(0)
    return [
        build_run(
            f"lr{lr}-seed{seed}",
            config={"script": {"lr": lr}},
            seeds=Seeds(dropout=seed),
            curves={name: rng.gamma(2, size=n_steps).tolist() for name in metrics},
        )
        for lr in range(n_groups)
        for seed in range(n_seeds)
    ]


def test_the_page_needs_nothing_but_itself() -> None:
    markup = comparison_page(compare(study(2, 2)))
    page = Page(markup)

    assert not [one for one, _ in page.elements if one in {"script", "link", "img", "iframe", "object", "base"}]
    assert not [attrs for _, attrs in page.elements if {"src", "href", "srcset"} & set(attrs)]
    assert not re.search(r"url\(|@import", markup)
    assert not [key for _, attrs in page.elements for key in attrs if key.startswith("on")]


def test_hostile_names_and_values_are_shown_as_text() -> None:
    runs = [
        build_run(
            f"{HOSTILE}{index}",
            project=HOSTILE,
            group=HOSTILE,
            config={HOSTILE: {HOSTILE: index}},
            environment={HOSTILE: f"{HOSTILE}{index}"},
            curves={HOSTILE: [1.0, 2.0 + index]},
        )
        for index in range(3)
    ]

    page = Page(comparison_page(compare(runs)))

    assert not [tag for tag, attrs in page.elements if tag in {"script", "img"} or "onerror" in attrs]
    assert "alert('x')" in page.words
    assert "\\x1b]0;owned\\x07\\u202e" in page.words
    assert "\x1b" not in page.words


def test_the_page_states_the_numbers_of_the_comparison() -> None:
    comparison = compare(study(2, 4))
    page = Page(comparison_page(comparison))

    for score in comparison.metrics["eval/mcc"].groups:
        assert mean_text(score.scores.mean, score.scores.sd) in page.words
    for run in comparison.metrics["eval/mcc"].runs:
        assert run.best is not None
        assert number_text(run.best.value) in page.words


def test_notes_are_on_the_page() -> None:
    runs = [build_run("a", curves={"eval/mcc": {10: 0.1, 100: 0.2}}), build_run("b", curves={"eval/mcc": {10: 0.1}})]

    comparison = compare(runs)

    assert comparison.notes
    assert all(note.text in Page(comparison_page(comparison)).words for note in comparison.notes)


@pytest.mark.parametrize(("n_groups", "n_seeds"), [(20, 1), (10, 2), (5, 4), (2, 10)])
def test_twenty_runs_of_six_long_curves_each_fit_in_300_kb(n_groups: int, n_seeds: int) -> None:
    assert len(comparison_page(compare(study(n_groups, n_seeds, 2000, SIX))).encode()) < 300_000


def test_curves_that_are_longer_make_no_larger_page() -> None:
    assert len(comparison_page(compare(study(5, 4, 8000))).encode()) < 300_000


def test_above_a_hundred_runs_groups_are_drawn_by_their_means_alone() -> None:
    assert len(metric_chart(compare(study(2, 50)), "eval/mcc").lines) == 102
    assert [line.label for line in metric_chart(compare(study(2, 51)), "eval/mcc").lines] == ["lr=0", "lr=1"]


def test_the_page_begins_with_what_could_overturn_it_and_the_verdicts() -> None:
    page = comparison_page(compare(study(2, 3), metrics=["eval/mcc"]))

    assert page.index('class="told verdicts"') < page.index("<h2>Replicate groups</h2>")
    assert page.index("<h2>Replicate groups</h2>") < page.index("<h2>Curves</h2>") < page.index("<h2>Runs</h2>")


def test_a_printed_page_is_light_and_shows_what_is_folded() -> None:
    rules = comparison_page(compare(study(2, 3))).partition("</style>")[0]

    assert "@media screen and (prefers-color-scheme:dark)" in rules
    assert "@media (prefers-color-scheme:dark)" not in rules
    assert "details::details-content{content-visibility:visible" in rules.partition("@media print")[2]


def test_long_lists_of_sentences_are_folded_and_counted() -> None:
    lists = Page(list_html([("info", f"sentence {n}") for n in range(9)], "notes", n_open=6))

    assert "3 more" in lists.words
    assert lists.words.index("sentence 5") < lists.words.index("3 more") < lists.words.index("sentence 6")


@pytest.mark.parametrize(
    "runs",
    [
        [build_run("bare")],
        [build_run("once", curves={"test/mcc": [0.5]})],
        [build_run("nan", curves={"train/loss": [math.nan, math.nan]})],
        [build_run("a", curves={"x": [1.0]}), build_run("b", curves={"y": [1.0, 2.0]})],
    ],
)
def test_runs_with_little_to_show_still_make_a_page(runs: list[RunRecord]) -> None:
    page = Page(comparison_page(compare(runs)))

    assert "html" in [tag for tag, _ in page.elements]
    assert all(run.name in page.words for run in runs)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_where_the_leading_metric_was_best_makes_a_page(value: float) -> None:
    curves = {"eval/mcc": {10: 0.1, 20: 0.5, 30: 0.2}, "train/loss": {10: 1.0, 20: value, 30: 0.5}}

    page = comparison_page(compare([build_run("a", curves=curves)]))

    assert "best 0.5000 at step 20" in page
    assert "at step 20" in page.partition("train/loss")[2]


def test_runs_that_blew_up_are_compared_and_drawn() -> None:
    # What a perplexity is when its loss is 500.
    runs = [build_run(name, curves={"eval/perplexity": [5e-324, 7.0, last]}) for name, last in (("a", 1e217), ("b", 8))]

    result = compare(runs, at="last")

    group = result.metrics["eval/perplexity"].groups[0]
    assert (group.scores.n, group.n_runs, group.scores.mean) == (1, 2, 8.0)
    assert "eval/perplexity of a is as good as infinite; means leave it out" in [note.text for note in result.notes]
    assert "1e+217" in comparison_page(result)


def test_markdown_tables_survive_pipes_newlines_and_mentions() -> None:
    runs = [build_run(f"a|b\n@octocat {index}", curves={"eval/mcc": [0.5]}) for index in range(2)]

    text = comparison_markdown(compare(runs), ["eval/mcc"])

    rows = [row for row in text.splitlines() if row.startswith("|") and "octocat" in row]
    assert len(rows) == 2
    assert all("@" not in row and row.count("|") == rows[0].count("|") for row in rows)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5834, "0.5834"), (0.6, "0.6000"), (1e-7, "1e-07"), (12345.678, "1.235e+04"), (3.0, "3"),
        (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "-∞"), (None, "-"), (0.0, "0"), (99.96, "99.96"),
    ],
)  # fmt: skip
def test_numbers_have_four_digits(value: float | None, shown: str) -> None:
    assert number_text(value) == shown


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [
        (0.58312, 0.0213, "0.583 ± 0.021"),
        (0.58312, None, "0.5831"),
        (0.5, 0.0, "0.5000 ± 0"),
        (0.15, 0.0999, "0.15 ± 0.10"),
        (123.4, 45.6, "123 ± 46"),
        (None, None, "-"),
        (0.9, 0.00004, "0.900000 ± 0.000040"),
    ],
)
def test_a_mean_has_the_digits_its_sd_gives_meaning_to(mean: float | None, sd: float | None, shown: str) -> None:
    assert mean_text(mean, sd) == shown


def test_names_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[31mb\x9bc\u202ed\u2028e\ud800") == "a\\x1b[31mb\\x9bc\\u202ed\\u2028e\\ud800"
    assert printable("naïve 運行 ✓ 👩\u200d🔬") == "naïve 運行 ✓ 👩\u200d🔬"


def test_durations_and_sizes_in_words() -> None:
    assert [duration_text(s) for s in (0.4, 42, 185, 7800, 7200, 360_000)] == [
        "0.4 s", "42 s", "3 min 5 s", "2 h 10 min", "2 h", "4 d 4 h",
    ]  # fmt: skip
    assert [size_text(size) for size in (412, 1_300_000, 2_000_000_000_000)] == ["412 B", "1.3 MB", "2 TB"]
