"""
A gate's decision as JUnit XML, which CI servers show among the results of tests.

There is no standard; this is what both schemas in use accept: that of Ant (github.com/windyroad/JUnit-Schema) and
that of Jenkins (junit-10.xsd of its xunit plugin).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from trackbridge.comparison.decision import Case, Decision
from trackbridge.report.markup import element, text

UndecidedAs: TypeAlias = Literal["error", "failure", "skipped"]
"""What a case that cannot be told is among tests; `skipped` lets it through."""


def decision_junit(decision: Decision, *, undecided_as: UndecidedAs, at: datetime, host: str) -> str:
    """One test case for each case of the decision, with a final newline.

    Characters that XML 1.0 has no place for, such as terminal escapes in a run's name, are spelled out.

    Args:
        decision: what was decided.
        undecided_as: what a case that cannot be told becomes.
        at: when it was decided.
        host: where.
    """
    kinds = [_kind(case, undecided_as) for case in decision.cases]
    n_kind = {name: str(kinds.count(name)) for name in ("failure", "error", "skipped")}
    suite = element(
        "testsuite",
        element("properties"),
        *(_testcase(case, kind) for case, kind in zip(decision.cases, kinds, strict=True)),
        element("system-out", text("\n".join(decision.warnings))),
        element("system-err"),
        name_=f"trackbridge check {decision.metric}",
        package="trackbridge",
        id="0",
        timestamp=at.strftime("%Y-%m-%dT%H:%M:%S"),
        hostname=host,
        tests=str(len(kinds)),
        failures=n_kind["failure"],
        errors=n_kind["error"],
        skipped=n_kind["skipped"],
        time="0",
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n{element("testsuites", suite)}\n'


def _kind(case: Case, undecided_as: UndecidedAs) -> str:
    return {"pass": "", "fail": "failure", "cannot tell": undecided_as}[case.outcome]


def _testcase(case: Case, kind: str) -> str:
    told = (element(kind, text(case.sentence), message=case.sentence, type=case.outcome),) if kind else ()
    return element("testcase", *told, name_=case.aspect, classname=f"trackbridge.{case.setting}", time="0")
