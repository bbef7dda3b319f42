from __future__ import annotations

import pytest

pytest.register_assert_rewrite("trackbridge.testing")


@pytest.fixture(autouse=True)
def _no_reports_to_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK of W&B reports its own errors to its maker, from a process that the guard on sockets does not see."""
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
