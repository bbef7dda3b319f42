"""The pytest plugin, in pytests of its own: runs for tests that ask, nothing for all others."""

from __future__ import annotations

import os

import pytest

import trackbridge as tb
from trackbridge.comparison.groups import replicate_groups

pytest_plugins = ["pytester"]

TESTS = """
import os
import pytest
import trackbridge as tb

@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("lr", [1e-5, 2e-5])
def test_learns(trackbridge_run, seed, lr):
    assert tb.current_run() is trackbridge_run
    trackbridge_run.log({"eval/mcc": lr * 1000 + seed / 10}, step=1)

def test_breaks(trackbridge_run):
    trackbridge_run.log({"eval/mcc": 0.1}, step=1)
    assert 1 == 2, "as it must"

@pytest.fixture
def broken(trackbridge_run):
    raise RuntimeError("no data")

def test_never_begins(broken):
    pass

def test_gives_up(trackbridge_run):
    pytest.skip("too slow")

@pytest.mark.xfail
def test_is_known_to_fail(trackbridge_run):
    raise ValueError("known")

def test_ends_its_run_itself(trackbridge_run):
    trackbridge_run.finish("failed", error="diverged")

@pytest.mark.parametrize("model", [object, dict], ids=["one", "two"])
def test_takes_what_no_config_can_hold(trackbridge_run, model):
    pass

def test_elsewhere(trackbridge_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a pytest within a worker of pytest-xdist would take for its own.
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    # Plugins that these tests do not need, and that take longer to load than the tests take.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:anyio")


def test_a_run_ends_as_its_test_ends(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)

    done = pytester.runpytest_subprocess("--trackbridge-root", "out", "--trackbridge-group", "pr-7")

    done.assert_outcomes(passed=8, failed=1, errors=1, skipped=1, xfailed=1)
    runs = {run.name: run for run in tb.open_store(pytester.path / "out").runs()}
    status = {name: run.status for name, run in runs.items() if not name.startswith("test_learns")}
    assert status == {
        "test_breaks": "failed",
        "test_never_begins": "failed",
        "test_gives_up": "killed",
        "test_is_known_to_fail": "failed",
        "test_ends_its_run_itself": "failed",
        "test_takes_what_no_config_can_hold[one]": "finished",
        "test_takes_what_no_config_can_hold[two]": "finished",
        "test_elsewhere": "finished",
    }
    assert all(len(group.runs) == 1 for group in replicate_groups(runs.values()) if "learns" not in group.runs[0].name)
    errors = {name: run.sessions[-1].error or "" for name, run in runs.items()}
    assert errors["test_breaks"].startswith("AssertionError: as it must")
    assert errors["test_never_begins"] == "RuntimeError: no data"
    assert errors["test_gives_up"] == "the test was skipped: too slow"
    assert errors["test_ends_its_run_itself"] == "diverged"
    assert {(run.project, run.group) for run in runs.values()} == {("pytest", "pr-7")}
    done.stdout.fnmatch_lines(["trackbridge: 12 run(s) below *out"])


def test_seeds_of_one_test_are_replicates_and_workers_share_a_folder(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=TESTS)

    done = pytester.runpytest_subprocess("-n", "2", "-k", "learns", "--basetemp", "temporary", "--junitxml", "out.xml")

    done.assert_outcomes(passed=4)
    runs = tb.open_store(pytester.path / "temporary" / "trackbridge-runs").runs()
    assert {run.status for run in runs} == {"finished"}
    assert {run.config["pytest"]["test"] for run in runs} == {"test_it.py::test_learns"}
    assert {group.label: len(group.runs) for group in replicate_groups(runs)} == {"lr=1e-05": 2, "lr=2e-05": 2}
    report = (pytester.path / "out.xml").read_text(encoding="utf-8")
    assert all(f'name="trackbridge_run" value="{run.path}"' in report for run in runs)


def test_without_a_root_runs_are_in_pytests_folder_and_nowhere_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKBRIDGE_TO", "tensorboard")
    monkeypatch.setenv("TRACKBRIDGE_ROOT", "real-runs")
    pytester.makepyfile("def test_it(trackbridge_run):\n    assert trackbridge_run.companion is None")

    pytester.runpytest_subprocess("--basetemp", "temporary").assert_outcomes(passed=1)

    assert len(tb.open_store(pytester.path / "temporary" / "trackbridge-runs").runs()) == 1
    assert not (pytester.path / "real-runs").exists()


def test_an_interrupted_test_leaves_a_killed_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_interrupts(trackbridge_run):\n    raise KeyboardInterrupt")

    done = pytester.runpytest_subprocess("--trackbridge-root", "out")

    (run,) = tb.open_store(pytester.path / "out").runs()
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert (run.status, run.sessions[-1].error) == ("killed", "pytest was interrupted before the test ended")


def test_a_script_may_import_trackbridge_before_it_starts_pytest(pytester: pytest.Pytester) -> None:
    # What an installation from a wheel has, and one in place has not: a list of files, which pytest would rewrite.
    installed = pytester.mkdir("installed-1.0.dist-info")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text("[pytest11]\ninstalled = colorsys\n", encoding="utf-8")
    (installed / "RECORD").write_text("trackbridge/__init__.py,,\n", encoding="utf-8")
    pytester.makepyfile(test_it="def test_it():\n    pass")
    script = pytester.makepyfile(script="import trackbridge, pytest; pytest.main(['-W', 'error', 'test_it.py'])")

    done = pytester.runpython(script)

    done.stdout.fnmatch_lines(["plugins:*installed-1.0*", "*1 passed*"])


def test_whoever_does_not_ask_pays_for_three_empty_modules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys
        def test_it():
            ours = {name for name in sys.modules if name.partition(".")[0] == "trackbridge"}
            assert ours == {"trackbridge", "trackbridge.integrations", "trackbridge.integrations.pytest_plugin"}
            assert not {"numpy", "msgspec", "torch", "transformers", "typer", "rich"} & set(sys.modules)
    """)
    done = pytester.runpytest_subprocess("-p", "no:xdist")

    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("trackbridge: *")
    assert not list(pytester.path.rglob("trackbridge-runs"))
