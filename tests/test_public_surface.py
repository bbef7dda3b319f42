"""The names a user may rely on, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trackbridge

HEAVY = ("torch", "transformers", "scipy", "numpy", "pydantic", "wandb", "comet_ml", "neptune", "matplotlib", "sqlite3")


def modules_loaded_by(code: str) -> set[str]:
    report = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def loaded_by(code: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_loaded_by(code)}


def test_all_is_the_checked_in_list() -> None:
    assert trackbridge.__all__ == [
        "Comparison",
        "Histogram",
        "Image",
        "Run",
        "RunRecord",
        "Seeds",
        "Store",
        "Table",
        "Text",
        "__version__",
        "compare",
        "current_run",
        "import_runs",
        "open_store",
        "start_run",
        "sync",
    ]
    assert dir(trackbridge) == sorted(trackbridge.__all__)


@pytest.mark.parametrize("name", trackbridge.__all__)
def test_every_public_name_loads_and_has_a_docstring(name: str) -> None:
    value = getattr(trackbridge, name)

    assert name == "__version__" or (value.__doc__ or "").strip()


def test_functions_stay_functions_whatever_is_imported_first() -> None:
    imports = "import trackbridge.cli.main, trackbridge.comparison.diff, trackbridge as tb"
    code = f"{imports}; assert callable(tb.compare) and callable(tb.open_store)"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'start_runn'"):
        trackbridge.start_runn  # noqa: B018 - the access is the test


def test_importing_trackbridge_loads_nothing_heavy() -> None:
    assert not loaded_by("import trackbridge") & {*HEAVY, "msgspec", "typer", "rich"}


def test_importing_trackbridge_costs_no_more_than_importing_typing() -> None:
    # Modules, not milliseconds, which tell of the machine: tests/benchmarks/import_cost.py prints those.
    before = modules_loaded_by("import __future__, importlib, typing")

    assert modules_loaded_by("import trackbridge") - before == {"trackbridge"}


def test_starting_a_run_loads_no_training_library_and_no_reader(tmp_path: Path) -> None:
    code = f"""
import trackbridge as tb
with tb.start_run("p", root={str(tmp_path)!r}) as run:
    run.log({{"a": 1.0}}, step=1)"""

    assert not loaded_by(code) & {*HEAVY, "asyncio", "typer", "rich"}


def test_a_run_that_is_delivered_live_loads_no_sdk_and_no_relay(tmp_path: Path) -> None:
    code = f"""
import trackbridge as tb
with tb.start_run("p", root={str(tmp_path)!r}, to=["memory:offline"]) as run:
    run.log({{"a": 1.0}}, step=1)
import sys
assert not [name for name in sys.modules if name.startswith(("trackbridge.relay", "trackbridge.adapters"))]"""

    assert not loaded_by(code) & {*HEAVY, "mlflow", "psutil", "typer"} - {"pydantic"}


def test_help_loads_no_training_library() -> None:
    code = """
import sys
sys.argv = ["trackbridge", "--help"]
from trackbridge.cli.main import run
try:
    run()
except SystemExit as exit:
    assert not exit.code"""

    assert not loaded_by(code) & {"torch", "transformers", "scipy", "numpy", "sqlite3"}
