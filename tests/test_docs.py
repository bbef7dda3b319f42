"""What the documentation shows is run: Python snippets page by page, `trackbridge` commands in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
WITHOUT_COMET = str(Path(__file__).parent / "integration" / "without_comet")
BLOCK = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks in a language; one marked `shown`, as in "```bash shown", is there to be read only."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for name, mark, code in found if name == language and mark != "shown"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_and_shell_snippets_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    scripts = "\n".join(blocks(page, "python"))
    # The interpreter's folder comes first, so that `trackbridge` is the one under test.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "TRACKBRIDGE_ROOT": str(tmp_path / "runs"), "NO_COLOR": "1"}
    if "comet" not in scripts + "".join(blocks(page, "bash")):
        # transformers imports comet_ml wherever it is installed, which takes half of a short training's time.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [WITHOUT_COMET, os.environ.get("PYTHONPATH")]))
    if scripts:
        (tmp_path / "snippets.py").write_text(scripts, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "snippets.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for script in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def test_every_link_between_pages_leads_somewhere() -> None:
    missing = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert missing == []


def test_no_page_holds_a_place_for_a_figure_that_was_never_filled_in() -> None:
    held = [
        f"{page.name}: {word}"
        for page in PAGES
        for word in re.findall(
            r"\b[A-Z]{4,}(?:COST|TABLE|FIG|_OUTPUT)\b|\bTODO\b|\bTBD\b", page.read_text(encoding="utf-8")
        )
    ]

    assert held == []


def test_every_setting_is_documented() -> None:
    from trackbridge.settings import Settings

    text = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")

    assert [name for name in Settings.__struct_fields__ if f"TRACKBRIDGE_{name.upper()}" not in text] == []


def test_the_readme_names_the_two_commands_that_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    assert "python3 .ci/bootstrap.py demo" in text
    assert "python3 .ci/bootstrap.py test" in text
    assert "python3 .ci/bootstrap.py test" in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
