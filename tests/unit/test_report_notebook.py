"""What a notebook shows of a comparison and of a run: the report's own parts, escaped, and nothing outside them."""

from __future__ import annotations

import re
import subprocess
import sys

from trackbridge.comparison import compare
from trackbridge.report.text import mean_text
from trackbridge.store.records import RunRecord, Seeds
from trackbridge.testing.records import build_run

HOSTILE = "<script>alert('x')</script>\x1b[2J"


def runs(name: str = "run") -> list[RunRecord]:
    return [
        build_run(
            f"{name} {lr} {seed}",
            config={"script": {"lr": lr, name: 1}},
            seeds=Seeds(dropout=seed),
            curves={
                "eval/mcc": [0.1, 0.4 + lr + seed / 100],
                "train/loss": [1.0, 0.5],
            },
        )
        for lr in (1, 2)
        for seed in range(3)
    ]


def test_a_comparison_shows_its_verdicts_scores_and_drawings() -> None:
    comparison = compare(runs(), metrics=["eval/mcc"])

    shown = comparison._repr_html_()

    for group in comparison.metrics["eval/mcc"].groups:
        assert mean_text(group.scores.mean, group.scores.sd) in shown
    assert comparison.verdicts[0].sentence.split(" by ")[0] in shown
    assert shown.count("<svg") == 4, "a strip and a curve, each for a wide and for a narrow notebook"
    assert len(shown) < 60_000


def test_a_run_shows_its_identity_scores_and_curves() -> None:
    run = runs()[0]

    shown = run._repr_html_()

    assert run.run_id in shown
    assert "eval/mcc" in shown
    assert shown.count("<svg") == 4
    assert len(shown) < 60_000


def test_hostile_text_is_shown_as_text() -> None:
    hostile = runs(HOSTILE)

    for shown in (compare(hostile)._repr_html_(), hostile[0]._repr_html_()):
        assert "<script" not in shown
        assert "\x1b" not in shown
        assert "alert(&#x27;x&#x27;)" in shown


def test_the_rules_apply_below_one_class_alone() -> None:
    (rules,) = re.findall(r"<style>(.*?)</style>", compare(runs())._repr_html_(), re.DOTALL)

    depth, selectors, begun = 0, [], ""
    for character in rules:
        if character == "}":
            depth -= 1
        elif character == "{":
            is_at_top = depth == 0 or (depth == 1 and begun.startswith("["))
            selectors += [begun] if is_at_top and not begun.startswith("@") else []
            depth += 1
        begun = "" if character in "{}" else begun + character
    assert selectors
    assert all(part.endswith(".trackbridge") for one in selectors for part in one.split(","))


def test_colours_follow_the_theme_of_the_notebook() -> None:
    shown = compare(runs())._repr_html_()

    assert "[data-jp-theme-light=false] .trackbridge" in shown
    assert ".vscode-dark .trackbridge" in shown
    assert shown.count("prefers-color-scheme") == 1, "pictures take their colours from what they stand in"


def test_records_load_no_drawing_until_they_are_shown() -> None:
    code = "import sys, trackbridge as tb; tb.RunRecord; tb.compare; print('trackbridge.report' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
