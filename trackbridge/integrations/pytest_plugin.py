"""
The pytest plugin: a run for each test that asks for one, named after it and ended as it ended.

Whoever has trackbridge installed gets this module loaded into every pytest: it imports nothing else of trackbridge
before a test asks, and looks at no other test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trackbridge.run.run import Run

_PROPERTY = "trackbridge_run"
_PLAIN = (bool, int, float, str)
_run_key: pytest.StashKey[Run] = pytest.StashKey()
_ended_by_key: pytest.StashKey[pytest.ExceptionInfo[BaseException] | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("trackbridge", "runs recorded by tests (the fixture trackbridge_run)")
    group.addoption(
        "--trackbridge-root",
        metavar="FOLDER",
        help="keep the runs of this test session in FOLDER; without it they are in pytest's temporary folder",
    )
    group.addoption("--trackbridge-project", metavar="NAME", default="pytest", help="their project (default: pytest)")
    group.addoption("--trackbridge-group", metavar="NAME", help="their group, such as the name of a pull request")


@pytest.fixture
def trackbridge_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run named after the test: finished where the test passes, failed with its error where it does not.

    It is never delivered while the test runs, whatever is set, and raises where the disk refuses a line. Its config
    has the test and its parameters, so that one test with several seeds gives replicates.
    """
    from trackbridge.run.lifecycle import start_run

    item, option = request.node, request.config.getoption
    run = start_run(
        option("--trackbridge-project"),
        name=item.name,
        group=option("--trackbridge-group"),
        root=_root(request.config, tmp_path_factory),
        strict=True,
        to=[],
    )
    item.stash[_run_key] = run
    item.user_properties.append((_PROPERTY, str(run.path)))
    _log_identity(run, item)
    yield run
    _end(run, item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Note how a test with a run ended; its report is made by others."""
    if _run_key in item.stash and call.when != "teardown" and (call.when == "call" or call.excinfo is not None):
        item.stash[_ended_by_key] = call.excinfo


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say where the runs are."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    told = (pair for report in reports for pair in getattr(report, "user_properties", ()))
    paths = {path for name, path in told if name == _PROPERTY}
    if paths and terminalreporter.verbosity >= 0:
        roots = {str(Path(path).parent.parent) for path in paths}
        terminalreporter.write_line(f"trackbridge: {len(paths)} run(s) below {', '.join(sorted(roots))}")


def _root(config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = config.getoption("--trackbridge-root")
    if told:
        # Tests may be in another folder by now.
        return config.invocation_params.dir / Path(told).expanduser()
    base = tmp_path_factory.getbasetemp()
    # Each worker of pytest-xdist has a folder of its own, in the one of the session.
    return (base.parent if hasattr(config, "workerinput") else base) / "trackbridge-runs"


def _log_identity(run: Run, item: pytest.Item) -> None:
    """Which test it is, without its parameters; these are its config, but for what is no plain value."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        run.log_config({"test": item.nodeid}, scope="pytest")
        return
    parameters = {name: one for name, one in callspec.params.items() if one is None or isinstance(one, _PLAIN)}
    test = {"test": item.nodeid.removesuffix(f"[{callspec.id}]")}
    # Two objects that cannot be told apart in a config would make replicates of what are none.
    run.log_config(test if len(parameters) == len(callspec.params) else {**test, "id": callspec.id}, scope="pytest")
    run.log_config(parameters)


def _end(run: Run, item: pytest.Item) -> None:
    # Without a word on how the test ended, pytest itself was interrupted.
    if _ended_by_key not in item.stash:
        run.finish("killed", error="pytest was interrupted before the test ended")
        return
    ended_by = item.stash[_ended_by_key]
    if ended_by is None:
        run.finish()
    elif isinstance(ended_by.value, pytest.skip.Exception):
        run.finish("killed", error=f"the test was skipped: {ended_by.value}")
    else:
        run.end_by(ended_by.value)
