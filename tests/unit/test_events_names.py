"""What metrics, projects and scopes may be called, and which way a metric is better."""

from __future__ import annotations

import pytest

from trackbridge.errors import MisuseError
from trackbridge.events.names import check_metric_name, check_project_name, check_scope, lower_is_better


@pytest.mark.parametrize(
    "name", ["loss", "train/loss", "eval/mcc", "a b", "\u00fc\U0001f600/\u4e2d", "x" * 500, ".", "a.b-c_d"]
)
def test_any_printable_text_names_a_metric(name: str) -> None:
    assert check_metric_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (3, r"must be a string such as 'train/loss', not 3 \(int\)"),
        (None, r"not None \(NoneType\)"),
        ("", r"1 to 500 characters; this one has 0"),
        ("x" * 501, r"this one has 501"),
        ("a\nb", r"'a\\nb' holds a control character"),
        ("a\0", r"control character"),
        ("a\udcff", r"'a\\udcff' is not valid Unicode"),
    ],
)
def test_what_cannot_name_a_metric_is_refused_with_the_name(name: object, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        check_metric_name(name)


@pytest.mark.parametrize("name", ["cola", "CoLA 2024", "a", "a.b-c_d", "\u00fcbung", "console", "x" * 100])
def test_what_every_system_takes_as_a_folder_names_a_project(name: str) -> None:
    assert check_project_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " cola",
        "cola ",
        "cola.",
        ".cola",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        "a\nb",
        "cola\n",
        "CON",
        "nul.txt",
        "x" * 101,
        3,
        None,
    ],
)
def test_what_some_system_refuses_names_no_project(name: object) -> None:
    with pytest.raises(MisuseError, match=r"cannot be a folder name: use letters, digits"):
        check_project_name(name)


def test_scopes_are_single_words() -> None:
    assert check_scope("training_arguments") == "training_arguments"
    for scope in ("", "a b", "a/b", "a\n", "x" * 101, None):
        with pytest.raises(MisuseError, match=r"must be one word .* such as 'model'"):
            check_scope(scope)


@pytest.mark.parametrize(
    "name",
    ["loss", "train/loss", "eval_loss", "eval/MLM-loss", "perplexity", "test/ppl", "wer", "eval/rmse", "a.error"],
)
def test_losses_and_errors_are_better_when_lower(name: str) -> None:
    assert lower_is_better(name)


@pytest.mark.parametrize(
    "name", ["eval/mcc", "accuracy", "f1", "gloss", "loss/scale", "power", "reward", "learning_rate", ""]
)
def test_scores_are_not_better_when_lower(name: str) -> None:
    assert not lower_is_better(name)
