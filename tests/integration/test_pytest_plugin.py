"""The pytest plugin, in pytests of its own: runs for tests that ask, nothing for all others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import trackbridge as tb
from trackbridge.comparison.groups import replicate_groups

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

UNUSED = """
import sys

def test_it():
    ours = {name for name in sys.modules if name.partition(".")[0] == "trackbridge"}
    assert ours == {"trackbridge", "trackbridge.integrations", "trackbridge.integrations.pytest_plugin"}
    assert not {"numpy", "msgspec", "torch", "transformers", "typer", "rich"} & set(sys.modules)
"""


def run_pytest(folder: Path, tests: str, *arguments: str, **environment: str) -> str:
    """What a pytest of its own says of these tests.

    Not pytest's own `pytester`: it forgets the modules that a test imports, and numpy can be imported only once.
    """
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    return said([sys.executable, "-m", "pytest", *arguments], folder, **environment)


def said(command: list[str], folder: Path, **environment: str) -> str:
    # PYTEST_*: what a pytest within a worker of pytest-xdist would take for its own.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Plugins that these tests do not need take longer to load than the tests take.
    own = {"TRACKBRIDGE_CAPTURE_ENVIRONMENT": "false", "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:anyio"}
    done = subprocess.run(
        command, cwd=folder, env={**inherited, **own, **environment}, capture_output=True, text=True, encoding="utf-8"
    )
    return done.stdout + done.stderr


def test_a_run_ends_as_its_test_ends(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, TESTS, "--trackbridge-root", "out", "--trackbridge-group", "pr-7")

    assert "1 failed, 8 passed, 1 skipped, 1 xfailed, 1 error in " in told
    runs = {run.name: run for run in tb.open_store(tmp_path / "out").runs()}
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
    assert f"\ntrackbridge: 12 run(s) below {tmp_path / 'out'}\n" in told


def test_seeds_of_one_test_are_replicates_and_workers_share_a_folder(tmp_path: Path) -> None:
    arguments = ("-n", "2", "-k", "learns", "--basetemp", "temporary", "--junitxml", "out.xml")

    assert "4 passed in " in run_pytest(tmp_path, TESTS, *arguments)
    runs = tb.open_store(tmp_path / "temporary" / "trackbridge-runs").runs()
    assert {run.status for run in runs} == {"finished"}
    assert {run.config["pytest"]["test"] for run in runs} == {"test_it.py::test_learns"}
    assert {group.label: len(group.runs) for group in replicate_groups(runs)} == {"lr=1e-05": 2, "lr=2e-05": 2}
    report = (tmp_path / "out.xml").read_text(encoding="utf-8")
    assert all(f'name="trackbridge_run" value="{run.path}"' in report for run in runs)


def test_without_a_root_runs_are_in_pytests_folder_and_nowhere_else(tmp_path: Path) -> None:
    tests = "def test_it(trackbridge_run):\n    assert trackbridge_run.companion is None"
    real = {"TRACKBRIDGE_TO": "tensorboard", "TRACKBRIDGE_ROOT": "real-runs"}

    assert "1 passed in " in run_pytest(tmp_path, tests, "--basetemp", "temporary", **real)

    assert len(tb.open_store(tmp_path / "temporary" / "trackbridge-runs").runs()) == 1
    assert not (tmp_path / "real-runs").exists()


def test_an_interrupted_test_leaves_a_killed_run(tmp_path: Path) -> None:
    tests = "def test_interrupts(trackbridge_run):\n    raise KeyboardInterrupt"

    assert "no tests ran" in run_pytest(tmp_path, tests, "--trackbridge-root", "out")

    (run,) = tb.open_store(tmp_path / "out").runs()
    assert (run.status, run.sessions[-1].error) == ("killed", "pytest was interrupted before the test ended")


def test_a_script_may_import_trackbridge_before_it_starts_pytest(tmp_path: Path) -> None:
    # What an installation from a wheel has, and one in place has not: a list of files, which pytest would rewrite.
    installed = tmp_path / "installed-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text("[pytest11]\ninstalled = colorsys\n", encoding="utf-8")
    (installed / "RECORD").write_text("trackbridge/__init__.py,,\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass", encoding="utf-8")
    script = "import trackbridge, pytest; pytest.main(['-W', 'error', 'test_it.py'])"

    told = said([sys.executable, "-c", script], tmp_path)

    assert "installed-1.0" in told
    assert "1 passed in " in told


def test_whoever_does_not_ask_pays_for_three_empty_modules(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, UNUSED, "-p", "no:xdist")

    assert "1 passed in " in told
    assert "trackbridge: " not in told
    assert not list(tmp_path.rglob("trackbridge-runs"))
