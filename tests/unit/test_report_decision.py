"""A decision as JUnit XML and Markdown: what CI servers read, whatever names the runs have."""

from __future__ import annotations

import re
from datetime import datetime
from xml.etree import ElementTree

import pytest

from trackbridge.comparison.decision import Case, Decision
from trackbridge.report.decision import decision_markdown
from trackbridge.report.junit import UndecidedAs, decision_junit

HOSTILE = "\x00\x08\x1b[2J]]><script>alert(1)</script>&\"' \u202e\ufffe\ud800 | @someone"
PASSED = Case("new", "runs", "pass", "0 of 3 runs of new failed")
FAILED = Case("new", "eval/mcc", "fail", "eval/mcc: new is worse")
UNDECIDED = Case("other", "eval/mcc", "cannot tell", "eval/mcc: other may be worse, or not")


def junit(*cases: Case, undecided_as: UndecidedAs = "error", warnings: tuple[str, ...] = ()) -> str:
    decision = Decision("eval/mcc", 0.01, cases, warnings)
    return decision_junit(decision, undecided_as=undecided_as, at=datetime(2026, 5, 4, 3, 2, 1, 999), host="ci-7")


def suite_of(text: str) -> ElementTree.Element:
    (suite,) = ElementTree.fromstring(text.encode("utf-8"))
    return suite


def test_the_file_has_what_the_schemas_of_ant_and_jenkins_ask_for() -> None:
    suite = suite_of(junit(PASSED, FAILED, UNDECIDED))

    assert set(suite.keys()) == set("name package id timestamp hostname tests failures errors skipped time".split())
    assert suite.get("timestamp") == "2026-05-04T03:02:01"
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 3, "system-out", "system-err"]
    for testcase in suite.iter("testcase"):
        assert set(testcase.keys()) == {"name", "classname", "time"}
        assert len(testcase) <= 1
        assert all(set(child.keys()) == {"message", "type"} for child in testcase)


@pytest.mark.parametrize("undecided_as", ["error", "failure", "skipped"])
def test_counts_are_those_of_the_cases(undecided_as: UndecidedAs) -> None:
    suite = suite_of(junit(PASSED, FAILED, UNDECIDED, undecided_as=undecided_as))

    counted = {"failure": int(suite.get("failures", "")), "error": int(suite.get("errors", ""))}
    counted["skipped"] = int(suite.get("skipped", ""))
    assert suite.get("tests") == "3"
    assert counted == {name: len(list(suite.iter(name))) for name in counted}
    assert suite[3][0].tag == undecided_as
    assert suite[3][0].text == UNDECIDED.sentence


def test_no_name_leaves_its_place_or_breaks_the_file() -> None:
    text = junit(Case(HOSTILE, HOSTILE, "fail", HOSTILE), warnings=(HOSTILE,))

    # The whole of what XML 1.0 allows (production 2), but for what turns text around.
    assert re.fullmatch(r"[\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", text)
    assert "\u202e" not in text
    suite = suite_of(text)
    (testcase,) = suite.iter("testcase")
    assert r"\x00\x08\x1b[2J]]><script>alert(1)</script>&" in (testcase[0].text or "")
    assert testcase.get("name") == testcase[0].get("message") == testcase[0].text
    assert {one.tag for one in suite.iter()} == {
        "testsuite", "properties", "testcase", "failure", "system-out", "system-err"
    }  # fmt: skip


def test_the_summary_shows_names_and_obeys_none() -> None:
    text = decision_markdown(Decision("eval/mcc", 0.01, (Case(HOSTILE, "eval/mcc", "fail", HOSTILE),), (HOSTILE,)))

    assert text.startswith("### ❌ fail: eval/mcc with a margin of 0.01\n")
    assert "<script>" not in text
    assert "@" not in text
    row = next(line for line in text.splitlines() if line.startswith("| ") and "script" in line)
    assert row.count(" | ") == 6
