"""Who may import whom: the rules of docs/design.md, read off the syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "trackbridge"
BASE = {"trackbridge", "errors", "settings"}
ALLOWED = {
    "__init__": {"comparison", "relay", "run", "sources", "store"},  # for type checkers only: it loads by name
    "__main__": {"cli"},
    "errors": set(),
    "settings": {"errors"},
    "targets": {"errors"},
    "display": set(),  # names of what lies above: who shows an object
    "events": {"errors", "events"},
    "journal": {"errors", "events", "journal"},
    "run": BASE | {"events", "journal", "run", "targets"},
    "store": BASE | {"display", "events", "journal", "store"},
    "comparison": {"display", "errors", "events", "store", "comparison"},
    "adapters": BASE | {"events", "journal", "targets", "adapters"},
    "sources": BASE | {"events", "journal", "sources"},
    "relay": BASE | {"events", "journal", "store", "targets", "adapters", "relay"},
    "report": {"errors", "events", "store", "comparison", "report"},
    "integrations": BASE | {"events", "journal", "run", "integrations"},
    "finetune": BASE | {"events", "journal", "run", "store", "comparison", "report", "integrations", "finetune"},
    "web": {"errors", "events", "store", "comparison", "report", "web"},
    "cli": BASE | {"events", "store", "comparison", "report", "finetune", "relay", "sources", "web", "cli"},
    "testing": BASE | {"events", "journal", "run", "store", "comparison", "adapters", "sources", "testing"},
}
HEAVY = {"torch", "transformers", "accelerate", "datasets", "scipy", "matplotlib"}
HEAVY |= {"wandb", "comet_ml", "neptune", "mlflow", "tensorboard", "psutil", "pynvml"}
MAY_IMPORT_HEAVY_AT_TOP = {"integrations", "finetune"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            if node.module == "trackbridge":
                yield from (f"trackbridge.{alias.name}" for alias in node.names)


class _WhatIsDoneAtImport(ast.NodeTransformer):
    """Leaves out the bodies of functions and methods, and what is for type checkers only."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)


def at_top_level(tree: ast.Module) -> ast.Module:
    return ast.fix_missing_locations(_WhatIsDoneAtImport().visit(tree))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_only_what_lies_below_them(path: Path) -> None:
    parts = {
        [*name.split("."), "trackbridge"][1]
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] == "trackbridge"
    }
    siblings = {name for name in parts if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}

    assert siblings - {"trackbridge"} <= ALLOWED[part(path)] | {part(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    top = {name.partition(".")[0] for name in imported(at_top_level(ast.parse(path.read_text(encoding="utf-8"))))}

    assert not top & HEAVY or part(path) in MAY_IMPORT_HEAVY_AT_TOP


def test_pytest_is_imported_only_by_what_is_for_tests() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if "pytest" in set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    }

    assert {path for path in users if not path.startswith("testing/")} == {"integrations/pytest_plugin.py"}


def test_the_relay_and_the_command_line_know_no_adapter_by_name() -> None:
    used = {
        name
        for path in modules()
        if part(path) in ("relay", "cli")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith("trackbridge.adapters.")
    }

    assert used == {"trackbridge.adapters.base", "trackbridge.adapters.registry"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_environment_is_read_in_settings_only(path: Path) -> None:
    reads = re.search(r"os\.(environ|getenv)\b", path.read_text(encoding="utf-8"))

    assert not reads or path.name == "settings.py"


def test_sql_lives_in_the_index_and_where_others_databases_are_read() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if part(path) != "sources" and "sqlite3" in set(imported(ast.parse(path.read_text())))
    }

    assert users == {"store/index.py"}


@pytest.mark.parametrize("pure", ["events", "comparison", "store/fold.py"])
def test_pure_parts_do_no_input_or_output_and_read_no_clock(pure: str) -> None:
    root = PACKAGE / pure
    paths = [root] if root.is_file() else sorted(root.rglob("*.py"))
    forbidden = {"os", "time", "socket", "subprocess", "threading", "sqlite3", "io", "shutil"}
    used = {name.partition(".")[0] for path in paths for name in imported(ast.parse(path.read_text()))}
    calls = {
        node.func.id
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert not used & forbidden
    assert "open" not in calls


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "core", "misc", "tools"}

    assert not [path for path in modules() if path.stem in drawers or path.parent.name in drawers]


def test_files_stay_under_400_lines() -> None:
    long = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in modules()}

    assert {name: lines for name, lines in long.items() if lines > 400} == {}
