from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("trackbridge.testing")


@pytest.fixture(autouse=True)
def _no_reports_to_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK of W&B reports its own errors to its maker, from a process that the guard on sockets does not see."""
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """A test of the contract that is skipped has failed: what an adapter promises is either shown or it is not."""
    report = yield
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, which counts as a failure here: {call.excinfo}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    """The same for a file whose SDK is missing."""
    report = yield
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"{collector.nodeid} was skipped: install its SDK"
    return report
